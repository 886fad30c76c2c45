// The spectrogram under a waveform: a picture from the server, of which the visible part is drawn.

export class Spectrogram {
  #canvas;
  #picture = null;

  constructor(canvas) {
    this.#canvas = canvas;
  }

  async show(address) {
    const picture = new Image();
    picture.src = address;
    await picture.decode();
    this.#picture = picture;
    this.#canvas.dataset.shown = "true";
  }

  // Draw what lies between two shares of the song's length.
  draw(from, to) {
    const canvas = this.#canvas;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((size) => Math.round(size * devicePixelRatio));
    if (!this.#picture || !width) return;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const { naturalWidth, naturalHeight } = this.#picture;
    canvas.getContext("2d").drawImage(
      this.#picture, from * naturalWidth, 0, (to - from) * naturalWidth, naturalHeight, 0, 0, width, height,
    );
  }
}

// Rows of the picture are even in mel, as in spectrograms.py; heights are shares from the bottom.
const mel = (hertz) => 2595 * Math.log10(1 + hertz / 700);

export function frequencyAt(height, topFrequency) {
  return 700 * (10 ** ((height * mel(topFrequency)) / 2595) - 1);
}

export function heightOf(hertz, topFrequency) {
  return mel(hertz) / mel(topFrequency);
}
