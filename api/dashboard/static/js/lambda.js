// λ: its quantiles over time (or one line for each value, if there are few), its histogram, and its extremes.

import { ApiProblem, Unreachable, get, jobPath } from "./api.js";
import { ROOM_ABOVE } from "./chart.js";
import { $, bar, h, show } from "./dom.js";
import { Figure, axis, css, decades, faded, horizontal, layout, plottable } from "./figure.js";
import { count, counted, number, percent, sentenceCase, toNumber } from "./format.js";
import { Pictures } from "./pictures.js";
import { choose, chosen } from "./view.js";

const FEW = 10;
const ALIKE = 1.05; // strengths of which none is more than 5 % stronger than another
const MOST = 50; // entries of one page, and of what a snapshot has of each end
const ORDERS = ["lowest", "highest"];

/** What the values of λ are called, by its scale. */
const NOUNS = {
  logistic: { one: "weight", many: "weights", lam: "λ (logit)" },
  log: { one: "strength", many: "strengths", lam: "λ (log)" },
  linear: { one: "λ", many: "values of λ", lam: "λ" },
};

/** Of a noise matrix: how many rows of one class were given another label. */
const SHARES = { one: "share", many: "shares", lam: "λ (logit)" };

/** Whether λ is a noise matrix, whose values are shares of rows. */
export const isNoise = ({ groups }) => groups[0]?.name === "noise matrix";

/** Whether strengths from `low` to `high` are as good as one. */
export const hardlyMoved = (low, high) => low > 0 && high / low < ALIKE;

/** Pages of every value, all of one iteration. Pages that were shown are kept, so that going back never mixes two iterations. */
class Walk {
  constructor(said = null) {
    this.pages = [];
    this.place = 0;
    this.said = said; // what happened
  }

  get page() {
    return this.pages[this.place] ?? null;
  }
}

export class Lambda {
  /** `across` is what its chart runs across, and `secondsAt(iteration)` when the solver was there. */
  constructor(jobId, across, secondsAt) {
    this.jobId = jobId;
    this.across = across;
    this.secondsAt = secondsAt;
    this.now = null; // the newest values in short
    this.past = null; // their history
    this.group = 0;
    this.order = ORDERS.includes(chosen("order")) ? chosen("order") : null;
    this.rows = FEW;
    this.walk = chosen("values") === "all" ? new Walk() : null; // through every value
    this.pictures = Pictures.of(jobId);
    this.history = new Figure($("#history"), { name: `${jobId}-hyperparameters`, redraw: () => this.draw() });
    this.histogram = new Figure($("#histogram"), { name: `${jobId}-hyperparameters-histogram`, redraw: () => this.draw() });
    this.choice = h("select", { class: "small", "aria-label": "Group of hyperparameters" });
    this.choice.addEventListener("change", () => {
      this.group = Number(this.choice.value);
      this.draw();
    });
    show(this.choice, false);
    this.history.prepend(this.choice);
    for (const order of ORDERS) {
      $("#entries .tools").append(
        h("button", { type: "button", class: "button small", "data-order": order, onclick: () => this.#reorder(order) }, sentenceCase(order)),
      );
    }
    $("#more-entries").addEventListener("click", () => {
      this.rows = MOST;
      this.#list();
    });
    $("#all-entries").addEventListener("click", () => this.#walkThrough(true));
    $("#newest-entries").addEventListener("click", () => this.#walkThrough(false));
    let turning = Promise.resolve(); // one turn after the other, however fast the clicks come
    for (const [id, step] of [["#next-entries", 1], ["#previous-entries", -1]]) {
      $(id).addEventListener("click", () => (turning = turning.catch(() => {}).then(() => this.#turn(step))));
    }
  }

  /** A new attempt may have other values. */
  restart() {
    this.past = null;
  }

  /** Fetches what is new. Returns whether anything was. `suspects`: whether the page lists the lowest already. */
  async advance({ suspects = false, ended = false } = {}) {
    const after = this.past?.next_after ?? -1;
    const tail = await get(jobPath(this.jobId, `/hyperparameters/history?after=${after}`));
    if (!this.past?.iteration.length) this.past = tail; // before the first snapshot, a history has no groups
    else if (tail.iteration.length) this.#append(tail);
    const before = this.now;
    if (before !== null && !tail.iteration.length && before.final === ended) return false;
    // The lowest weights of a finished job are the suspects, which the page shows above.
    this.order ??= tail.scale === "logistic" && !isNoise(tail) && !suspects ? "lowest" : "highest";
    this.now = await get(jobPath(this.jobId, `/hyperparameters?order=${this.order}&limit=${this.rows}`));
    if (this.walk && this.now.size > 0 && this.walk.page?.final !== this.now.final) await this.#begin();
    return this.now.iteration !== null || this.now.size > 0;
  }

  #append(tail) {
    this.past.iteration.push(...tail.iteration);
    this.past.next_after = tail.next_after;
    this.past.groups.forEach((group, place) => {
      for (const kind of ["lam", "value"]) group[kind].forEach((line, index) => line.push(...tail.groups[place][kind][index]));
    });
    this.past.values?.forEach((line, index) => line.push(...tail.values[index]));
  }

  get noun() {
    return isNoise(this.now) ? SHARES : NOUNS[this.now.scale];
  }

  async draw() {
    if (!this.now?.size) return;
    show($("#lambda"));
    show(this.choice, this.now.groups.length > 1);
    if (this.choice.length !== this.now.groups.length) {
      this.choice.replaceChildren(...this.now.groups.map(({ name }, place) => h("option", { value: place }, sentenceCase(name))));
    }
    if (this.past.iteration.length) this.#drawHistory();
    show($("#history"), this.past.iteration.length > 0);
    const counted = this.now.groups[this.group].histogram.counts.some((many) => many > 0);
    show($("#histogram"), counted); // nothing is counted where no value is finite
    if (counted) this.#drawHistogram();
    await this.#drawEntries();
  }

  /** Draws over time once more, after what it runs across has changed. */
  redraw() {
    if (this.now?.size && this.past.iteration.length) this.#drawHistory();
  }

  #drawHistory() {
    const { iteration, probabilities, groups } = this.past;
    const x = this.across.values({ iteration, seconds: iteration.map(this.secondsAt) });
    const group = groups[this.group];
    const log = this.past.scale === "log";
    const begin = groups.slice(0, this.group).reduce((sum, { size }) => sum + size, 0);
    const lines = this.past.values?.slice(begin, begin + group.size);
    const names = this.past.names?.slice(begin, begin + group.size);
    const colour = css("--upper");
    const all = (lines ?? group.value).flat().map(toNumber).filter(Number.isFinite);
    const extent = [Math.min(...all), Math.max(...all)];
    const mode = iteration.length === 1 ? "markers" : "lines";
    const quantile = (place) => group.value[place].map(toNumber).map(plottable);
    let traces;
    let legend;
    if (lines) {
      const order = lines.map((line, place) => [toNumber(line.at(-1)), place]).sort(([a], [b]) => a - b);
      const rank = new Map(order.map(([, place], index) => [place, index / Math.max(1, order.length - 1)]));
      traces = lines.map((line, place) => ({
        x,
        y: line.map(toNumber).map(plottable),
        name: names[place],
        mode,
        line: { color: between(css("--lower"), colour, rank.get(place)), width: 1.5 },
        hovertemplate: `${escapeName(names[place])}: %{y:.4g}<extra></extra>`,
      }));
      legend = [
        { label: `highest ${this.noun.one} at the end`, colour: "--upper" },
        { label: "lowest", colour: "--lower" },
      ];
    } else {
      const edge = { x, mode: "lines", line: { width: 0 }, showlegend: false, hoverinfo: "skip" };
      const band = (low, high, opacity) => [
        { ...edge, y: quantile(low) },
        { ...edge, y: quantile(high), fill: "tonexty", fillcolor: faded(colour, opacity) },
      ];
      const end = (place, name) => ({ x, y: quantile(place), name, mode, line: { color: css("--muted"), width: 1, dash: "dot" }, hovertemplate: "%{y:.4g}" });
      traces = [
        ...band(1, 5, 0.16),
        ...band(2, 4, 0.26),
        end(0, "lowest"),
        end(6, "highest"),
        { x, y: quantile(3), name: "median", mode, line: { color: colour, width: 2 }, hovertemplate: "%{y:.4g}" },
      ];
      legend = [
        { label: "Median", colour: "--upper" },
        { label: "25 % to 75 %", colour: "--upper", dash: "band inner" },
        { label: "5 % to 95 %", colour: "--upper", dash: "band" },
        { label: "Lowest, highest", colour: "--muted", dash: "dot" },
      ];
    }
    const columns = lines ? names.map((name) => ({ key: name, label: name })) : probabilities.map((p) => ({ key: `quantile_${p}`, label: `${Math.round(p * 100)} %` }));
    const values = lines ?? group.value;
    const { iteration: found } = this.now;
    const answer = this.now.final && found !== null && (found > 0 || this.across.by !== "log") ? found : null;
    const there = { iteration: [answer], seconds: [this.secondsAt(answer)] };
    const spot = this.across.place(there, answer);
    this.history.render({
      traces,
      layout: layout(
        horizontal(this.across.title, this.across.axis()),
        axis(this.noun.one, { type: log ? "log" : "linear", tickformat: "~g", dtick: log ? decades(...extent) : undefined, range: this.past.scale === "logistic" && !isNoise(this.past) ? [0, 1] : undefined }),
        {
          hovermode: lines ? "closest" : "x unified",
          ...(answer === null ? {} : ROOM_ABOVE),
          shapes: answer === null ? [] : [{ type: "line", yref: "paper", x0: spot, x1: spot, y0: 0, y1: 1, line: { color: css("--good"), width: 1.5, dash: "dash" } }],
          annotations: answer === null ? [] : [{ x: this.across.text(there, answer), y: 1, yref: "paper", text: "the result", showarrow: false, xanchor: answer > iteration.at(-1) / 2 ? "right" : "left", yanchor: "bottom", font: { color: css("--good"), size: 12 } }],
        },
      ),
      legend,
      caption: `${count(group.size)} ${group.size === 1 ? this.noun.one : this.noun.many} at ${counted(iteration.length, "iteration")}`,
      columns: [{ key: "iteration", label: "Iteration", whole: true }, ...columns],
      rows: () => iteration.map((at, index) => [at, ...values.map((line) => line[index])]),
    });
  }

  #drawHistogram() {
    const { name, size, histogram } = this.now.groups[this.group];
    const log = this.now.scale === "log";
    const edges = histogram.edges.map(toNumber);
    const middles = histogram.counts.map((_, place) => (log ? Math.sqrt(edges[place] * edges[place + 1]) : (edges[place] + edges[place + 1]) / 2));
    const colour = css("--upper");
    const x = log ? middles.map(Math.log10) : middles;
    const [low, high] = [edges[0], edges.at(-1)];
    const alike = log && size > 1 && hardlyMoved(low, high);
    const ticks = log ? (alike ? [Math.sqrt(low * high)] : logTicks(low, high)) : null;
    const margin = log ? 0.02 * Math.log10(high / low) : 0; // so that the ticks at both ends are inside
    $("#histogram-title").textContent = this.now.final ? "λ of the result" : "λ now";
    this.histogram.render({
      traces: [
        {
          type: "bar",
          x,
          y: histogram.counts,
          width: log ? (Math.log10(high) - Math.log10(low)) / x.length : (high - low) / x.length,
          marker: { color: faded(colour, 0.75), line: { width: 1, color: css("--surface") } },
          customdata: middles.map((_, place) => [number(edges[place]), number(edges[place + 1])]),
          hovertemplate: "%{customdata[0]} to %{customdata[1]}: %{y:,d}<extra></extra>",
        },
      ],
      layout: layout(
        horizontal(this.noun.one, ticks ? { tickvals: ticks.map(Math.log10), ticktext: ticks.map((tick) => (tick < 1e-3 ? tick.toExponential(1) : Number(tick.toPrecision(2)).toString())), range: [Math.log10(low) - margin, Math.log10(high) + margin] } : this.now.scale === "logistic" ? { range: [0, 1] } : {}),
        axis("", { tickformat: ",d", rangemode: "tozero", dtick: Math.max(...histogram.counts) <= 5 ? 1 : undefined }),
        { hovermode: "closest", bargap: 0, dragmode: false },
      ),
      legend: [{ label: `How many${name === "all" ? "" : ` ${isNoise(this.now) ? "pairs of labels" : name}`} have which ${this.noun.one}`, colour: "--upper", dash: "band inner" }],
      caption: `${count(size)} ${size === 1 ? this.noun.one : this.noun.many}${this.now.iteration === null ? "" : ` after iteration ${count(this.now.iteration)}`}${alike ? ` · they hardly moved apart: the strongest is ${percent(high / low - 1)} above the weakest` : ""}`,
      columns: [
        { key: "from", label: "From" },
        { key: "to", label: "To" },
        { key: "count", label: "How many", whole: true },
      ],
      rows: () => histogram.counts.map((counted, place) => [edges[place], edges[place + 1], counted]),
    });
  }

  async #reorder(order) {
    this.order = order;
    this.rows = FEW;
    choose("order", order);
    if (this.walk) await this.#begin();
    await this.#list();
  }

  async #walkThrough(all) {
    this.walk = null;
    choose("values", all ? "all" : null);
    if (all) await this.#begin();
    await this.#list();
    $(all ? "#newest-entries" : "#all-entries").focus();
  }

  /** The first page of every value: of the result, or at the newest checkpoint. */
  async #begin(said = null) {
    this.walk = new Walk(said);
    await this.#fetchPage(null);
  }

  async #turn(step) {
    const { walk } = this;
    if (!walk?.page || (step > 0 ? !walk.page.next_page : walk.place === 0)) return;
    if (step > 0 && walk.place + 1 === walk.pages.length) await this.#fetchPage(walk.page.next_page);
    if (walk === this.walk && walk.place + step < walk.pages.length) walk.place += step;
    await this.#drawEntries();
    const [wanted, other] = step > 0 ? ["#next-entries", "#previous-entries"] : ["#previous-entries", "#next-entries"];
    $($(wanted).disabled ? other : wanted).focus(); // a button that is disabled loses the focus
  }

  async #fetchPage(token) {
    try {
      this.walk.pages.push(await get(jobPath(this.jobId, `/hyperparameters?order=${this.order}&whole=true&limit=${MOST}${token ? `&page=${encodeURIComponent(token)}` : ""}`)));
    } catch (error) {
      if (!(error instanceof ApiProblem || error instanceof Unreachable)) throw error;
      const status = error.problem?.status;
      if (status === 410 && token) await this.#begin("The job has a newer checkpoint, so this is the first page again, with newer values.");
      else if (status === 409) this.walk.said = "All values are available after the first checkpoint. Until then, these are the newest ones.";
      else this.walk.said = status ? error.message : "The service does not respond. Try again when it is back.";
    }
  }

  async #list() {
    this.now = await get(jobPath(this.jobId, `/hyperparameters?order=${this.order}&limit=${this.rows}`));
    await this.#drawEntries();
  }

  /** What the table shows: a page of every value, or the extremes of the newest snapshot. */
  get shown() {
    return this.walk?.page ?? this.now;
  }

  async #drawEntries() {
    for (const button of document.querySelectorAll("#entries [data-order]")) {
      button.setAttribute("aria-pressed", String(button.dataset.order === this.order));
    }
    const { size, items, final, iteration } = this.shown;
    const page = this.walk?.page ?? null;
    $("#entries-heading").textContent = page ? `All ${this.noun.many}, the ${this.order} first` : `The ${this.order} ${this.noun.many}${final ? "" : " so far"}`;
    const when = final ? "Of the result." : `After iteration ${count(iteration)}${page ? ", the newest checkpoint when you opened this list. The values do not change while you read." : "."}`;
    const meaning = isNoise(this.now) ? "a → b: of the rows of class a that were labelled a or b, the share that was labelled b." : null;
    $("#entries-about").textContent = [this.walk?.said, meaning, when].filter(Boolean).join(" ");
    const first = page ? this.walk.place * MOST : 0;
    show($("#more-entries"), !page && items.length < Math.min(size, MOST));
    show($("#all-entries"), !this.walk && size > MOST);
    $("#all-entries").textContent = `Page through all ${count(size)}`;
    show($("#pager"), this.walk !== null);
    $("#previous-entries").disabled = !page || this.walk.place === 0;
    $("#next-entries").disabled = !page?.next_page;
    $("#place").textContent = page ? `${count(first + 1)} to ${count(first + items.length)} of ${count(size)}` : "";
    $("#newest-entries").textContent = final ? "Only the first" : "Back to the newest";
    this.#table();
    const rows = this.now.groups[0].name === "rows";
    if (rows && (await this.pictures.fetch(items.map(({ name }) => name)))) this.#table();
  }

  #table() {
    const has = (field) => this.shown.items.some((entry) => entry[field] !== undefined && entry[field] !== null);
    const lam = this.shown.groups.flatMap(({ quantiles }) => quantiles.lam.map(toNumber)).filter(Number.isFinite);
    const [low, high] = [Math.min(...lam), Math.max(...lam)];
    const share = ({ value, lam: own }) => (this.now.scale === "logistic" ? toNumber(value) : (toNumber(own) - low) / (high - low || 1));
    const images = this.pictures.known && this.now.groups[0].name === "rows";
    const meant = this.now.scale !== "linear"; // λ means something else than itself
    const head = (text, right) => h("th", { scope: "col", class: right ? "right" : null }, text);
    const figure = (text) => h("td", { class: "right figures" }, text);
    $("#entries .scroll").replaceChildren(
      h(
        "table",
        { class: "entries" },
        h("thead", {}, h("tr", {}, head("Name"), images && head("Image"), has("label") && head("Labelled"), has("rows") && head(isNoise(this.now) ? "Rows with the second label" : "Training rows", true), has("penalty") && head("Penalty"), head(sentenceCase(this.noun.one), true), h("td", { class: "bar-cell" }), meant && head(this.noun.lam, true))),
        h(
          "tbody",
          {},
          this.shown.items.map((entry) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, entry.name),
              images && h("td", {}, this.pictures.picture(entry.name)),
              has("label") && h("td", {}, entry.label),
              has("rows") && figure(count(entry.rows)),
              has("penalty") && h("td", {}, entry.penalty),
              figure(number(entry.value)),
              h("td", { class: "bar-cell" }, bar(share(entry))),
              meant && figure(number(entry.lam)),
            ),
          ),
        ),
      ),
    );
  }
}

/** Plotly interprets a few HTML tags in hover texts, but a name is text. */
const escapeName = (name) => name.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll("%", "&#37;");

/** A colour between two of `#rrggbb`. */
function between(from, to, share) {
  const channel = (place) => {
    const [a, b] = [from, to].map((colour) => parseInt(colour.slice(place, place + 2), 16));
    return Math.round(a + (b - a) * share).toString(16).padStart(2, "0");
  };
  return `#${channel(1)}${channel(3)}${channel(5)}`;
}

/** A few round values between two positive ones, with equal distances on a logarithmic axis. */
function logTicks(low, high) {
  const [from, to] = [Math.log10(low), Math.log10(high)];
  return Array.from({ length: 5 }, (_, place) => 10 ** (from + ((to - from) * place) / 4));
}
