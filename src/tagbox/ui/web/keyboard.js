// The keys of the mixer, unless somebody is typing or has a control in focus that uses the same key.

const SKIP_SECONDS = 5;
const USES_ARROWS = "input[type=range], select";
const USES_SPACE = "button:focus-visible, a:focus-visible, summary:focus-visible, input[type=checkbox]";
const USES_LETTERS = "input:not([type=range]), textarea, select";

export function listenToKeys(mixer) {
  const { player } = mixer;
  const skip = (seconds) => {
    player.currentTime = Math.max(0, Math.min(player.duration, player.currentTime + seconds));
  };
  const keys = {
    " ": () => (player.paused ? player.play() : player.pause()),
    s: () => mixer.toggle("solo"),
    m: () => mixer.toggle("mute"),
    l: () => mixer.toggleLoop(),
    r: () => mixer.toggleRecording(),
    "+": () => mixer.zoomBy(10),
    "-": () => mixer.zoomBy(-10),
    ArrowLeft: () => skip(-SKIP_SECONDS),
    ArrowRight: () => skip(SKIP_SECONDS),
    ArrowUp: () => mixer.selectLane(-1),
    ArrowDown: () => mixer.selectLane(1),
    Home: () => skip(-Infinity),
    Escape: () => mixer.clearSelection(),
  };
  document.addEventListener("keydown", (event) => {
    const act = keys[event.key];
    if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      (event.shiftKey ? mixer.corrections.redo : mixer.corrections.undo).click();
    }
    const taken = event.key === " " ? USES_SPACE : event.key.length === 1 ? null : USES_ARROWS;
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches(USES_LETTERS) || (taken && event.target.matches(taken))) return;
    event.preventDefault();
    act();
  });
}
