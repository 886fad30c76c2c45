// The strips of the mixer as Web Audio nodes: balance and gain of each track, and a switch between the mix of
// all tracks and the recording.

const RAMP_SECONDS = 0.01;

export class Strips {
  #context;
  #strips = new Map();

  constructor(context) {
    this.#context = context;
    this.mix = context.createGain();
    this.recording = context.createGain();
    this.mix.connect(context.destination);
    this.recording.connect(context.destination);
  }

  // Where the sound of a track goes in.
  input(track) {
    if (track.role === "recording") return this.recording;
    if (!this.#strips.has(track.name)) this.#strips.set(track.name, this.#newStrip());
    return this.#strips.get(track.name).input;
  }

  // Set what is heard; at once where nothing is heard yet, otherwise without a click.
  set(settings, tracks, isHeard) {
    const levels = settings.levels(tracks);
    for (const track of tracks) this.input(track);
    for (const [name, strip] of this.#strips) {
      const { gain, pan } = levels[name] ?? { gain: 0, pan: 0 };
      // The same law as in mixdown.py: the other side becomes quieter, and at the centre nothing changes.
      this.#turn(strip.left, gain * Math.min(1, 1 - pan), isHeard);
      this.#turn(strip.right, gain * Math.min(1, 1 + pan), isHeard);
    }
    this.#turn(this.mix, settings.listen === "mix" ? 1 : 0, isHeard);
    this.#turn(this.recording, settings.listen === "recording" ? 1 : 0, isHeard);
  }

  #newStrip() {
    const input = new GainNode(this.#context, { channelCount: 2, channelCountMode: "explicit" });
    const splitter = new ChannelSplitterNode(this.#context, { numberOfOutputs: 2 });
    const merger = new ChannelMergerNode(this.#context, { numberOfInputs: 2 });
    const [left, right] = [0, 1].map((side) => {
      const gain = this.#context.createGain();
      splitter.connect(gain, side);
      gain.connect(merger, 0, side);
      return gain;
    });
    input.connect(splitter);
    merger.connect(this.mix);
    return { input, left, right };
  }

  #turn(node, value, isHeard) {
    if (isHeard) node.gain.setTargetAtTime(value, this.#context.currentTime, RAMP_SECONDS);
    else node.gain.value = value;
  }
}
