// How the mixer is set: one object for the whole page, kept by the server for whoever opens the song again.

import { request, songAddress } from "./api.js";

const SAVE_AFTER_MS = 400;
export const LOWEST_DB = -40; // and silence there
export const HIGHEST_DB = 6;

const UNTOUCHED = { volume: 0, pan: 0, mute: false, solo: false };

export class Settings extends EventTarget {
  #token;
  #timer = null;

  constructor(token, kept) {
    super();
    this.#token = token;
    this.tracks = kept.tracks ?? {};
    this.listen = kept.listen === "recording" ? "recording" : "mix";
    this.selection = kept.selection ?? null; // {start, stop} in seconds
    this.loop = Boolean(kept.loop);
    this.zoom = kept.zoom ?? 0; // from 0, the whole song, to 100
    this.position = kept.position ?? 0;
    window.addEventListener("pagehide", () => this.#timer && this.#save());
  }

  track(name) {
    return { ...UNTOUCHED, ...this.tracks[name] };
  }

  setTrack(name, values) {
    this.tracks = { ...this.tracks, [name]: { ...this.track(name), ...values } };
    this.#changed();
  }

  set(values) {
    Object.assign(this, values);
    this.#changed();
  }

  // Keep the position, about which nobody needs to be told.
  setPosition(seconds) {
    this.position = seconds;
    this.#saveSoon();
  }

  // The gain and the pan of each track that is heard in the mix.
  levels(tracks) {
    const parts = tracks.filter((track) => track.role !== "recording");
    const isSolo = parts.some((track) => this.track(track.name).solo);
    const heard = parts.filter(({ name }) => !this.track(name).mute && (!isSolo || this.track(name).solo));
    return Object.fromEntries(
      heard.map(({ name }) => [name, { gain: gainOf(this.track(name).volume), pan: this.track(name).pan }]),
    );
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
    this.#saveSoon();
  }

  #saveSoon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#save(), SAVE_AFTER_MS);
  }

  #save() {
    clearTimeout(this.#timer);
    this.#timer = null;
    const { tracks, listen, selection, loop, zoom, position } = this;
    const body = JSON.stringify({ tracks, listen, selection, loop, zoom, position });
    // A song that was removed meanwhile has no settings to keep.
    request(songAddress(this.#token, "/mixer"), { method: "PUT", body, keepalive: true }).catch(() => {});
  }
}

export function gainOf(decibel) {
  return decibel <= LOWEST_DB ? 0 : 10 ** (decibel / 20);
}
