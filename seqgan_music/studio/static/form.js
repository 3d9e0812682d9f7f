// The knobs: filled from what the studio offers, read as the settings of a request; and the file to begin with.
import * as api from "./api.js";
import { element, roll } from "./drawing.js";

const TONICS = ["C", "C#", "Db", "D", "Eb", "E", "F", "F#", "Gb", "G", "Ab", "A", "Bb", "B"];
const MODES = ["major", "minor", "dorian", "mixolydian", "phrygian", "lydian", "locrian", "harmonic minor"];
// What pieces can be preferred for, in few words; an objective without a name here is called as it is.
const PREFERENCES = {
  critic: "the critic",
  liked: "what I like",
  key: "staying in a key",
  ending: "ending on the tonic",
  steps: "steps and leaps",
  repetition: "bars that return",
  range: "range",
  density: "density",
};
const TEXTS = ["density", "pitch_range"];
const NUMBERS = ["bars", "count", "temperature", "tempo", "seed", "max_copy", "top_p", "top_k"];

const form = document.querySelector("#form");
const fields = form.elements;
const find = (selector) => document.querySelector(selector);

export class Form {
  primer = null;

  constructor(offered, { write, fail, onRun }) {
    this.onRun = onRun;
    this.offered = offered;
    this.fail = fail;
    fields.tonic.append(element("option", { value: "" }, "any"), ...TONICS.map((name) => element("option", {}, name)));
    fields.mode.append(...MODES.map((name) => element("option", {}, name)));
    fields.program.append(element("option", { value: "" }, "as learnt"));
    offered.programs.forEach((name, number) => fields.program.append(element("option", { value: number }, name)));
    fields.run.append(...offered.runs.map(({ name }) => element("option", { value: name }, name)));
    fields.prefer.append(
      ...offered.preferences.map((name) => element("option", { value: `${name}=1` }, PREFERENCES[name] || name)),
    );
    fields.prefer.addEventListener("change", () => (fields.best_of.disabled = !fields.prefer.value));
    fields.best_of.max = offered.most_best_of;
    fields.bars.max = offered.most_bars;
    fields.count.max = offered.most_candidates;
    find("#file").accept = offered.primers.join(",");
    fields.tonic.addEventListener("change", () => (fields.mode.disabled = !fields.tonic.value));
    fields.temperature.addEventListener("input", () => this.#say());
    fields.count.addEventListener("input", () => this.#say());
    fields.run.addEventListener("change", () => this.look());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      write(this.settings());
    });
    this.#dropping();
    this.#say();
    this.look();
  }

  settings() {
    const told = { run: fields.run.value };
    for (const name of NUMBERS) if (fields[name].value !== "") told[name] = Number(fields[name].value);
    for (const name of TEXTS) if (fields[name].value.trim()) told[name] = fields[name].value.trim();
    if (fields.prefer.value) Object.assign(told, { prefer: fields.prefer.value, best_of: Number(fields.best_of.value) || 2 });
    if (fields.program.value !== "") told.program = Number(fields.program.value);
    if (fields.tonic.value) told.key = `${fields.tonic.value} ${fields.mode.value}`;
    if (this.primer) Object.assign(told, { primer: this.primer.id, keep_primer: fields.keep_primer.checked });
    return told;
  }

  // What a group of pieces is called: what was asked for.
  title(told) {
    const parts = [
      told.run,
      told.primer ? `after ${this.primer.name}` : "",
      `${told.bars} bars`,
      told.key || "",
      told.temperature === 1 ? "" : `temperature ${told.temperature}`,
      told.density ? `${told.density} notes a bar` : "",
      told.pitch_range || "",
      told.prefer ? `best of ${told.best_of} by ${fields.prefer.selectedOptions[0].textContent}` : "",
      told.max_copy ? `at most ${told.max_copy} notes copied` : "",
    ];
    return parts.filter(Boolean).join(" · ");
  }

  #say() {
    find("#temperature-text").textContent = Number(fields.temperature.value).toFixed(2);
    const count = Number(fields.count.value) || 1;
    find("#write").textContent = count === 1 ? "Write a piece" : `Write ${count} pieces`;
  }

  // Reads what there is to know of the run; whether it has a critic is known once something was written.
  async look() {
    try {
      const run = await api.run(fields.run.value);
      if (run.name !== fields.run.value) return; // another was chosen meanwhile
      fields.tempo.title = `Quarter notes a minute; as learnt: ${Math.round(run.tempo)}`;
      fields.program.title = `As learnt: ${this.offered.programs[run.program]}`;
      fields.max_copy.disabled = Boolean(run.no_copies);
      if (run.no_copies) fields.max_copy.value = "";
      find("#copy-note").hidden = !run.no_copies;
      find("#copy-note").textContent = `Copies cannot be found with this run: ${run.no_copies}.`;
      find("#run-note").textContent = [run.about, run.no_critic].filter(Boolean).join("; ");
      this.onRun(run);
      this.run = run;
    } catch (error) {
      find("#run-note").textContent = error.message;
    }
  }

  #dropping() {
    const box = find("#primer");
    const over = (yes) => box.classList.toggle("over", yes);
    // A file dropped beside the box would take the place of the page.
    for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());
    document.addEventListener("dragover", (event) => over(Boolean(event.dataTransfer?.types.includes("Files"))));
    document.addEventListener("dragleave", (event) => event.relatedTarget || over(false));
    document.addEventListener("drop", (event) => {
      over(false);
      if (event.dataTransfer.files.length) this.take(event.dataTransfer.files[0]);
    });
    find("#file").addEventListener("change", (event) => {
      if (event.target.files.length) this.take(event.target.files[0]);
      event.target.value = "";
    });
    find("#primer-remove").addEventListener("click", () => {
      this.#hold(null);
      find("#file").focus();
    });
  }

  // Sends a file to be read as what the music begins with.
  async take(file) {
    if (file.size > this.offered.most_primer_bytes) {
      this.fail(`${file.name} is too large: the studio reads up to ${this.offered.most_primer_bytes >> 20} MB.`);
      return;
    }
    find("#file-text").textContent = `Reading ${file.name} …`;
    try {
      this.#hold(await api.upload(file, fields.run.value));
    } catch (error) {
      this.#hold(this.primer);
      this.fail(error.message);
    }
  }

  #hold(primer) {
    this.primer = primer;
    const held = Boolean(primer);
    find("#primer").classList.toggle("held", held);
    find("#primer-held").hidden = !held;
    const choose = element("u", {}, held ? "Choose another file" : "choose one");
    find("#file-text").replaceChildren(held ? "" : "Begin with music of yours: drop a file here, or ", choose);
    if (!held) return;
    find("#primer-name").textContent = primer.name;
    find("#primer-roll").replaceChildren(roll({ ...primer, primed: 0, parent: null }, { lines: false }).picture);
    find("#primer-roll").style.setProperty("--hue", "var(--accent)");
    const changes = Object.entries(primer.changes).map(([reason, count]) => `${reason} ${count}`);
    const facts = [
      `${primer.bars.length} bars, ${primer.notes.length} notes`,
      primer.others ? `the first of ${primer.others + 1} pieces` : "",
      changes.length ? `changed: ${changes.join(", ")}` : "",
    ];
    find("#primer-note").textContent = facts.filter(Boolean).join("; ");
  }
}
