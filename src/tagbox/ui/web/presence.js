// Where a source is heard in the recording: windows of time with probabilities, as a strip above its waveform.

import { formatTime } from "./dom.js";

export const PEAKS_PER_SECOND = 100;
const CLEAR = 0.5;

// Cut out of the windows where the track is silent, to the last sample: somebody said that the source does not play.
export function whereSound(windows, peaks) {
  if (!peaks) return windows;
  const hasSound = (i) => peaks[2 * i] !== 0 || peaks[2 * i + 1] !== 0;
  const parts = [];
  for (const [start, stop, probability] of windows) {
    const last = Math.min(Math.floor(stop * PEAKS_PER_SECOND), peaks.length / 2);
    let begin = null;
    for (let i = Math.floor(start * PEAKS_PER_SECOND); i <= last; i += 1) {
      const sounds = i < last && hasSound(i);
      if (sounds && begin === null) begin = i;
      if (!sounds && begin !== null) {
        parts.push([begin / PEAKS_PER_SECOND, i / PEAKS_PER_SECOND, probability]);
        begin = null;
      }
    }
  }
  return parts;
}

// Draw what lies between two moments; the more probable, the darker.
export function drawPresence(canvas, parts, from, to) {
  if (canvas.hidden || !canvas.clientWidth) return;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((size) => Math.round(size * devicePixelRatio));
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.fillStyle = getComputedStyle(canvas).getPropertyValue("--colour");
  const x = (seconds) => ((seconds - from) / (to - from)) * width;
  for (const [start, stop, probability] of parts) {
    context.globalAlpha = probability;
    context.fillRect(x(start), 0, x(stop) - x(start), height);
  }
}

// Say in words where the source is more probable than not.
export function describePresence(parts) {
  const spans = [];
  for (const [start, stop, probability] of parts) {
    if (probability < CLEAR) continue;
    if (spans.length && start - spans.at(-1)[1] < 0.05) spans.at(-1)[1] = stop;
    else spans.push([start, stop]);
  }
  if (!spans.length) return "nowhere for sure";
  return spans.map(([start, stop]) => `from ${formatTime(start)} to ${formatTime(stop)}`).join(", ");
}
