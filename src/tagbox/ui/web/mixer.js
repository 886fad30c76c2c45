// The mixer of one song: lanes, transport and keys around one player. The song is named in the address.

import { pause, requestJson, songAddress } from "./api.js";
import { CorrectionBar } from "./corrections.js";
import { button, describeWaiting, element, formatTime, setPressed, slider } from "./dom.js";
import { fitFrame } from "./frame.js";
import { listenToKeys } from "./keyboard.js";
import { rememberSong } from "./known_songs.js";
import { Lane } from "./lane.js";
import { Player } from "./player.js";
import { Samples } from "./samples.js";
import { Settings } from "./settings.js";

const POLL_MS = 600;
const MOST_PIXELS_PER_SECOND = 300;
const COLOURS = ["#7d838c", "#d95f02", "#16916a", "#7570b3", "#e0268a", "#5a9216", "#a6761d", "#3f83c9"];
const MOST_FAILURES = 5;
const ENDED = ["done", "failed", "cancelled"];

class Mixer {
  #token;
  #lanes = [];
  #selected = 0;
  #isFollowing = false;

  constructor(song) {
    this.#token = song.song;
    this.song = song;
    this.settings = new Settings(song.song, song.mixer);
    this.player = new Player(song, new Samples(song.song), this.settings);
    this.#buildTransport();
    this.#buildCorrections();
    this.lanesRoot = document.getElementById("lanes");
    this.settings.addEventListener("change", () => this.#showSettings());
    for (const name of ["play", "pause", "timeupdate"]) this.player.addEventListener(name, () => this.#showPosition());
    this.player.addEventListener("failure", (event) => this.#say(event.detail, true));
    window.addEventListener("resize", () => this.#showZoom());
    listenToKeys(this);
    this.#showPosition();
  }

  // Show what has become of the song; new tracks get lanes.
  async update(song) {
    this.song = song;
    this.player.update(song);
    for (const [i, track] of song.tracks.entries()) {
      if (!this.#lanes[i]) this.#addLane(track, i);
    }
    // Buttons say at once what can be done; outlines and pictures take a moment.
    const updates = song.tracks.map((track, i) => this.#lanes[i].update(track, song.version));
    this.#showState();
    this.corrections.show(song);
    this.#showSettings();
    await Promise.all(updates);
    await this.#drawWaves();
    this.#showZoom();
  }

  toggle(name) {
    const { track, isSource } = this.#lanes[this.#selected];
    if (isSource) this.settings.setTrack(track.name, { [name]: !this.settings.track(track.name)[name] });
  }

  toggleLoop() {
    const { selection, loop } = this.settings;
    if (selection) this.settings.set({ loop: !loop });
    else this.settings.set({ loop: true, selection: { start: 0, stop: this.player.duration } });
  }

  toggleRecording() {
    this.settings.set({ listen: this.settings.listen === "mix" ? "recording" : "mix" });
  }

  clearSelection() {
    this.settings.set({ selection: null, loop: false });
  }

  zoomBy(amount) {
    this.settings.set({ zoom: Math.max(0, Math.min(100, this.settings.zoom + amount)) });
    this.#showZoom();
  }

  selectLane(step) {
    this.#selected = Math.max(0, Math.min(this.#lanes.length - 1, this.#selected + step));
    this.#lanes[this.#selected].root.focus();
  }

  #addLane(track, index) {
    const lane = new Lane(this.#token, track, COLOURS[index % COLOURS.length], this.player, this.settings, index === 0);
    this.#lanes.push(lane);
    this.lanesRoot.append(lane.root);
    lane.root.addEventListener("focusin", () => this.#select(index));
    lane.root.addEventListener("pointerdown", () => this.#select(index));
    lane.addEventListener("view", () => lane.drawView());
    lane.surfer.on("scroll", () => this.#follow(lane));
    lane.surfer.on("redrawcomplete", () => lane.drawView());
    this.#select(this.#selected);
  }

  #select(index) {
    this.#selected = index;
    this.#lanes.forEach((lane, i) => lane.root.classList.toggle("selected", i === index));
  }

  // All lanes show the same span.
  #follow(leader) {
    leader.drawView();
    if (this.#isFollowing) return;
    this.#isFollowing = true;
    for (const lane of this.#lanes) {
      if (lane !== leader) lane.surfer.setScroll(leader.surfer.getScroll());
      lane.drawView();
    }
    this.#isFollowing = false;
  }

  // Draw the waveforms on one scale, so that a quiet track looks quiet.
  async #drawWaves() {
    const scale = Math.max(this.#lanes[0].peak, 0.01);
    const drawn = this.#lanes.filter((lane) => lane.needsDrawing);
    await Promise.all(drawn.map((lane) => lane.drawWave(scale)));
  }

  #buildTransport() {
    this.playButton = button("▶", "Play", () => (this.player.paused ? this.player.play() : this.player.pause()));
    this.playButton.id = "play";
    this.time = element("output", { id: "time" });
    this.position = slider("Position", { min: 0, max: this.player.duration, step: 0.1 }, 0, formatTime, (seconds) => {
      this.player.currentTime = seconds;
    });
    this.position.id = "position";
    this.recording = button("A/B", "Listen to the recording", () => this.toggleRecording());
    this.recording.id = "recording";
    this.loop = button("Loop", "Loop the selection", () => this.toggleLoop());
    this.loop.id = "loop";
    const percent = (value) => `${value} %`;
    this.zoom = slider("Zoom", { min: 0, max: 100, step: 1 }, this.settings.zoom, percent, (zoom) => {
      this.settings.set({ zoom });
      this.#showZoom();
    });
    this.export = element("a", { id: "export", className: "button", textContent: "Save mix", download: "" });
    this.archive = element("a", { id: "archive", className: "button", textContent: "Save all", download: "" });
    document.getElementById("transport").append(
      this.playButton, this.time, this.position, this.recording, this.loop,
    );
    document.getElementById("tools").append(
      element("label", { className: "zoom" }, "Zoom", this.zoom), this.export, this.archive,
    );
  }

  #buildCorrections() {
    this.corrections = new CorrectionBar(this.#token, this.settings);
    this.corrections.show(this.song);
    this.corrections.addEventListener("sent", () => this.follow().catch((error) => this.#say(error.message, true)));
    this.corrections.addEventListener("failure", (event) => this.#say(event.detail, true));
    document.getElementById("tools").append(this.corrections.root);
  }

  // Show what becomes of the song until nothing more is computed. A connection may fail now and then.
  async follow() {
    for (let failures = 0; ; ) {
      try {
        const song = await requestJson(songAddress(this.#token));
        await this.update(song);
        if (ENDED.includes(song.state)) return;
        failures = 0;
      } catch (error) {
        failures += 1;
        if (failures === MOST_FAILURES) throw error;
      }
      await pause(POLL_MS);
    }
  }

  #showState() {
    const { state, progress, error, waits_for: others } = this.song;
    const segments = progress.of ? `, ${progress.done} of ${progress.of} segments` : "";
    const texts = {
      waiting: describeWaiting(others),
      running: `computing${segments}; until a track is there, the recording is heard in its place`,
      correcting: "computing what the correction changes",
      failed: error,
      cancelled: "cancelled",
      done: "",
    };
    this.#say(texts[state], state === "failed");
    document.title = `${this.song.title} – TagBox`;
    document.getElementById("title").textContent = this.song.title;
    document.body.dataset.state = state;
  }

  #say(text, isError) {
    const line = document.getElementById("state");
    if (line.textContent !== text) line.textContent = text;
    line.classList.toggle("error", Boolean(isError));
  }

  #showSettings() {
    const { settings, song } = this;
    const levels = settings.levels(song.tracks);
    const isMix = settings.listen === "mix";
    for (const lane of this.#lanes) {
      lane.showSettings(lane.isSource ? isMix && lane.track.name in levels : true);
    }
    setPressed(this.recording, !isMix);
    setPressed(this.loop, settings.loop);
    this.zoom.value = settings.zoom;
    if (song.state === "done") this.#showDownloads(levels);
  }

  #showDownloads(levels) {
    const isEmpty = !Object.keys(levels).length;
    if (isEmpty) this.export.removeAttribute("href");
    else this.export.href = this.#mixAddress(levels, "mix");
    this.archive.href = songAddress(this.#token, "/zip");
    const parts = this.song.tracks.filter((track) => track.role !== "recording");
    for (const lane of this.#lanes) {
      const others = parts.filter((track) => track.name !== lane.track.name);
      const whole = Object.fromEntries(others.map(({ name }) => [name, { gain: 1, pan: 0 }]));
      lane.showLinks(this.#mixAddress(whole, `without ${lane.track.name}`));
    }
  }

  #mixAddress(levels, name) {
    return songAddress(this.#token, "/mix", { tracks: JSON.stringify(levels), name });
  }

  #showZoom() {
    if (!this.#lanes.length) return;
    const whole = this.#lanes[0].surfer.getWidth() / this.player.duration;
    const most = Math.max(MOST_PIXELS_PER_SECOND, whole);
    const pixels = whole * (most / whole) ** (this.settings.zoom / 100);
    for (const lane of this.#lanes) {
      lane.surfer.zoom(this.settings.zoom ? pixels : 0);
      lane.drawView();
    }
  }

  #showPosition() {
    const { paused, currentTime, duration } = this.player;
    this.playButton.textContent = paused ? "▶" : "❚❚";
    this.playButton.setAttribute("aria-label", paused ? "Play" : "Pause");
    this.playButton.title = this.playButton.getAttribute("aria-label");
    this.time.textContent = `${formatTime(currentTime)} / ${formatTime(duration)}`;
    this.position.value = currentTime;
    for (const lane of this.#lanes) lane.drawCursor();
    if (!paused && !this.frame) {
      this.frame = requestAnimationFrame(() => {
        this.frame = null;
        this.#showPosition();
      });
    }
  }

}

// Wait until there is something to hear, then show it.
async function main() {
  fitFrame();
  const token = new URLSearchParams(window.location.search).get("song");
  let song = await requestJson(songAddress(token));
  while (!song.tracks.length && !ENDED.includes(song.state)) {
    await pause(POLL_MS);
    song = await requestJson(songAddress(token));
  }
  if (!song.tracks.length) throw new Error(song.error ?? song.state);
  rememberSong(token);
  window.mixer = new Mixer(song);
  await window.mixer.follow();
}

main().catch((error) => {
  const line = document.getElementById("state");
  line.textContent = error.message;
  line.classList.add("error");
});
