// The table of the trials: sorted by any column, with the columns that are chosen.

import { $, download, h, icon, keepFocus, show } from "./dom.js";
import { count, csv, duration, number, score, toNumber } from "./format.js";
import { short, value } from "./question.js";
import { stateBadge } from "./states.js";
import { choose, chosen } from "./view.js";

const SHOWN = 100; // rows before "Show all"

export class TrialsTable {
  constructor(name, first) {
    this.trials = [];
    this.all = false;
    this.first = first; // what is sorted by unless the address says otherwise
    this.order = (chosen("sort") ?? first).replace(/^-/, "");
    this.falls = chosen("sort")?.startsWith("-") ?? false;
    this.left = new Set((chosen("without") ?? "").split(" ").filter(Boolean));
    $("#more").addEventListener("click", () => {
      this.all = true;
      this.#draw();
    });
    const button = h("button", { type: "button", class: "button small", title: "Download as CSV" }, icon("download"), "CSV");
    button.addEventListener("click", () => {
      const rows = this.#sorted().map((trial) => this.columns.map(({ of, raw }) => (raw ? raw(trial) : of(trial))));
      download(`${name}-trials.csv`, csv(this.columns.map(({ key }) => key), rows), "text/csv");
    });
    $("#trial-tools").append(button);
  }

  render(trials, paths, scoreName) {
    const key = paths.join(" ");
    this.trials = trials;
    if (key !== this.key || scoreName !== this.scoreName) {
      this.key = key;
      this.scoreName = scoreName;
      this.columns = columns(paths, scoreName);
      if (!this.columns.some((column) => column.key === this.order)) this.order = "number";
      this.#choices();
    }
    this.#draw();
  }

  #choices() {
    const boxes = this.columns.slice(1).map(({ key, label }) => {
      const box = h("input", { type: "checkbox", checked: !this.left.has(key) });
      box.addEventListener("change", () => {
        if (box.checked) this.left.delete(key);
        else this.left.add(key);
        choose("without", this.left.size ? [...this.left].join(" ") : null);
        this.#draw();
      });
      return h("label", { class: "key" }, box, label);
    });
    $("#columns .choices").replaceChildren(...boxes);
  }

  /** Trials without a value come last, whichever way the others go. */
  #sorted() {
    const { of } = this.columns.find(({ key }) => key === this.order);
    const sign = this.falls ? -1 : 1;
    const known = (x) => x !== null && x !== undefined && !Number.isNaN(x);
    return [...this.trials].sort((one, other) => {
      const [a, b] = [of(one), of(other)];
      if (!known(a) || !known(b)) return known(b) - known(a) || one.number - other.number;
      const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
      return sign * order || one.number - other.number;
    });
  }

  #draw() {
    const shown = this.columns.filter(({ key }) => !this.left.has(key));
    const rows = this.#sorted();
    const some = this.all ? rows : rows.slice(0, SHOWN);
    const head = ({ key, label, title, right }) => {
      const sort = h("button", { type: "button", class: "sort", title, onclick: () => this.#sort(key) }, label);
      const order = key === this.order ? (this.falls ? "descending" : "ascending") : null;
      return h("th", { scope: "col", class: right ? "right" : null, "aria-sort": order }, sort);
    };
    const cell = (trial, { show: text, right, key, label }) =>
      h(key === "number" ? "th" : "td", { class: right ? "right figures" : null, scope: key === "number" ? "row" : null, "data-label": label }, text(trial));
    const table = h("table", { class: "trials" }, h("thead", {}, h("tr", {}, shown.map(head))), h("tbody", {}, some.map((trial) => h("tr", {}, shown.map((column) => cell(trial, column))))));
    keepFocus($("#trials"), () => $("#trials").replaceChildren(table));
    $("#total").textContent = count(rows.length);
    $("#more").textContent = `Show all ${count(rows.length)} trials`;
    show($("#more"), some.length < rows.length);
  }

  #sort(key) {
    this.falls = key === this.order && !this.falls;
    this.order = key;
    const sort = `${this.falls ? "-" : ""}${key}`;
    choose("sort", sort === this.first ? null : sort);
    this.#draw();
  }
}

/** `of` is what a column is sorted by, `show` what it shows. */
function columns(paths, scoreName) {
  const numeric = (key, label, text = number) => ({ key, label, right: true, of: (trial) => toNumber(trial[key]), show: (trial) => text(trial[key]) });
  const link = (trial) => (trial.job ? h("a", { href: `/jobs/${encodeURIComponent(trial.job)}` }, `Trial ${trial.number}`) : `Trial ${trial.number}`);
  return [
    { key: "number", label: "Trial", of: ({ number: at }) => at, show: link },
    { key: "state", label: "State", of: ({ state }) => state, show: (trial) => h("span", { title: trial.error }, stateBadge(trial)) },
    ...paths.map((path) => ({
      key: path,
      label: short(path, paths),
      title: path,
      right: false,
      of: ({ parameters: { [path]: setting } }) => (typeof setting === "number" ? setting : setting === undefined ? null : value(setting)),
      raw: ({ parameters: { [path]: setting } }) => (typeof setting === "object" ? JSON.stringify(setting) : setting),
      show: ({ parameters: { [path]: setting } }) => (setting === undefined ? "–" : value(setting)),
    })),
    numeric("value", "Loss"),
    numeric("test_score", scoreName === "accuracy" ? "Test accuracy" : "Test score", (x) => (x === null ? "–" : score(x, scoreName))),
    numeric("test_loss", "Test loss"),
    { ...numeric("iteration", "Iterations", count), show: ({ iteration, iterations }) => (iterations ? `${count(iteration)} / ${count(iterations)}` : "–") },
    numeric("seconds", "Seconds", duration),
  ];
}
