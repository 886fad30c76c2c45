// When a track sounds: its part of the recording's energy, span by span, as a strip above its waveform.

import { formatTime } from "./dom.js";

export const PEAKS_PER_SECOND = 100;
// The part of the energy from which a track is said to sound; less may be what leaked from others. 10 dB below the whole.
const CLEAR = 0.1;

// Cut out of the spans where the track is silent, to the last sample: somebody said that the source does not play.
export function whereSound(spans, peaks) {
  if (!peaks) return spans;
  const hasSound = (i) => peaks[2 * i] !== 0 || peaks[2 * i + 1] !== 0;
  const sounding = [];
  for (const [start, stop, part] of spans) {
    const last = Math.min(Math.floor(stop * PEAKS_PER_SECOND), peaks.length / 2);
    let begin = null;
    for (let i = Math.floor(start * PEAKS_PER_SECOND); i <= last; i += 1) {
      const sounds = i < last && hasSound(i);
      if (sounds && begin === null) begin = i;
      if (!sounds && begin !== null) {
        sounding.push([begin / PEAKS_PER_SECOND, i / PEAKS_PER_SECOND, part]);
        begin = null;
      }
    }
  }
  return sounding;
}

// Draw what lies between two moments; the louder, the darker.
export function drawPresence(canvas, spans, from, to) {
  if (canvas.hidden || !canvas.clientWidth) return;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((size) => Math.round(size * devicePixelRatio));
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.fillStyle = getComputedStyle(canvas).getPropertyValue("--colour");
  const x = (seconds) => ((seconds - from) / (to - from)) * width;
  for (const [start, stop, part] of spans) {
    context.globalAlpha = Math.sqrt(part);
    context.fillRect(x(start), 0, x(stop) - x(start), height);
  }
}

// Say in words where the track is loud enough to be told from the rest.
export function describePresence(spans) {
  const clear = [];
  for (const [start, stop, part] of spans) {
    if (part < CLEAR) continue;
    if (clear.length && start - clear.at(-1)[1] < 0.05) clear.at(-1)[1] = stop;
    else clear.push([start, stop]);
  }
  if (!clear.length) return "nowhere for sure";
  return clear.map(([start, stop]) => `from ${formatTime(start)} to ${formatTime(stop)}`).join(", ");
}
