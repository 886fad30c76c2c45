// The samples of a song's tracks, fetched in short chunks: a long song starts at once and takes little memory.

import { request, songAddress } from "./api.js";

export const CHUNK_SECONDS = 2;
const KEPT_CHUNKS_PER_TRACK = 16;

export class Samples {
  #token;
  #version = 0;
  #chunks = new Map(); // by version, track and number; what was used last comes last

  constructor(token) {
    this.#token = token;
  }

  // Forget what was fetched of another version of the song.
  use(song) {
    if (song.version !== this.#version) this.#chunks.clear();
    this.#version = song.version;
    this.limit = KEPT_CHUNKS_PER_TRACK * song.tracks.length;
  }

  // Return one Float32Array per channel of the samples from `start` to `stop`, which lie in one chunk.
  async read(track, start, stop) {
    const length = CHUNK_SECONDS * track.rate;
    const number = Math.floor(start / length);
    const channels = await this.#chunk(track, number, length);
    return channels.map((values) => values.subarray(start - number * length, stop - number * length));
  }

  #chunk(track, number, length) {
    const key = `${this.#version} ${number} ${track.name}`;
    const chunk = this.#chunks.get(key) ?? this.#fetch(track, number * length, (number + 1) * length);
    this.#chunks.delete(key);
    // A chunk that is still growing is fetched again the next time.
    if (track.ready >= Math.min(track.samples, (number + 1) * length)) this.#keep(key, chunk);
    return chunk;
  }

  #keep(key, chunk) {
    this.#chunks.set(key, chunk);
    chunk.catch(() => this.#chunks.delete(key));
    for (const oldest of this.#chunks.keys()) {
      if (this.#chunks.size <= this.limit) break;
      this.#chunks.delete(oldest);
    }
  }

  async #fetch(track, start, stop) {
    const query = { track: track.name, start, stop, version: this.#version };
    const answer = await request(songAddress(this.#token, "/samples", query));
    return separateChannels(new Float32Array(await answer.arrayBuffer()), track.channels);
  }
}

function separateChannels(interleaved, count) {
  if (count === 1) return [interleaved];
  const length = interleaved.length / count;
  return Array.from({ length: count }, (_, channel) => {
    const values = new Float32Array(length);
    for (let i = 0, from = channel; i < length; i += 1, from += count) values[i] = interleaved[from];
    return values;
  });
}
