// The bar that says what a selection is: corrections of the song, undo and redo.

import { requestJson, songAddress } from "./api.js";
import { button, element, formatTime } from "./dom.js";

const JSON_HEADERS = { "Content-Type": "application/json" };

export class CorrectionBar extends EventTarget {
  #token;
  #settings;
  #song = null;
  #source = element("select", { "aria-label": "Source" });

  constructor(token, settings) {
    super();
    this.#token = token;
    this.#settings = settings;
    this.text = element("span", { className: "selection" });
    this.is = button("is", "The source plays in the selection", () => this.#correct("is"));
    this.not = button("is not", "This part of the estimate is not the source", () => this.#correct("not"));
    this.absent = button("is silent", "The source does not play in the selection", () => this.#correct("absent"));
    this.region = button("gets all of it", "The rectangle belongs to the source", () => this.#correct("region"));
    this.undo = button("Undo", "Undo the last correction", () => this.#send("/undo"));
    this.redo = button("Redo", "Make the undone correction again", () => this.#send("/redo"));
    const say = element("span", { className: "say" }, "Here, ", this.#source, this.is, this.not, this.absent, this.region);
    this.say = say;
    this.root = element("div", { id: "corrections", role: "group" }, this.text, say, this.undo, this.redo);
    this.root.setAttribute("aria-label", "Corrections");
    settings.addEventListener("change", () => this.show(this.#song));
  }

  // Show what can be said now.
  show(song) {
    this.#song = song;
    const { selection } = this.#settings;
    const sources = song.tracks.filter((track) => track.role === "source").map((track) => track.name);
    this.root.hidden = !song.can_correct;
    this.say.hidden = !selection;
    this.#offer(sources, selection);
    const isBusy = song.state !== "done";
    const isBand = selection?.low !== undefined;
    const isRest = this.#source.value === "residual";
    for (const each of [this.is, this.not, this.absent]) each.hidden = isBand;
    this.region.hidden = !isBand;
    for (const each of [this.is, this.not, this.absent]) each.disabled = isBusy || isRest;
    this.region.disabled = isBusy;
    this.undo.disabled = isBusy || !song.corrections?.length;
    this.redo.disabled = isBusy || !song.undone;
    this.text.textContent = selection ? spanText(selection) : "Drag over a track to correct it.";
  }

  // Offer the sources, that of the lane in which the selection was made first chosen.
  #offer(sources, selection) {
    const names = selection?.low === undefined ? sources : [...sources, "residual"];
    const offered = [...this.#source.options].map((option) => option.value);
    if (`${offered}` !== `${names}`) {
      this.#source.replaceChildren(...names.map((name) => element("option", { value: name, textContent: name })));
    }
    if (selection !== this.selection && names.includes(selection?.track)) this.#source.value = selection.track;
    this.selection = selection;
  }

  #correct(kind) {
    const { start, stop, low, high } = this.#settings.selection;
    const band = kind === "region" ? { low, high } : {};
    this.#send("/corrections", [{ kind, source: this.#source.value, start, stop, ...band }]);
  }

  async #send(place, body) {
    const options = { method: "POST", headers: JSON_HEADERS, body: body && JSON.stringify(body) };
    try {
      await requestJson(songAddress(this.#token, place), options);
      this.dispatchEvent(new Event("sent"));
    } catch (error) {
      this.dispatchEvent(new CustomEvent("failure", { detail: error.message }));
    }
  }
}

function spanText({ start, stop, low, high }) {
  const band = low === undefined ? "" : `, ${Math.round(low)} to ${Math.round(high)} Hz`;
  return `${formatTime(start)} to ${formatTime(stop)}${band}`;
}
