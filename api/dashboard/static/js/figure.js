// A figure of the page: plotly's canvas, and around it a legend, a caption, a data table and downloads.

import { Unreachable } from "./api.js";
import { $, download, h, icon } from "./dom.js";
import { count, csv, number } from "./format.js";

let plotly = null;

/**
 * Plotly is large. The page fetches it in advance, but runs it only on request, after the first data are requested,
 * because running it takes longer than they do. A job that waits in the queue has nothing to draw, so the page says
 * "prefetch": browsers warn of what is preloaded and not used. Resolves when plotly is ready.
 */
export function plotlyReady() {
  plotly ??= new Promise((resolve, reject) => {
    const failed = () => {
      plotly = null; // the next call tries again
      reject(new Unreachable("plotly.js did not load"));
    };
    document.head.append(h("script", { src: $("#plotly").href, onload: resolve, onerror: failed }));
  });
  return plotly;
}

const TABLE_ROWS = 100;
const PLOT = { displayModeBar: false, displaylogo: false, responsive: true, doubleClick: false, showTips: false };
const HEIGHT = 280;

/** A colour or font of the style sheet. */
export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** `#rrggbb` with an opacity. */
export const faded = (colour, opacity) => `${colour}${Math.round(opacity * 255).toString(16).padStart(2, "0")}`;

/** What plotly draws: a number, or null for a gap. */
export const plottable = (value) => (value !== null && Number.isFinite(value) ? value : null);

/** An axis in the colours of the page. */
export function axis(title, more = {}) {
  const text = css("--muted");
  const grid = css("--line");
  return {
    gridcolor: grid,
    linecolor: grid,
    zeroline: false,
    tickfont: { size: 12, color: text },
    title: { text: title, font: { size: 12, color: text }, standoff: 8 },
    ...more,
  };
}

/** An axis of iterations or other things that go from left to right. */
export const horizontal = (title, more = {}) =>
  axis(title, { showgrid: false, ticks: "outside", tickcolor: css("--line"), ...more });

export function layout(xaxis, yaxis, more = {}) {
  const text = css("--muted");
  return {
    height: HEIGHT,
    margin: { l: 60, r: 8, t: 8, b: 44 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: css("--sans"), size: 12, color: text },
    showlegend: false,
    dragmode: "zoom",
    hovermode: "x unified",
    hoverlabel: { bgcolor: css("--surface"), bordercolor: css("--line"), font: { color: css("--text"), size: 12 } },
    xaxis,
    yaxis: { nticks: 6, fixedrange: true, ...yaxis },
    ...more,
  };
}

/** How far apart the ticks of a logarithmic axis are, in decades, so that six at most are shown. */
export const decades = (low, high) =>
  high > 20 * low && low > 0 ? Math.max(1, Math.ceil(Math.log10(high / low) / 6)) : undefined;

export class Figure {
  /** `drawn()` is called again when the colours of the page change; `name` names the files. */
  constructor(element, { name, redraw }) {
    this.element = element;
    this.name = name;
    this.plot = $(".plot", element);
    this.content = null;
    const image = h("button", { type: "button", class: "button small", title: "Download as PNG" }, icon("image"), "PNG");
    image.addEventListener("click", () => {
      if (this.content) Plotly.downloadImage(this.plot, { format: "png", width: 1200, height: 560, scale: 2, filename: name });
    });
    const table = h("button", { type: "button", class: "button small", title: "Download as CSV" }, icon("download"), "CSV");
    table.addEventListener("click", () => {
      if (this.content) download(`${name}.csv`, csv(this.content.columns.map(({ key }) => key), this.content.rows()), "text/csv");
    });
    this.tools = $(".tools", element);
    this.tools.append(image, table);
    $("details", element).addEventListener("toggle", () => this.#table());
    document.addEventListener("themechange", () => this.content && redraw());
  }

  get open() {
    return this.content !== null;
  }

  /** Puts buttons of its own before the downloads. */
  prepend(...buttons) {
    this.tools.prepend(...buttons);
  }

  on(event, listener) {
    this.plot.on(event, listener);
  }

  /**
   * Draws `traces` within `layout`. `columns` are `{ key, label }`, `rows()` their values, the newest last; `legend` is
   * `{ label, colour, dash }`, colour being a custom property. Returns whether it was the first time.
   */
  render(content) {
    const first = this.content === null;
    this.content = content;
    if (first) this.plot.replaceChildren();
    this.#legend(content.legend);
    Plotly.react(this.plot, content.traces, content.layout, PLOT);
    // Plotly draws pictures. The caption and the table have the same content as text.
    for (const svg of this.plot.querySelectorAll("svg.main-svg")) svg.setAttribute("aria-hidden", "true");
    $(".caption", this.element).textContent = content.caption;
    this.#table();
    return first;
  }

  #legend(entries) {
    const key = entries.map(({ label, colour }) => `${label}${colour}`).join();
    if (key === this.legendKey) return;
    this.legendKey = key;
    $(".legend", this.element).replaceChildren(
      ...entries.map(({ label, colour, dash }) => {
        const swatch = h("i", { class: `swatch ${dash ?? "solid"}` });
        swatch.style.setProperty("--colour", `var(${colour})`);
        return h("span", { class: "key" }, swatch, label);
      }),
    );
  }

  /** The newest points as a table, for people who cannot see the chart or want exact numbers. */
  #table() {
    if (!this.content || !$("details", this.element).open) return;
    const { columns, rows: all } = this.content;
    const rows = all().slice(-TABLE_ROWS).reverse();
    const cell = (value, index) => (columns[index].text ? value : columns[index].whole ? count(value) : number(value));
    $(".data", this.element).replaceChildren(
      h(
        "table",
        { class: "numbers" },
        h("caption", {}, rows.length === TABLE_ROWS ? `The newest ${TABLE_ROWS} points drawn; the CSV has all of them` : "All points, newest first"),
        h("thead", {}, h("tr", {}, columns.map(({ label }) => h("th", { scope: "col" }, label)))),
        h("tbody", {}, rows.map((row) => h("tr", {}, row.map((value, index) => h("td", {}, cell(value, index)))))),
      ),
    );
  }
}
