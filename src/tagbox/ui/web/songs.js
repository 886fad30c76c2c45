// Several recordings: a list with the state of each, and all results as one archive.

import { ServerError, pause, request, requestJson, songAddress } from "./api.js";
import { button, describeWaiting, element } from "./dom.js";
import { fitFrame } from "./frame.js";
import { forgetSong, knownSongs, rememberSong } from "./known_songs.js";

const POLL_MS = 1000;
const RUNNING = ["waiting", "running"];

const list = document.getElementById("songs");
const archive = document.getElementById("archive");
const form = document.getElementById("form");

// Send one recording; the list shows it as soon as the server has it.
async function send(file, words, preset) {
  const query = new URLSearchParams([["name", file.name], ["preset", preset], ...words.map((word) => ["words", word])]);
  const line = element("li", { textContent: `${file.name}: sending` });
  list.append(line);
  try {
    const song = await requestJson(`api/songs?${query}`, { method: "POST", body: file });
    rememberSong(song.song);
    line.remove();
    show(song);
  } catch (error) {
    line.textContent = `${file.name}: ${error.message}`;
    line.className = "error";
  }
}

function stateText({ state, error, progress, waits_for: others }) {
  if (state === "waiting") return describeWaiting(others);
  if (state === "running") return progress.of ? `segment ${progress.done} of ${progress.of}` : "computing";
  return error ?? state;
}

// Write what is known of a song into its line; a new song gets one.
function show(song) {
  let line = list.querySelector(`[data-song="${song.song}"]`);
  if (!line) {
    line = element("li", {}, element("span", { className: "name" }), element("span", { className: "state", role: "status" }));
    line.dataset.song = song.song;
    list.append(line);
  }
  line.dataset.state = song.state;
  line.querySelector(".name").textContent = `${song.title}: ${song.words.join(", ")}`;
  line.querySelector(".state").textContent = stateText(song);
  line.classList.toggle("error", song.state === "failed");
  if (!line.querySelector("a")) {
    const open = element("a", { href: `mixer?song=${song.song}`, target: "_blank", className: "button", textContent: "Open" });
    open.setAttribute("aria-label", `Open ${song.title} in the mixer`);
    line.append(open, button("Remove", `Remove ${song.title}`, () => remove(song.song)));
  }
  const done = list.querySelectorAll("[data-state=done]");
  const query = new URLSearchParams([...done].map((each) => ["songs", each.dataset.song]));
  if (done.length) archive.href = `api/zip?${query}`;
  else archive.removeAttribute("href");
}

async function remove(token) {
  forgetSong(token);
  list.querySelector(`[data-song="${token}"]`)?.remove();
  await request(songAddress(token), { method: "DELETE" }).catch(() => {});
}

async function showAll() {
  for (const token of knownSongs()) {
    const state = list.querySelector(`[data-song="${token}"]`)?.dataset.state;
    if (state && !RUNNING.includes(state)) continue;
    try {
      show(await requestJson(songAddress(token)));
    } catch (error) {
      // The server has removed it; where the server cannot be reached, it may still be there later.
      if (error instanceof ServerError) forgetSong(token);
    }
  }
}

async function offerWords() {
  const { words, presets } = await requestJson("api/words");
  document.getElementById("known").append(...words.map((word) => element("option", { value: word })));
  form.elements.preset.append(...presets.map((name) => element("option", { textContent: name })));
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const words = form.elements.words.value.split(",").map((word) => word.trim()).filter(Boolean);
  const files = [...form.elements.files.files];
  form.elements.files.value = "";
  for (const file of files) await send(file, words, form.elements.preset.value);
});

async function main() {
  fitFrame();
  await offerWords();
  for (;;) {
    await showAll();
    await pause(POLL_MS);
  }
}

main();
