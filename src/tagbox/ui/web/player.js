// One clock for all tracks. Short pieces of every track are started at the same sample of one AudioContext, one
// after the other, so that tracks cannot drift apart and a loop has no gap.
//
// The player has the properties and events of a media element, as far as wavesurfer uses them: every waveform
// of the page shows this one clock.

import { CHUNK_SECONDS } from "./samples.js";
import { Strips } from "./strips.js";

const LEAD_SECONDS = 0.08;
const AHEAD_SECONDS = 6;
const TICK_MS = 150;

// With the song's own rate, nothing is resampled; not every browser has every rate.
function openAudioContext(sampleRate) {
  try {
    return new AudioContext({ sampleRate });
  } catch {
    return new AudioContext();
  }
}

export class Player extends EventTarget {
  #samples;
  #settings;
  #openContext;
  #song;
  #context = null;
  #strips = null;
  #run = null; // what is scheduled while the player plays
  #position = 0; // in samples, while it does not

  // What wavesurfer expects of a media element.
  volume = 1;
  muted = false;
  playbackRate = 1;
  readyState = 4;
  seeking = false;
  ended = false;
  src = "";
  currentSrc = "";

  constructor(song, samples, settings, openContext = openAudioContext) {
    super();
    this.#samples = samples;
    this.#settings = settings;
    this.#openContext = openContext;
    this.update(song);
    this.#position = this.#within(settings.position * this.rate);
    settings.addEventListener("change", () => this.#applySettings());
  }

  canPlayType() {
    return "";
  }

  load() {}

  removeAttribute() {}

  get rate() {
    return this.#song.tracks[0].rate;
  }

  get duration() {
    return this.#song.tracks[0].samples / this.rate;
  }

  get paused() {
    return this.#run === null;
  }

  get currentTime() {
    return this.#now() / this.rate;
  }

  set currentTime(seconds) {
    const wasPlaying = !this.paused;
    if (wasPlaying) this.#silence();
    this.#position = this.#within(seconds * this.rate);
    if (wasPlaying) this.#start();
    this.#settings.setPosition(this.currentTime);
    for (const name of ["seeking", "timeupdate", "seeked"]) this.dispatchEvent(new Event(name));
  }

  // Take another description of the song: more is ready, or tracks have changed.
  update(song) {
    const hasChanged = this.#song !== undefined && song.version !== this.#song.version;
    this.#song = song;
    this.#samples.use(song);
    if (this.#strips) this.#applyLevels();
    if (hasChanged && !this.paused) this.currentTime = this.currentTime;
  }

  async play() {
    if (!this.paused) return;
    this.#open();
    if (this.#position >= this.#song.tracks[0].samples) this.#position = 0;
    this.#start();
    this.dispatchEvent(new Event("play"));
    await this.#context.resume();
  }

  pause() {
    if (this.paused) return;
    this.#position = this.#now();
    this.#silence();
    this.#settings.setPosition(this.currentTime);
    this.dispatchEvent(new Event("pause"));
    this.dispatchEvent(new Event("timeupdate"));
  }

  // A context may start after a gesture of the user only.
  #open() {
    if (this.#context) return;
    this.#context = this.#openContext(this.rate);
    this.#strips = new Strips(this.#context);
    this.#applyLevels();
  }

  #applyLevels() {
    this.#strips.set(this.#settings, this.#song.tracks, !this.paused);
  }

  #applySettings() {
    if (!this.#strips) return;
    this.#applyLevels();
    const loop = this.#loop();
    if (this.#run && `${loop}` !== this.#run.loop) {
      const now = this.#now();
      this.currentTime = (loop && (now < loop[0] || now >= loop[1]) ? loop[0] : now) / this.rate;
    }
  }

  // The samples between which playback goes round, if it does.
  #loop() {
    const { loop, selection } = this.#settings;
    if (!loop || !selection) return null;
    const [start, stop] = [selection.start, selection.stop].map((seconds) => this.#within(seconds * this.rate));
    return stop > start ? [start, stop] : null;
  }

  #within(sample) {
    return Math.max(0, Math.min(Math.round(sample), this.#song.tracks[0].samples));
  }

  #start() {
    const run = { next: this.#position, frame: -1, pieces: [], sources: new Set(), isFilling: false };
    run.loop = `${this.#loop()}`;
    run.timer = setInterval(() => this.#tick(run), TICK_MS);
    this.#run = run;
    this.#tick(run);
  }

  #silence() {
    clearInterval(this.#run.timer);
    for (const source of this.#run.sources) source.stop();
    this.#run = null;
  }

  // The sample that is heard now.
  #now() {
    if (this.paused) return this.#position;
    const frame = this.#context.currentTime * this.rate;
    const piece = this.#run.pieces.findLast((each) => each.frame <= frame);
    if (!piece) return this.#run.pieces[0]?.start ?? this.#position;
    return Math.min(piece.stop, piece.start + Math.floor(frame - piece.frame));
  }

  #tick(run) {
    const frame = this.#context.currentTime * this.rate;
    run.pieces = run.pieces.filter((piece, i) => (run.pieces[i + 1]?.frame ?? Infinity) > frame);
    const isAtEnd = run.next === null && run.frame <= frame;
    if (isAtEnd) this.#end();
    else this.#fill(run).catch((error) => this.#fail(error));
  }

  #end() {
    this.#silence();
    this.#position = this.#song.tracks[0].samples;
    this.#settings.setPosition(0);
    for (const name of ["pause", "ended", "timeupdate"]) this.dispatchEvent(new Event(name));
  }

  #fail(error) {
    this.pause();
    this.dispatchEvent(new CustomEvent("failure", { detail: error.message }));
  }

  // Schedule pieces until enough is ahead of what is heard.
  async #fill(run) {
    if (run.isFilling) return;
    run.isFilling = true;
    try {
      while (run === this.#run && run.next !== null && this.#secondsAhead(run) < AHEAD_SECONDS) {
        const piece = this.#pieceFrom(run.next);
        const sounds = await this.#load(piece);
        if (run === this.#run) this.#schedule(run, piece, sounds);
      }
    } finally {
      run.isFilling = false;
    }
  }

  #secondsAhead(run) {
    return run.frame / this.rate - this.#context.currentTime;
  }

  // The piece that begins at a sample: up to the end of its chunk, of the loop or of the song.
  #pieceFrom(start) {
    const length = CHUNK_SECONDS * this.rate;
    const loop = this.#loop();
    const total = this.#song.tracks[0].samples;
    let stop = Math.min(total, (Math.floor(start / length) + 1) * length);
    if (loop && start < loop[1]) stop = Math.min(stop, loop[1]);
    const next = loop && stop === loop[1] ? loop[0] : stop === total ? null : stop;
    return { start, stop, next };
  }

  // The sound of all tracks in a piece. Where parts are not computed yet, the recording, which is their sum, is
  // heard in their place.
  async #load({ start, stop }) {
    const [recording, ...parts] = this.#song.tracks;
    const scaled = (sample, track) => Math.round((sample * track.rate) / this.rate);
    const isReady = parts.length > 0 && parts.every((track) => track.ready >= Math.min(track.samples, scaled(stop, track)));
    const outputs = new Map([[recording, isReady ? [this.#strips.recording] : [this.#strips.recording, this.#strips.mix]]]);
    if (isReady) for (const track of parts) outputs.set(track, [this.#strips.input(track)]);
    const loading = [...outputs].map(async ([track, nodes]) => {
      const channels = await this.#samples.read(track, scaled(start, track), scaled(stop, track));
      return { channels, rate: track.rate, nodes };
    });
    return Promise.all(loading);
  }

  #schedule(run, { start, stop, next }, sounds) {
    const earliest = Math.ceil((this.#context.currentTime + LEAD_SECONDS) * this.rate);
    // The first piece, or one that came too late: all tracks go on together.
    if (run.frame < earliest - LEAD_SECONDS * this.rate) run.frame = earliest;
    for (const { channels, rate, nodes } of sounds) {
      if (!channels[0].length) continue;
      const buffer = new AudioBuffer({ length: channels[0].length, numberOfChannels: channels.length, sampleRate: rate });
      channels.forEach((values, i) => buffer.copyToChannel(values, i));
      const source = new AudioBufferSourceNode(this.#context, { buffer });
      for (const node of nodes) source.connect(node);
      source.addEventListener("ended", () => {
        run.sources.delete(source);
        source.disconnect();
      });
      source.start(run.frame / this.rate);
      run.sources.add(source);
    }
    run.pieces.push({ frame: run.frame, start, stop });
    run.frame += stop - start;
    run.next = next;
  }
}
