// A card: one candidate as a person meets it, with its roll, its bars, what can be done with it, and its versions.
import * as api from "./api.js";
import { element, icon, roll } from "./drawing.js";
import { slider } from "./roll.js";
import { forget, makeTake } from "./sound.js";

const LEAST_BAR = 24; // pixels: what a finger can meet
const HUES = 8;

const between = (low, value, high) => Math.max(low, Math.min(value, high));

// `studio` has what a card cannot do alone: the player, the abilities, and jobs (`more`, `mend`, `rate`, `fail`).
export class Card {
  versions = [];
  chosen = new Set();

  constructor(studio, number) {
    this.studio = studio;
    this.letter = String.fromCharCode(65 + (number % 26)) + (number >= 26 ? Math.floor(number / 26) : "");
    this.root = element("article", { class: "card", "aria-label": `Piece ${this.letter}` });
    this.root.style.setProperty("--hue", `var(--s${number % HUES})`);
    this.hue = `var(--s${number % HUES})`;
  }

  get piece() {
    return this.take.piece;
  }

  get take() {
    return this.versions[this.at];
  }

  // Adds a candidate as the newest version and shows it.
  add(piece) {
    this.versions.push(makeTake(piece, api.address(piece.id, "flac")));
    this.show(this.versions.length - 1);
  }

  show(at) {
    const before = this.at === undefined ? null : this.take;
    this.at = at;
    this.chosen.clear();
    this.#build();
    if (before && this.studio.player.take === before) this.studio.player.choose(this.take);
    this.studio.changed();
  }

  remove() {
    if (this.versions.includes(this.studio.player.take)) this.studio.player.drop();
    this.versions.forEach(forget);
    this.root.remove();
  }

  // Draws where the sound is; called with every frame while it plays.
  follow() {
    const current = this.studio.player.take === this.take;
    const beats = current ? this.studio.player.place : this.take.audio.currentTime / this.piece.seconds_a_beat;
    const x = (beats / this.piece.beats) * this.frame.clientWidth;
    this.head.style.transform = `translateX(${x}px)`;
    this.root.classList.toggle("started", beats > 0);
    this.piece.notes.forEach(([onset, duration], index) => {
      const on = current && this.studio.player.playing && onset <= beats && beats < onset + duration;
      if (on !== this.sounding.has(index)) {
        this.drawn[index].classList.toggle("on", on);
        if (on) this.sounding.add(index);
        else this.sounding.delete(index);
      }
    });
    if (current && this.studio.player.playing && this.scroll.scrollWidth > this.scroll.clientWidth) {
      const inside = x - this.scroll.scrollLeft;
      if (inside < 0 || inside > this.scroll.clientWidth - 30) this.scroll.scrollLeft = x - 30;
    }
    this.tell();
  }

  // Shows whether it is the current piece, and what the studio is doing with it.
  refresh() {
    const { player } = this.studio;
    const current = player.take === this.take;
    this.root.classList.toggle("current", current);
    const playing = current && player.playing;
    this.playButton.replaceChildren(icon(playing ? "pause" : "play"), playing ? " Pause" : " Play");
    this.badge.setAttribute("aria-pressed", current);
    this.follow();
  }

  busy(yes) {
    this.root.classList.toggle("busy", yes);
    this.root.setAttribute("aria-busy", yes);
  }

  rated(liked) {
    this.take.liked = liked;
    this.up.setAttribute("aria-pressed", liked === true);
    this.down.setAttribute("aria-pressed", liked === false);
  }

  // Shows how likely it is that the person likes it, by what they rated so far.
  likely(liking) {
    if (this.piece.id in liking) this.piece.liking = liking[this.piece.id]; // null where thumbs say nothing any more
    const value = this.piece.liking;
    this.taste.hidden = value === null;
    if (value !== null) this.taste.textContent = `to your taste: ${Math.round(100 * value)} of 100`;
  }

  play() {
    const { player } = this.studio;
    if (player.take === this.take) player.toggle();
    else player.choose(this.take, { play: true });
  }

  #build() {
    const { piece } = this;
    this.root.replaceChildren(
      this.#head(),
      this.#sheet(),
      this.#choice(),
      ...piece.warnings.map((text) => element("p", { class: "warning" }, text)),
      this.#told(),
      this.#notation(),
      this.#acts(),
    );
    this.refresh();
    this.rated(this.take.liked ?? null);
    this.likely({});
  }

  #head() {
    const { piece } = this;
    this.badge = element("button", { type: "button", class: "badge", "aria-label": `Switch to piece ${this.letter}` }, this.letter);
    this.badge.addEventListener("click", () => this.studio.player.choose(this.take));
    this.up = element("button", { type: "button", class: "icon", "aria-label": `Like piece ${this.letter}` }, icon("up"));
    this.down = element("button", { type: "button", class: "icon", "aria-label": `Dislike piece ${this.letter}` }, icon("down"));
    this.up.addEventListener("click", () => this.studio.rate(this, true));
    this.down.addEventListener("click", () => this.studio.rate(this, false));
    const away = element("button", { type: "button", class: "icon remove", "aria-label": `Put piece ${this.letter} away` }, icon("close"));
    away.addEventListener("click", () => this.studio.putAway(this));
    const facts = [
      piece.title,
      piece.key,
      piece.meter,
      `${Math.round(piece.tempo)} bpm`,
      this.studio.programs[piece.program],
      `${piece.notes.length} notes`,
    ];
    this.taste = element("span", { hidden: true });
    return element(
      "header",
      {},
      this.badge,
      element("div", { class: "facts" }, element("b", {}, `Seed ${piece.seed}`), element("span", {}, facts.filter(Boolean).join(" · ")), ...[this.#critics()].filter(Boolean), this.taste),
      element("div", { class: "thumbs" }, this.up, this.down, away),
    );
  }

  // Ranks say more than the critic's own figure, and the one among the run's own tells its pieces apart.
  #critics() {
    const { rank, own_rank: own } = this.piece;
    const parts = [
      own === null ? "" : `${Math.round(100 * own)}% of its own`,
      rank === null ? "" : `${Math.round(100 * rank)}% of real`,
    ].filter(Boolean);
    return parts.length ? element("span", { class: "critic", title: "Where the critic ranks it among pieces that the run writes, and among held-out music" }, `critic: above ${parts.join(", ")}`) : null;
  }

  #sheet() {
    const { piece } = this;
    const { picture, notes, octaves } = roll(piece);
    this.drawn = notes;
    this.sounding = new Set();
    this.head = element("i", { class: "playhead" });
    const names = octaves.map(({ name, top }) => {
      const label = element("span", { class: "octave", "aria-hidden": "true" }, name);
      label.style.top = `${100 * top}%`;
      return label;
    });
    this.frame = element(
      "div",
      { class: "roll", role: "slider", tabindex: "0", "aria-label": `Piece ${this.letter}: place in seconds; arrows move by a bar, space plays`, "aria-valuemin": "0" },
      picture,
      ...names,
      this.head,
    );
    const { player } = this.studio;
    this.tell = slider(this.frame, {
      now: () => (player.take === this.take ? player.seconds : this.take.audio.currentTime),
      bar: () => (piece.bars[0][1] - piece.bars[0][0]) * piece.seconds_a_beat,
      last: () => piece.seconds,
      seek: (seconds) => player.choose(this.take, { place: seconds / piece.seconds_a_beat }),
      toggle: () => this.play(),
    });
    this.frame.addEventListener("click", (event) => {
      const box = this.frame.getBoundingClientRect();
      player.choose(this.take, { place: (piece.beats * (event.clientX - box.left)) / box.width, play: true });
    });
    const sheet = element("div", { class: "sheet" }, this.frame, this.#bars());
    sheet.style.width = `max(100%, ${piece.bars.length * LEAST_BAR}px)`;
    this.scroll = element("div", { class: "scroll" }, sheet);
    return this.scroll;
  }

  // The bars are buttons, shaded by what the critic thinks of each; arrows go along them.
  #bars() {
    const { piece } = this;
    const heat = piece.heat.length === piece.bars.length ? piece.heat : [];
    const about = heat.length ? "Bars, shaded by where the critic ranks each among bars of real music" : "Bars";
    const box = element("div", { class: "bars", role: "group", "aria-label": `${about}; choose some to have them written anew` });
    piece.bars.forEach(([start, end], index) => {
      const said = heat.length ? `, above ${Math.round(100 * heat[index])}% of real bars` : "";
      const button = element("button", { type: "button", "aria-pressed": "false", tabindex: index ? "-1" : "0", "aria-label": `Bar ${index + 1}${said}`, title: `Bar ${index + 1}${said}` }, String(index + 1));
      if (heat.length) button.style.setProperty("--shade-of-bar", `${Math.round(4 + 96 * heat[index])}%`);
      button.style.flexGrow = end - start;
      button.addEventListener("click", (event) => this.#choose(index, event.shiftKey));
      box.append(button);
    });
    box.addEventListener("keydown", (event) => {
      const buttons = [...box.children];
      const from = buttons.indexOf(document.activeElement);
      const to = { ArrowRight: from + 1, ArrowLeft: from - 1, Home: 0, End: buttons.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      buttons[from].tabIndex = -1;
      const next = buttons[between(0, to, buttons.length - 1)];
      next.tabIndex = 0;
      next.focus();
    });
    this.barButtons = [...box.children];
    return box;
  }

  #choose(bar, several) {
    if (several && this.last !== undefined) {
      for (let one = Math.min(bar, this.last); one <= Math.max(bar, this.last); one++) this.chosen.add(one);
    } else if (this.chosen.has(bar)) this.chosen.delete(bar);
    else this.chosen.add(bar);
    this.last = bar;
    this.barButtons.forEach((button, index) => button.setAttribute("aria-pressed", this.chosen.has(index)));
    const bars = [...this.chosen].sort((a, b) => a - b);
    this.choice.hidden = !bars.length;
    this.choiceText.textContent = spans(bars);
  }

  #choice() {
    this.choiceText = element("span", {});
    const anew = element("button", { type: "button" }, "Write anew");
    const from = element("button", { type: "button" }, icon("play"), " From here");
    const none = element("button", { type: "button", class: "icon", "aria-label": "Choose no bars" }, icon("close"));
    const bars = () => [...this.chosen].sort((a, b) => a - b);
    anew.addEventListener("click", () => this.studio.mend(this, bars()));
    from.addEventListener("click", () => this.studio.player.choose(this.take, { place: this.piece.bars[bars()[0]][0], play: true }));
    none.addEventListener("click", () => {
      this.chosen.clear();
      this.barButtons.forEach((button) => button.setAttribute("aria-pressed", "false"));
      this.choice.hidden = true;
    });
    this.anew = anew;
    this.choice = element("div", { class: "chosen", hidden: true }, this.choiceText, anew, from, none);
    return this.choice;
  }

  #told() {
    const { copied } = this.piece;
    return copied ? element("p", { class: "line" }, `Longest run in common with the training music: ${copied}`) : "";
  }

  #notation() {
    if (!this.studio.notation) return "";
    return element("img", { class: "notation", loading: "lazy", alt: `Piece ${this.letter} in notation`, src: api.address(this.piece.id, "svg") });
  }

  #acts() {
    this.playButton = element("button", { type: "button", class: "play" });
    this.playButton.addEventListener("click", () => this.play());
    const more = element("button", { type: "button" }, "More like this");
    more.addEventListener("click", () => this.studio.more(this));
    const saves = this.studio.downloads.map(([suffix, name]) =>
      element("a", { href: api.address(this.piece.id, suffix, true), download: "", "aria-label": `Save piece ${this.letter} as ${name}` }, name),
    );
    return element("div", { class: "acts" }, this.playButton, more, this.#takes(), element("span", { class: "gap" }), ...saves);
  }

  #takes() {
    if (this.versions.length < 2) return null;
    const back = element("button", { type: "button", "aria-label": "Version before", disabled: this.at === 0 }, "‹");
    const on = element("button", { type: "button", "aria-label": "Version after", disabled: this.at === this.versions.length - 1 }, "›");
    back.addEventListener("click", () => this.show(this.at - 1));
    on.addEventListener("click", () => this.show(this.at + 1));
    return element("span", { class: "takes" }, back, `version ${this.at + 1} of ${this.versions.length}`, on);
  }
}

// Bars from 0 as people say them: "Bars 3–5, 8".
export function spans(bars) {
  const parts = [];
  for (const bar of bars) {
    const last = parts.at(-1);
    if (last && last[1] === bar - 1) last[1] = bar;
    else parts.push([bar, bar]);
  }
  const said = parts.map(([from, to]) => (from === to ? `${from + 1}` : `${from + 1}–${to + 1}`)).join(", ");
  return `${bars.length === 1 ? "Bar" : "Bars"} ${said}`;
}
