// The page: jobs become cards, cards share one player, and keys work wherever nothing else needs them.
import * as api from "./api.js";
import { Card, spans } from "./card.js";
import { element, icon } from "./drawing.js";
import { Form } from "./form.js";
import { clock, Player } from "./sound.js";

const find = (selector) => document.querySelector(selector);
const MOST_CARDS = 24;
const NAMES = { mid: "MIDI", mp3: "MP3", musicxml: "MusicXML" };
const KEPT = "studio-board"; // in the tab's own storage: what a reload brings back

if (location.search) history.replaceState(null, "", "/"); // the token has done its work: out of sight

const player = new Player();
const cards = [];
let written = 0;
let form;
let quiet;

function say(text) {
  find("#say").textContent = text;
  clearTimeout(quiet);
  quiet = setTimeout(() => (find("#say").textContent = ""), 7000);
}

const studio = {
  player,
  programs: [],
  downloads: [],
  notation: false,
  temperature: () => Number(find("#temperature").value),
  changed: () => {
    refresh();
    remember();
  },
  rate: async (card, thumb) => {
    const liked = card.take.liked === thumb ? null : thumb; // the same one again takes it back
    try {
      const known = await api.rate(card.piece.id, liked);
      card.rated(liked);
      say(known.told);
      for (const other of cards) other.likely(known.liking);
    } catch (error) {
      say(error.message);
    }
  },
  putAway: (card) => {
    const next = card.root.nextElementSibling ?? card.root.previousElementSibling ?? find(".card");
    removeCard(card);
    (next?.querySelector(".badge") ?? find("#write")).focus();
  },
  more: (card) => work(() => api.like({ candidate: card.piece.id, count: 3, temperature: studio.temperature() }), `More like ${card.letter}`),
  mend: async (card, bars) => {
    card.busy(true);
    await work(() => api.rewrite({ candidate: card.piece.id, bars, temperature: studio.temperature() }), `${card.letter}, ${spans(bars).toLowerCase()} anew`, card);
    card.busy(false);
  },
};

// Follows a job in the list of jobs. What it makes becomes versions of `card`, or cards of a new group.
async function work(begin, title, card = null) {
  const bar = element("progress", { max: "1", value: "0", "aria-label": title });
  const told = element("span", {}, title);
  const stop = element("button", { type: "button" }, "Cancel");
  const shown = element("div", { class: "job" }, told, stop, bar);
  find("#jobs").append(shown);
  let group = null;
  try {
    const job = await begin();
    stop.addEventListener("click", () => api.cancel(job.id).catch((error) => say(error.message)));
    const last = await api.follow(
      job,
      (state) => {
        bar.value = state.progress;
        const left = state.seconds_left === null ? "" : ` · ${Math.max(1, Math.ceil(state.seconds_left))} s left`;
        told.textContent = state.state === "waiting" ? `${title} · ${state.ahead || "none"} before it` : `${title}${left}`;
      },
      async (id) => {
        const piece = await api.candidate(id);
        if (card) card.add(piece);
        else {
          group = group || addGroup(title);
          addCard(group, [piece]);
        }
      },
    );
    if (last.error) say(last.error);
    else find("#heard").textContent = `${title}: ${last.candidates.length} ${last.state === "done" ? "written" : "written, then cancelled"}`;
  } catch (error) {
    say(error.message);
  }
  shown.remove();
  form.look();
}

function addGroup(title) {
  const box = element("div", { class: "cards" });
  const group = element("section", { class: "group", "aria-label": title }, element("h2", {}, title), box);
  group.dataset.title = title;
  find("#groups").prepend(group);
  const { top } = group.getBoundingClientRect();
  if (!recalling && (top < 0 || top > innerHeight - 200)) group.scrollIntoView({ block: "start", behavior: "smooth" });
  return group;
}

function addCard(group, pieces) {
  const card = new Card(studio, written++);
  card.group = group;
  cards.push(card);
  group.querySelector(".cards").append(card.root);
  for (const piece of pieces) card.add(piece);
  while (cards.length > MOST_CARDS) removeCard(cards.find((one) => one.take !== player.take));
  if (!player.take) player.choose(card.take, { place: 0, play: false });
}

function removeCard(card) {
  cards.splice(cards.indexOf(card), 1);
  card.remove();
  if (!card.group.querySelector(".card")) card.group.remove();
  studio.changed();
}

function refresh() {
  const any = cards.length > 0;
  find("#empty").hidden = any;
  find("#tools").hidden = !any;
  find("#transport").hidden = !any;
  find("#legend").hidden = !cards.some((card) => card.piece.heat.length);
  for (const card of cards) card.refresh();
  const current = cards.find((card) => card.take === player.take);
  find("#current").textContent = current ? current.letter : "";
  find("#current").hidden = !current;
  if (current) find("#current").style.setProperty("--hue", current.hue);
  find("#toggle").replaceChildren(icon(player.playing ? "pause" : "play"));
  find("#toggle").setAttribute("aria-label", player.playing ? "Pause" : "Play");
  follow();
}

let following = false;
function follow() {
  if (player.take) {
    const { piece } = player.take;
    const { seconds } = player;
    find("#place").max = piece.seconds;
    find("#place").step = 0.01;
    if (!find("#place").matches(":active")) find("#place").value = seconds;
    find("#place").setAttribute("aria-valuetext", `${seconds.toFixed(1)} of ${piece.seconds.toFixed(0)} seconds`);
    find("#clock").textContent = `${clock(seconds)} / ${clock(piece.seconds)}`;
    cards.find((card) => card.take === player.take)?.follow();
  }
  if (player.playing && !following) {
    following = true;
    requestAnimationFrame(() => {
      following = false;
      follow();
    });
  }
}

function remember() {
  const groups = [...document.querySelectorAll(".group")].reverse().map((group) => ({
    title: group.dataset.title,
    cards: cards.filter((card) => card.group === group).map((card) => card.versions.map((take) => take.piece.id)),
  }));
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(groups));
  } catch {
    // Without storage a reload begins anew.
  }
}

let recalling = false;
async function recall() {
  let groups = [];
  try {
    groups = JSON.parse(sessionStorage.getItem(KEPT)) || [];
  } catch {
    return;
  }
  recalling = true;
  for (const { title, cards: ids } of groups) {
    for (const versions of ids) {
      const found = await Promise.all(versions.map((id) => api.candidate(id).catch(() => null)));
      const pieces = found.filter(Boolean);
      if (!pieces.length) continue;
      const group = [...document.querySelectorAll(".group")].find((one) => one.dataset.title === title) || addGroup(title);
      addCard(group, pieces);
    }
  }
  recalling = false;
}

function switchTo(index) {
  if (cards[index]) {
    player.choose(cards[index].take);
    cards[index].root.scrollIntoView({ block: "nearest" });
  }
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !player.take) return;
  const inside = event.target;
  if (inside.matches("input:not([type=checkbox]), select, textarea")) return;
  const order = [...document.querySelectorAll(".card")].map((root) => cards.find((card) => card.root === root));
  const here = order.findIndex((card) => card.take === player.take);
  const to = (index) => switchTo(cards.indexOf(order[index]));
  if (event.key === " " && !inside.matches("button, summary, a, input")) player.toggle();
  else if (event.key === "ArrowRight") player.step(1);
  else if (event.key === "ArrowLeft") player.step(-1);
  else if (event.key === "ArrowDown" && order.length) to(Math.min(here + 1, order.length - 1));
  else if (event.key === "ArrowUp" && order.length) to(Math.max(here - 1, 0));
  else if (/^[1-9]$/.test(event.key) && order[event.key - 1]) to(event.key - 1);
  else return;
  event.preventDefault();
}

async function begin() {
  const offered = await api.about();
  Object.assign(studio, { programs: offered.programs, downloads: offered.downloads.map((suffix) => [suffix, NAMES[suffix]]) });
  find("#about").textContent = `seqgan-music ${offered.version}`;
  find("#score-switch").disabled = Boolean(offered.no_notation);
  find("#score-switch").title = offered.no_notation;
  form = new Form(offered, {
    write: (settings) => work(() => api.compose(settings), form.title(settings)),
    fail: say,
    onRun: (run) => {
      studio.run = run;
    },
  });
  await recall();
  refresh();
}

player.addEventListener("change", refresh);
player.addEventListener("trouble", (event) => say(event.detail));
find("#toggle").addEventListener("click", () => player.toggle());
find("#to-begin").addEventListener("click", () => player.seek(0));
find("#repeat").addEventListener("click", () => {
  player.repeat = !player.repeat;
  find("#repeat").setAttribute("aria-pressed", player.repeat);
  if (player.take) player.take.audio.loop = player.repeat;
});
find("#place").addEventListener("input", (event) => player.seek(Number(event.target.value)));
find("#score-switch").addEventListener("click", () => {
  studio.notation = !studio.notation;
  find("#score-switch").setAttribute("aria-pressed", studio.notation);
  for (const card of cards) card.show(card.at);
});
find("#clear").addEventListener("click", () => {
  for (const card of [...cards]) removeCard(card);
  written = 0;
  find("#write").focus();
});
document.addEventListener("keydown", keys);
addEventListener("resize", refresh);
begin().catch((error) => say(error.message));
