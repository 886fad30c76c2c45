// A lane of the mixer: the controls of one track, its waveform by wavesurfer, and its spectrogram.

import { request, songAddress } from "./api.js";
import { button, element, setPressed, slider } from "./dom.js";
import { watchDrags } from "./drag.js";
import { PEAKS_PER_SECOND, describePresence, drawPresence, whereSound } from "./presence.js";
import { HIGHEST_DB, LOWEST_DB } from "./settings.js";
import { Spectrogram, frequencyAt, heightOf } from "./spectrogram.js";
import RegionsPlugin from "./vendor/regions.esm.js";
import TimelinePlugin from "./vendor/timeline.esm.js";
import WaveSurfer from "./vendor/wavesurfer.esm.js";

const HEIGHT = 52;
const FULL_SCALE = 127;
const SELECTION = "selection";
const SELECTION_COLOUR = "rgba(64, 132, 255, 0.22)";

export class Lane extends EventTarget {
  #token;
  #settings;
  #player;
  #peaksReady = 0;
  #version = 0;
  #shownVersion = 0; // of the spectrogram
  #peaks = null;
  #presence = [];

  constructor(token, track, colour, player, settings, isFirst) {
    super();
    this.#token = token;
    this.#settings = settings;
    this.#player = player;
    this.track = track;
    this.cursor = element("div", { className: "cursor" });
    this.wave = element("div", { className: "wave" });
    this.canvas = element("canvas", { className: "spectrogram", role: "img" });
    this.canvas.setAttribute("aria-label", `spectrogram of ${track.name}`);
    this.spectrogram = new Spectrogram(this.canvas);
    this.head = element("div", { className: "head" });
    this.band = element("div", { className: "band", hidden: true });
    const picture = element("div", { className: "picture" }, this.canvas, this.band);
    this.presence = element("canvas", { className: "presence", role: "img", hidden: true });
    const body = element("div", { className: "body" }, this.presence, this.wave, picture, this.cursor);
    this.root = element("section", { className: "lane", tabIndex: -1 }, this.head, body);
    this.root.dataset.track = track.name;
    this.root.setAttribute("aria-label", track.name);
    this.root.style.setProperty("--colour", colour);
    this.#buildHead();
    this.regions = RegionsPlugin.create();
    this.surfer = WaveSurfer.create({
      container: this.wave,
      height: HEIGHT,
      media: player,
      waveColor: `${colour}a0`,
      progressColor: colour,
      cursorWidth: 0,
      hideScrollbar: true,
      peaks: [[0], [0]],
      duration: player.duration,
      plugins: isFirst ? [this.regions, TimelinePlugin.create({ height: 16 })] : [this.regions],
    });
    this.#connectSelection();
  }

  get isSource() {
    return this.track.role !== "recording";
  }

  // Take another description of the track; fetch its outline where more of it is ready, and its picture.
  async update(track, version) {
    const isNew = version !== this.#version;
    this.track = track;
    this.#showTags();
    if (isNew || track.ready !== this.#peaksReady) {
      await this.#fetchPeaks();
      this.#peaksReady = track.ready;
      this.needsDrawing = true;
    }
    if (track.spectrogram && this.#shownVersion !== version) {
      await this.spectrogram.show(songAddress(this.#token, `/files/${encodeURIComponent(track.spectrogram)}`, { version }));
      this.#shownVersion = version;
      this.dispatchEvent(new Event("view"));
    }
    this.#showPresence();
    this.#version = version;
  }

  // The largest sample of the outline, by which all lanes are scaled.
  get peak() {
    return this.#peaks ? this.#peaks.reduce((highest, value) => Math.max(highest, Math.abs(value)), 0) / FULL_SCALE : 0;
  }

  async drawWave(scale) {
    if (!this.#peaks) return;
    const count = Math.ceil(this.#player.duration * PEAKS_PER_SECOND);
    const [low, high] = [new Float32Array(count), new Float32Array(count)];
    for (let i = 0; i < Math.min(count, this.#peaks.length / 2); i += 1) {
      low[i] = this.#peaks[2 * i] / FULL_SCALE / scale;
      high[i] = this.#peaks[2 * i + 1] / FULL_SCALE / scale;
    }
    await this.surfer.load("", [high, low], this.#player.duration).catch(() => {});
    this.needsDrawing = false;
    this.dispatchEvent(new Event("view"));
  }

  #showPresence() {
    const spans = this.track.presence ?? [];
    if (!spans.length) return;
    this.#presence = whereSound(spans, this.#peaks);
    this.presence.hidden = false;
    this.presence.setAttribute("aria-label", `${this.track.name} is heard ${describePresence(this.#presence)}`);
    this.presence.title = this.presence.getAttribute("aria-label");
    this.dispatchEvent(new Event("view"));
  }

  // The shares of the song that lie at the left and the right edge.
  get visible() {
    const total = Math.max(this.surfer.getWrapper().scrollWidth, 1);
    const from = this.surfer.getScroll() / total;
    return [from, Math.min(1, from + this.surfer.getWidth() / total)];
  }

  drawView() {
    const [from, to] = this.visible;
    this.spectrogram.draw(from, to);
    drawPresence(this.presence, this.#presence, from * this.#player.duration, to * this.#player.duration);
    this.drawCursor();
    this.#drawBand();
  }

  drawCursor() {
    const [from, to] = this.visible;
    const share = (this.#player.currentTime / this.#player.duration - from) / (to - from);
    this.cursor.style.left = `${100 * share}%`;
    this.cursor.hidden = share < 0 || share > 1;
  }

  showSettings(isHeard) {
    this.root.classList.toggle("unheard", !isHeard);
    if (this.isSource) {
      const { volume, pan, mute, solo } = this.#settings.track(this.track.name);
      setPressed(this.solo, solo);
      setPressed(this.mute, mute);
      this.volume.value = volume;
      this.pan.value = pan;
    }
    this.#showSelection();
  }

  #buildHead() {
    const { name } = this.track;
    this.tags = element("p", { className: "tags" });
    this.links = element("p", { className: "links" });
    this.head.append(element("h2", { textContent: this.isSource ? name : "recording" }));
    if (this.isSource) this.head.append(this.#buildControls(name));
    this.head.append(this.tags, this.links);
  }

  #buildControls(name) {
    const set = (values) => this.#settings.setTrack(name, values);
    const own = () => this.#settings.track(name);
    this.solo = button("S", `Solo ${name}`, () => set({ solo: !own().solo }));
    this.mute = button("M", `Mute ${name}`, () => set({ mute: !own().mute }));
    const decibel = (value) => (value <= LOWEST_DB ? "silent" : `${value} dB`);
    const side = (value) => (value === 0 ? "centre" : `${Math.round(Math.abs(value) * 100)} % ${value < 0 ? "left" : "right"}`);
    const volumes = { min: LOWEST_DB, max: HIGHEST_DB, step: 1 };
    this.volume = slider(`Volume of ${name}`, volumes, own().volume, decibel, (volume) => set({ volume }));
    this.pan = slider(`Pan of ${name}`, { min: -1, max: 1, step: 0.1 }, own().pan, side, (pan) => set({ pan }));
    this.pan.className = "pan";
    return element(
      "div", { className: "controls" }, this.solo, this.mute,
      element("label", { className: "volume" }, "Vol", this.volume), element("label", {}, "Pan", this.pan),
    );
  }

  #showTags() {
    const heard = Object.entries(this.track.tags ?? {}).map(([tag, share]) => `${tag}\u00a0${Math.round(100 * share)}\u00a0%`);
    this.tags.textContent = heard.length ? `heard: ${heard.join(", ")}` : "";
  }

  // Links to the track's own file and to the mix of all others.
  showLinks(withoutAddress) {
    if (!this.track.file || this.links.children.length) return;
    const own = songAddress(this.#token, `/files/${encodeURIComponent(this.track.file)}`);
    this.links.append(element("a", { href: own, download: "", textContent: "save" }));
    this.links.firstChild.setAttribute("aria-label", `Save ${this.track.name}`);
    if (this.track.role === "source") {
      const without = element("a", { href: withoutAddress, download: "", textContent: `save without ${this.track.name}` });
      this.links.append(without);
    }
  }

  async #fetchPeaks() {
    const answer = await request(songAddress(this.#token, "/peaks", { track: this.track.name }));
    this.#peaks = new Int8Array(await answer.arrayBuffer());
  }

  // A drag over the waveform selects a span of time for all lanes; over the spectrogram, one of frequencies, too.
  #connectSelection() {
    this.regions.on("region-updated", ({ start, end }) => {
      this.#settings.set({ selection: { ...this.#settings.selection, start, stop: end } });
    });
    watchDrags(this.wave, this.#selecting((rectangle) => this.#spanOf(rectangle)));
    watchDrags(this.canvas, this.#selecting((rectangle) => ({ ...this.#spanOf(rectangle), ...this.#bandOf(rectangle) })));
  }

  // What drags and clicks do, where `selectionOf(rectangle)` is selected by a drag.
  #selecting(selectionOf) {
    return {
      onClick: (x) => {
        this.#player.currentTime = this.#secondsAt(x);
      },
      onMove: (rectangle) => {
        this.#drawSpan(selectionOf(rectangle));
        this.#drawRectangle(selectionOf(rectangle));
      },
      onDrag: (rectangle) => this.#settings.set({ selection: selectionOf(rectangle) }),
      onCancel: () => this.#showSelection(),
      hasOwnDrag: (event) => event.composedPath().some((each) => each.part?.contains("region-handle")),
    };
  }

  // The time in seconds at a share of the width that is visible.
  #secondsAt(x) {
    const [from, to] = this.visible;
    return (from + x * (to - from)) * this.#player.duration;
  }

  #spanOf({ left, right }) {
    return { start: this.#secondsAt(left), stop: this.#secondsAt(right), track: this.track.name };
  }

  #bandOf({ bottom, top }) {
    const highest = this.track.top_frequency;
    return highest ? { low: frequencyAt(bottom, highest), high: frequencyAt(top, highest) } : {};
  }

  // The selection over the spectrogram: a rectangle in its own lane, all frequencies in the others.
  #drawBand() {
    const { selection } = this.#settings;
    this.band.hidden = !selection;
    if (selection) this.#drawRectangle(selection);
  }

  #drawRectangle({ start, stop, low, high, track }) {
    const [from, to] = this.visible;
    const x = (seconds) => Math.max(0, Math.min(1, (seconds / this.#player.duration - from) / (to - from)));
    const isOwn = low !== undefined && track === this.track.name && this.track.top_frequency;
    const [bottom, top] = isOwn ? [low, high].map((hertz) => heightOf(hertz, this.track.top_frequency)) : [0, 1];
    this.band.hidden = false;
    this.band.style.left = `${100 * x(start)}%`;
    this.band.style.width = `${100 * (x(stop) - x(start))}%`;
    this.band.style.bottom = `${100 * bottom}%`;
    this.band.style.height = `${100 * (top - bottom)}%`;
  }

  #showSelection() {
    const { selection } = this.#settings;
    this.#drawBand();
    if (selection) this.#drawSpan(selection);
    else this.#shownSpan?.remove();
  }

  get #shownSpan() {
    return this.regions.getRegions().find((region) => region.id === SELECTION);
  }

  // The selection over the waveform, with borders that can be dragged.
  #drawSpan({ start, stop }) {
    const shown = this.#shownSpan;
    if (!shown) this.regions.addRegion({ id: SELECTION, start, end: stop, color: SELECTION_COLOUR, drag: false });
    else if (shown.start !== start || shown.end !== stop) shown.setOptions({ start, end: stop });
  }
}
