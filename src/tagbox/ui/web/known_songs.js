// The songs that this browser has opened, by their tokens: the server tells nobody which songs it has.

const KEY = "tagbox-songs";

export function knownSongs() {
  return JSON.parse(window.localStorage.getItem(KEY) ?? "[]");
}

export function rememberSong(token) {
  if (!knownSongs().includes(token)) window.localStorage.setItem(KEY, JSON.stringify([...knownSongs(), token]));
}

export function forgetSong(token) {
  window.localStorage.setItem(KEY, JSON.stringify(knownSongs().filter((each) => each !== token)));
}
