// One live line chart with plotly, its table, and its downloads.

import { $, download, h, icon, show } from "./dom.js";
import { count, csv, number } from "./format.js";

// Plotly is large, so it loads beside everything else; what is drawn before it is there is drawn when it is.
export const plotlyReady = new Promise((resolve) => {
  if (window.Plotly) resolve();
  else $("#plotly").addEventListener("load", resolve);
});

const TABLE_ROWS = 100;
const PLOT = { displayModeBar: false, displaylogo: false, responsive: true, doubleClick: false, showTips: false };

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** `#rrggbb` with an opacity. */
const faded = (colour, opacity) => `${colour}${Math.round(opacity * 255).toString(16).padStart(2, "0")}`;

const plottable = (value) => (value !== null && Number.isFinite(value) ? value : null);

/**
 * A chart in `figure` of the given lines: `{ metric, label, colour, dash }`, colour being a custom property.
 * `zoomed(range)` is called with [from, to] when a stretch is dragged, and with null when the whole is asked for.
 */
export class Chart {
  constructor(figure, lines, { log = false, name, zoomed }) {
    this.figure = figure;
    this.lines = lines;
    this.log = log;
    this.name = name;
    this.zoomed = zoomed;
    this.plot = $(".plot", figure);
    this.series = null;
    this.#controls();
    document.addEventListener("themechange", () => this.draw(this.series));
  }

  draw(series) {
    if (!series || series.empty) return;
    const first = this.series === null;
    this.series = series;
    this.#legend();
    if (first) this.plot.replaceChildren();
    if (this.log === "auto" && this.#spansDecades()) this.#setLog(true);
    Plotly.react(this.plot, this.#traces(), this.#layout(), PLOT);
    if (first) {
      this.plot.on("plotly_relayout", (change) => this.#relayout(change));
      this.plot.on("plotly_doubleclick", () => this.zoomed(null));
    }
    this.#caption();
    if ($("details", this.figure).open) this.#table();
  }

  get #present() {
    return this.lines.filter(({ metric }) => this.series.view[metric].some((value) => value !== null));
  }

  #traces() {
    const { iteration, buckets } = this.series.view;
    const traces = [];
    for (const { metric, label, colour, dash } of this.#present) {
      const line = css(colour);
      const band = buckets?.[metric];
      if (band) {
        const edge = { x: iteration, mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false };
        traces.push({ ...edge, y: band.min.map(plottable) });
        traces.push({ ...edge, y: band.max.map(plottable), fill: "tonexty", fillcolor: faded(line, 0.22) });
      }
      traces.push({
        x: iteration,
        y: this.series.view[metric].map(plottable),
        name: label,
        mode: iteration.length === 1 ? "markers" : "lines",
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
    const [low, high] = this.#extent();
    const text = css("--muted");
    const grid = css("--line");
    const axis = {
      gridcolor: grid,
      linecolor: grid,
      zeroline: false,
      tickfont: { size: 12, color: text },
      title: { font: { size: 12, color: text }, standoff: 8 },
    };
    return {
      height: 280,
      margin: { l: 60, r: 8, t: 8, b: 44 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: css("--sans"), size: 12, color: text },
      showlegend: false,
      dragmode: "zoom",
      hovermode: "x unified",
      hoverlabel: { bgcolor: css("--surface"), bordercolor: grid, font: { color: css("--text"), size: 12 } },
      xaxis: {
        ...axis,
        title: { ...axis.title, text: "iteration" },
        showgrid: false,
        ticks: "outside",
        tickcolor: grid,
        tickformat: ",d",
        range: this.series.range ?? undefined,
        hoverformat: ",d",
        rangemode: "tozero",
      },
      yaxis: {
        ...axis,
        type: log ? "log" : "linear",
        tickformat: "~g",
        dtick: log && high > 20 * low ? Math.max(1, Math.ceil(Math.log10(high / low) / 6)) : undefined,
        nticks: 6,
        fixedrange: true,
      },
      shapes: this.#breaks.map((x) => ({
        type: "line",
        xref: "x",
        yref: "paper",
        x0: x,
        x1: x,
        y0: 0,
        y1: 1,
        line: { color: css("--bad"), width: 1.5, dash: "dot" },
      })),
      annotations: this.#breaks.slice(0, 1).map((x) => ({
        x,
        y: 1,
        yref: "paper",
        text: "NaN or ∞",
        showarrow: false,
        xanchor: "right",
        xshift: -4,
        yanchor: "top",
        font: { color: css("--bad"), size: 12 },
      })),
    };
  }

  /** Where any line is not finite; a hundred marks say it as well as a thousand. */
  get #breaks() {
    const all = this.#present.flatMap(({ metric }) => this.series.nonFinite(metric).at);
    return [...new Set(all)].sort((a, b) => a - b).slice(0, 100);
  }

  #relayout(change) {
    const [from, to] = [change["xaxis.range[0]"], change["xaxis.range[1]"]];
    if (from === undefined) return;
    this.zoomed([Math.max(0, Math.floor(from)), Math.max(1, Math.ceil(to))]);
  }

  /** `log` is true, false, or "auto": linear until the values need more. */
  #setLog(log) {
    this.log = log;
    this.scale.setAttribute("aria-pressed", String(log === true));
  }

  /** The finite positive values of all lines, smallest and largest. */
  #extent() {
    const values = this.#present
      .flatMap(({ metric }) => this.series.view[metric])
      .filter((value) => value > 0 && Number.isFinite(value));
    return values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, 0]);
  }

  #spansDecades() {
    const [low, high] = this.#extent();
    return high > 1e3 * low;
  }

  #controls() {
    const tools = $(".tools", this.figure);
    const scale = h("button", { type: "button", class: "button small" }, "Log scale");
    this.scale = scale;
    this.#setLog(this.log);
    scale.addEventListener("click", () => {
      this.#setLog(this.log !== true);
      this.draw(this.series);
    });
    this.reset = h("button", { type: "button", class: "button small", onclick: () => this.zoomed(null) }, "Show all");
    show(this.reset, false);
    const image = h("button", { type: "button", class: "button small", title: "Download as PNG" }, icon("image"), "PNG");
    image.addEventListener("click", () => {
      if (this.series) Plotly.downloadImage(this.plot, { format: "png", width: 1200, height: 560, scale: 2, filename: this.name });
    });
    const table = h("button", { type: "button", class: "button small", title: "Download as CSV" }, icon("download"), "CSV");
    table.addEventListener("click", () => {
      if (this.series) download(`${this.name}.csv`, csv(["iteration", ...this.#present.map(({ metric }) => metric)], this.#rows()), "text/csv");
    });
    tools.append(this.reset, scale, image, table);
    $("details", this.figure).addEventListener("toggle", () => this.series && this.#table());
  }

  #legend() {
    const present = this.#present;
    const key = present.map(({ label }) => label).join();
    if (key === this.legendKey) return;
    this.legendKey = key;
    $(".legend", this.figure).replaceChildren(
      ...present.map(({ label, colour, dash }) =>
        h("span", { class: "key" }, h("i", { class: `swatch ${dash ?? "solid"} ${colour.slice(2)}` }), label),
      ),
    );
  }

  #caption() {
    const { view, total, range } = this.series;
    const broken = this.#present.map(({ metric, label }) => [label, this.series.nonFinite(metric)]).filter(([, { at }]) => at.length);
    const parts = [];
    if (view.downsampled) parts.push(`${count(view.iteration.length)} of ${count(total)} points; the band is min to max`);
    else parts.push(`${count(view.iteration.length)} ${view.iteration.length === 1 ? "point" : "points"}`);
    if (range) parts.push(`iterations ${count(range[0])} to ${count(range[1])}`);
    for (const [label, { at }] of broken) parts.push(`${label.toLowerCase()} is NaN or infinite from iteration ${count(at[0])}`);
    $(".caption", this.figure).textContent = parts.join(" · ");
    show(this.reset, range !== null);
  }

  #rows() {
    const { iteration } = this.series.view;
    return iteration.map((value, index) => [value, ...this.#present.map(({ metric }) => this.series.view[metric][index])]);
  }

  /** The newest points as a table, for those who cannot see the chart or want the digits. */
  #table() {
    const rows = this.#rows().slice(-TABLE_ROWS).reverse();
    $(".data", this.figure).replaceChildren(
      h(
        "table",
        { class: "numbers" },
        h("caption", {}, rows.length === TABLE_ROWS ? `The newest ${TABLE_ROWS} points drawn; CSV has them all` : "All points, newest first"),
        h("thead", {}, h("tr", {}, ["Iteration", ...this.#present.map(({ label }) => label)].map((text) => h("th", { scope: "col" }, text)))),
        h("tbody", {}, rows.map(([at, ...values]) => h("tr", {}, h("td", {}, count(at)), values.map((value) => h("td", {}, number(value)))))),
      ),
    );
  }
}
