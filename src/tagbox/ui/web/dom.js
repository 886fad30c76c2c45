// A few lines to make elements with.

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "for") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

// A button that calls `act`. After a press of the mouse or a finger it loses the focus, so that the space bar
// is free to play; who comes by the keyboard presses it with the space bar, too.
export function button(text, label, act) {
  const made = element("button", { type: "button", textContent: text, title: label, "aria-label": label });
  made.addEventListener("click", (event) => {
    act();
    if (event.detail > 0) made.blur();
  });
  return made;
}

// A slider with its name, which reads its value as `describe` words it.
export function slider(label, range, value, describe, act) {
  const input = element("input", { type: "range", ...range, value, "aria-label": label });
  const show = () => {
    input.setAttribute("aria-valuetext", describe(Number(input.value)));
    input.title = `${label}: ${describe(Number(input.value))}`;
  };
  input.addEventListener("input", () => {
    act(Number(input.value));
    show();
  });
  show();
  return input;
}

export function setPressed(made, isPressed) {
  made.setAttribute("aria-pressed", String(isPressed));
}

export function formatTime(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(1).padStart(4, "0")}`;
}

// Say how many runs have to end before a song's own.
export function describeWaiting(others) {
  if (!others) return "about to begin";
  return others === 1 ? "waits for 1 other run" : `waits for ${others} other runs`;
}
