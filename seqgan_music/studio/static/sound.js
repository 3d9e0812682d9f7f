// The one player: which take sounds, where it is, and how to go over to another at the same place.
export const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

// A take is one candidate with its sound. Sounds are asked for one after the other: the studio renders one at a time,
// and a browser has few connections to one server.
const waiting = [];
let loading = null;

function load(take) {
  if (take.audio.src) return;
  take.audio.preload = "auto";
  take.audio.src = take.address;
}

async function loadNext() {
  if (loading || !waiting.length) return;
  loading = waiting.shift();
  load(loading);
  await new Promise((done) => {
    for (const event of ["canplaythrough", "error"]) loading.audio.addEventListener(event, done, { once: true });
    setTimeout(done, 20000);
  });
  loading = null;
  loadNext();
}

export function makeTake(piece, address) {
  const take = { piece, address, audio: new Audio() };
  take.audio.preload = "none";
  waiting.push(take);
  loadNext();
  return take;
}

export function forget(take) {
  take.audio.pause();
  take.audio.removeAttribute("src");
  take.audio.load();
  const at = waiting.indexOf(take);
  if (at >= 0) waiting.splice(at, 1);
}

export class Player extends EventTarget {
  take = null;
  repeat = false;
  wanted = false; // whether it is to sound, once it can
  #pending = null; // seconds to go to once the sound is there

  get playing() {
    return Boolean(this.take) && this.wanted;
  }

  get seconds() {
    return this.#pending ?? this.take?.audio.currentTime ?? 0;
  }

  // In beats, so that it means the same in a take of another tempo.
  get place() {
    return this.take ? this.seconds / this.take.piece.seconds_a_beat : 0;
  }

  // Makes a take the current one, at the same place unless another is given.
  choose(take, { place = null, play = this.wanted } = {}) {
    const before = this.take;
    let beats = place === null ? this.place : place;
    if (place === null && beats >= take.piece.beats - 0.01) beats = 0;
    if (before !== take) {
      if (before) this.#leave(before);
      this.#enter(take);
    }
    this.#go(beats * take.piece.seconds_a_beat);
    if (play) this.play();
    else this.pause();
    this.dispatchEvent(new Event("change"));
  }

  play() {
    if (!this.take) return;
    this.wanted = true;
    load(this.take);
    const { audio, piece } = this.take;
    if (this.seconds >= piece.seconds - 0.02) this.#go(0);
    audio.loop = this.repeat;
    // Until it can go to its place nothing is heard, or it would begin at the beginning.
    if (this.#pending === null) this.#sound(audio);
    this.dispatchEvent(new Event("change"));
  }

  #sound(audio) {
    audio.play().catch((error) => {
      if (error.name === "AbortError") return; // switched away before it could begin
      this.wanted = false;
      this.dispatchEvent(new CustomEvent("trouble", { detail: "The sound cannot be played." }));
      this.dispatchEvent(new Event("change"));
    });
  }

  pause() {
    this.wanted = false;
    this.take?.audio.pause();
    this.dispatchEvent(new Event("change"));
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  seek(seconds) {
    if (!this.take) return;
    this.#go(Math.max(0, Math.min(seconds, this.take.piece.seconds)));
    this.dispatchEvent(new Event("change"));
  }

  // Moves by bars: to the next bar line, or back to this bar's or the one before.
  step(bars) {
    if (!this.take) return;
    const { piece } = this.take;
    const here = this.place;
    let index = piece.bars.findIndex(([, end]) => here < end - 0.02);
    if (index < 0) index = piece.bars.length - 1;
    const inside = here - piece.bars[index][0] > 0.5;
    const to = Math.max(0, Math.min(index + (bars < 0 && inside ? bars + 1 : bars), piece.bars.length - 1));
    this.seek(piece.bars[to][0] * piece.seconds_a_beat);
  }

  drop() {
    if (this.take) this.#leave(this.take);
    this.take = null;
    this.wanted = false;
    this.dispatchEvent(new Event("change"));
  }

  #go(seconds) {
    const { take } = this;
    load(take);
    if (take.audio.readyState > 0) {
      this.#pending = null;
      take.audio.currentTime = seconds;
      return;
    }
    const first = this.#pending === null;
    this.#pending = seconds;
    if (first) take.audio.addEventListener("loadedmetadata", () => this.#arrive(take), { once: true });
  }

  #arrive(take) {
    if (this.take !== take || this.#pending === null) return;
    take.audio.currentTime = this.#pending;
    this.#pending = null;
    if (this.wanted) this.#sound(take.audio);
  }

  #enter(take) {
    this.take = take;
    take.audio.onended = () => {
      this.wanted = false;
      this.dispatchEvent(new Event("change"));
    };
    take.audio.onseeked = () => this.dispatchEvent(new Event("change"));
  }

  #leave(take) {
    take.audio.onended = take.audio.onseeked = null;
    take.audio.pause();
    this.#pending = null;
  }
}
