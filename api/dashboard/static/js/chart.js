// One live line chart of the iterations of a job.

import { ofSpikes, smoothed, withoutSpikes } from "./across.js";
import { h, show } from "./dom.js";
import { Figure, css, decades, faded, horizontal, axis, layout, plottable } from "./figure.js";
import { count, counted } from "./format.js";
import { choose, chosen } from "./view.js";

/** Space for text above the plot, where no line crosses it. */
export const ROOM_ABOVE = { margin: { l: 60, r: 8, t: 22, b: 44 } };

const MARKS = 100; // a hundred marks of values that are not finite say it as well as a thousand

/**
 * A chart in the figure `element` of the given lines: `{ metric, label, colour, dash, points }`, colour being a custom
 * property. `zoomed(range)` is called with [from, to] when a stretch is dragged, and with null for the whole run; `note(series)` adds to the caption,
 * `marks(series)` are iterations to mark: `{ x, text, colour }`; `levels` are values to mark: `{ y, text, colour }`;
 * `across` is what it runs across.
 */
export class Chart {
  constructor(element, lines, { log = false, name, zoomed, note = () => null, marks = () => [], levels = [], across }) {
    this.element = element;
    this.lines = lines;
    this.key = element.id;
    this.log = { log: true, linear: false }[chosen(this.key)] ?? log;
    this.zoomed = zoomed;
    this.note = note;
    this.marks = marks;
    this.levels = levels;
    this.across = across;
    this.series = null;
    this.figure = new Figure(element, { name, redraw: () => this.draw(this.series) });
    this.scale = h("button", { type: "button", class: "button small", "aria-label": "Log scale", title: "Log scale" }, "Log");
    this.scale.addEventListener("click", () => {
      this.#setLog(this.log !== true);
      choose(this.key, this.log ? "log" : "linear");
      this.draw(this.series);
    });
    this.#setLog(this.log);
    this.reset = h("button", { type: "button", class: "button small", onclick: () => this.zoomed(null) }, "Show all");
    show(this.reset, false);
    this.figure.prepend(this.reset, this.scale);
  }

  draw(series) {
    if (!series || series.empty) return;
    this.series = series;
    const present = this.#present;
    if (!present.length) return;
    if (this.log === "auto" && this.#spansDecades()) this.#setLog(true);
    const { view } = series;
    const first = this.figure.render({
      traces: this.#traces(present),
      layout: this.#layout(),
      legend: present,
      caption: this.#caption(present),
      columns: [{ key: "iteration", label: "Iteration", whole: true }, ...present.map(({ metric, label }) => ({ key: metric, label }))],
      rows: () => view.iteration.map((value, index) => [value, ...present.map(({ metric }) => view[metric][index])]),
    });
    if (first) {
      this.figure.on("plotly_relayout", (change) => this.#relayout(change));
      this.figure.on("plotly_doubleclick", () => this.zoomed(null));
    }
    show(this.reset, series.range !== null);
  }

  get #present() {
    return this.lines.filter(({ metric }) => this.series.has(metric));
  }

  #traces(present) {
    const { view } = this.series;
    const { buckets } = view;
    const across = this.across.values(view);
    const traces = [];
    for (const { metric, label, colour, dash, points } of present) {
      const line = css(colour);
      const band = buckets?.[metric];
      if (points) {
        // Measured at few iterations: the largest of each bucket, as points without a line.
        const values = band?.max ?? this.series.view[metric];
        traces.push({
          x: across.filter((_, index) => values[index] !== null),
          y: values.filter((value) => value !== null).map(plottable),
          name: label,
          mode: "lines+markers",
          line: { color: faded(line, 0.4), width: 1 },
          marker: { color: line, size: 5 },
          hovertemplate: "%{y:.2g}",
        });
        continue;
      }
      if (band) {
        const edge = { x: across, mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false };
        traces.push({ ...edge, y: band.min.map(plottable) });
        traces.push({ ...edge, y: band.max.map(plottable), fill: "tonexty", fillcolor: faded(line, 0.22) });
      }
      const smooth = this.across.smooth && view[metric].length > 2;
      if (smooth) traces.push({ x: across, y: view[metric].map(plottable), mode: "lines", line: { color: faded(line, 0.3), width: 1, simplify: false }, hoverinfo: "skip", showlegend: false });
      traces.push({
        x: across,
        y: (smooth ? smoothed(view[metric]) : view[metric]).map(plottable),
        name: label,
        mode: across.length === 1 ? "markers" : "lines",
        line: { color: line, width: 1.75, dash, simplify: false },
        marker: { color: line },
        connectgaps: false,
        hovertemplate: "%{y:.4g}",
      });
    }
    return traces;
  }

  #layout() {
    const log = this.log === true;
    const breaks = this.#breaks.map((x, place) => ({ x, text: place ? "" : "NaN or ∞", colour: "--bad" }));
    const marks = [...breaks, ...this.marks(this.series)];
    const [low, high] = this.#extent();
    const spikes = log ? null : this.#spikes();
    const { view, range } = this.series;
    // An almost constant line would get ticks with many digits.
    const whole = log && high > 0 && high < 20 * low;
    return layout(
      horizontal(this.across.title, this.across.axis(range)),
      axis("", { type: log ? "log" : "linear", tickformat: low < 1e-4 && log ? "~e" : "~g", dtick: log ? (whole ? 1 : decades(low, high)) : undefined, range: whole ? [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))] : spikes?.range }),
      {
        ...(marks.length || this.levels.length ? ROOM_ABOVE : {}),
        shapes: [
          ...marks.map(({ x, colour }) => ({ type: "line", xref: "x", yref: "paper", x0: this.across.place(view, x), x1: this.across.place(view, x), y0: 0, y1: 1, line: { color: css(colour), width: 1.5, dash: "dot" } })),
          ...this.levels.map(({ y, colour }) => ({ type: "line", xref: "paper", yref: "y", x0: 0, x1: 1, y0: y, y1: y, line: { color: css(colour), width: 1, dash: "dash" } })),
        ],
        annotations: [
          ...this.#levelTexts(),
          ...marks.filter(({ text }) => text).map(({ x, text, colour }) => ({
            x: this.across.text(view, x),
            y: 1,
            yref: "paper",
            text,
            showarrow: false,
            xanchor: x > (this.series.view.iteration.at(-1) ?? 0) / 2 ? "right" : "left",
            yanchor: "bottom",
            font: { color: css(colour), size: 12 },
          })),
        ],
      },
    );
  }

  #levelTexts() {
    const place = (y) => (this.log === true ? Math.log10(y) : y); // annotations, unlike shapes, are placed by exponent
    return this.levels.map(({ y, text, colour }) => ({ x: 1, xref: "paper", y: place(y), text, showarrow: false, xanchor: "right", yanchor: "bottom", font: { color: css(colour), size: 11 } }));
  }

  get #breaks() {
    const all = this.#present.flatMap(({ metric }) => this.series.nonFinite(metric).at);
    return [...new Set(all)].sort((a, b) => a - b).slice(0, MARKS);
  }

  #relayout(change) {
    const [from, to] = [change["xaxis.range[0]"], change["xaxis.range[1]"]];
    if (from === undefined) return;
    const [first, last] = this.across.iterations(this.series.view, [from, to]);
    this.zoomed([Math.max(0, Math.floor(first)), Math.max(1, Math.ceil(last))]);
  }

  /** `log` is true, false, or "auto": linear until the values span several decades. */
  #setLog(log) {
    this.log = log;
    this.scale.setAttribute("aria-pressed", String(log === true));
  }

  /** The finite positive values of all lines, smallest and largest. */
  #extent() {
    const values = this.#present
      .flatMap(({ metric, points }) => (points && this.series.view.buckets?.[metric]?.max) || this.series.view[metric])
      .filter((value) => value > 0 && Number.isFinite(value))
      .concat(this.levels.map(({ y }) => y));
    return values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, 0]);
  }

  /** Few values so high that they would flatten the rest. */
  #spikes() {
    const { view } = this.series;
    return withoutSpikes(this.#present.flatMap(({ metric }) => [...view[metric], ...(view.buckets?.[metric]?.max ?? [])]));
  }

  #spansDecades() {
    const [low, high] = this.#extent();
    return high > 1e3 * low;
  }

  #caption(present) {
    const { view, total, range } = this.series;
    const broken = present.map(({ metric, label }) => [label, this.series.nonFinite(metric)]).filter(([, { at }]) => at.length);
    const parts = [];
    if (present.every(({ points }) => points)) parts.push(`checked at ${count(this.series.certificates(view).length)} of ${counted(view.iteration.length, "point")}`);
    else if (view.downsampled) parts.push(`${count(view.iteration.length)} of ${counted(total, "point")}; the band is min to max`);
    else parts.push(counted(view.iteration.length, "point"));
    if (range) parts.push(`iterations ${count(range[0])} to ${count(range[1])}`);
    const spikes = this.log === true ? null : this.#spikes();
    if (spikes) parts.push(ofSpikes(spikes, "Log"));
    for (const [label, { at }] of broken) parts.push(`${label.toLowerCase()} is NaN or infinite from iteration ${count(at[0])}`);
    const note = this.note(this.series);
    if (note) parts.push(note);
    return parts.join(" · ");
  }
}
