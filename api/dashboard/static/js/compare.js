// Up to eight jobs side by side: one metric of each, their results, and the fields of their specs that differ.

import { axisOf, ofSpikes, smoothed, titleOf, withoutSpikesOf } from "./across.js";
import { ApiProblem, get } from "./api.js";
import { $, h, icon, keepFocus, show, term } from "./dom.js";
import { Figure, axis, css, decades, faded, horizontal, layout, plotlyReady, plottable } from "./figure.js";
import { count, duration, number, percent, score, scoreName, toNumber } from "./format.js";
import { byLoss, gain } from "./gain.js";
import { poll } from "./poll.js";
import { ACTIVE, stateBadge } from "./states.js";
import { Stretch } from "./stretch.js";

const form = $("#controls");
const address = new URLSearchParams(location.search);
const HIGHER_IS_BETTER = new Set(["upper_score"]);
const DASHES = ["solid", "solid", "solid", "solid", "dash", "dash", "dash", "dash"];

let jobs = (address.get("jobs") ?? "").split(",").filter(Boolean);
let range = ["from", "to"].map((end) => parseInt(address.get(end), 10)); // of iterations, while zoomed
if (!(range[0] >= 0 && range[1] > range[0])) range = null;
let comparison = null;

for (const name of ["metric", "by"]) if (address.has(name)) form.elements[name].value = address.get(name);
for (const name of ["log", "smooth"]) form.elements[name].checked = address.get(name) === "1";
let chosenScale = address.has("log"); // or else by what the values need
if (form.elements.metric.value === "") form.elements.metric.value = "upper_loss";
if (form.elements.by.value === "") form.elements.by.value = "iteration";

const stretch = new Stretch($("#stretch"), zoom);
const chart = new Figure($("#lines"), { name: "comparison", redraw: () => draw() });
const reset = h("button", { type: "button", class: "button small", onclick: () => zoom(null) }, "Show all");
show(reset, false);
chart.prepend(reset);

function writeUrl() {
  const { metric, by, log, smooth } = form.elements;
  const wanted = [`jobs=${jobs.map(encodeURIComponent).join(",")}`];
  if (metric.value !== "upper_loss") wanted.push(`metric=${metric.value}`);
  if (by.value !== "iteration") wanted.push(`by=${by.value}`);
  if (chosenScale) wanted.push(`log=${log.checked ? 1 : 0}`);
  if (smooth.checked) wanted.push("smooth=1");
  if (range) wanted.push(`from=${range[0]}`, `to=${range[1]}`);
  history.replaceState(null, "", jobs.length ? `?${wanted.join("&")}` : location.pathname);
}

async function refresh() {
  show($("#none"), jobs.length === 0);
  show($("#comparison"), jobs.length > 0);
  if (jobs.length === 0) return "done";
  const { metric, by } = form.elements;
  const stretch = range ? `&from=${range[0]}&to=${range[1]}` : "";
  try {
    const answer = get(`/v1/compare?jobs=${jobs.map(encodeURIComponent).join(",")}&metric=${metric.value}&by=${by.value === "seconds" ? "seconds" : "iteration"}&max_points=500${stretch}`);
    plotlyReady().catch(() => {}); // it loads while the service responds; below, a failure is said
    comparison = await answer;
  } catch (error) {
    if (!(error instanceof ApiProblem)) throw error;
    show($("#comparison"), false);
    $("#refusal").replaceChildren(h("div", { class: "notice bad" }, icon("cross"), h("p", {}, error.message)));
    return "done";
  }
  await plotlyReady();
  draw();
  return comparison.jobs.some((job) => ACTIVE.has(job.state)) ? "live" : "done";
}

const title = (job) => job.name ?? job.id;
const colour = (place) => `--line-${place + 1}`;

function draw() {
  if (!comparison) return;
  const { metric, by, log, smooth } = form.elements;
  const bySeconds = comparison.by === "seconds";
  $("#lines-title").textContent = metric.selectedOptions[0].text;
  const traces = [];
  const drawn = comparison.jobs.map((job) => ({ ...job, x: bySeconds ? job.seconds.map(toNumber) : job.iteration, y: job.value.map(toNumber) }));
  for (const [place, job] of drawn.entries()) {
    const line = css(colour(place));
    if (job.downsampled) {
      const edge = { x: job.x, mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false };
      traces.push({ ...edge, y: job.min.map(toNumber).map(plottable) });
      traces.push({ ...edge, y: job.max.map(toNumber).map(plottable), fill: "tonexty", fillcolor: faded(line, 0.15) });
    }
    const sparse = job.y.filter((value) => value !== null).length < job.y.length / 2;
    const y = sparse ? job.max.map(toNumber) : job.y;
    const smoother = smooth.checked && !sparse && y.length > 2;
    if (smoother) traces.push({ x: job.x, y: y.map(plottable), mode: "lines", line: { color: faded(line, 0.3), width: 1, simplify: false }, hoverinfo: "skip", showlegend: false });
    traces.push({
      x: sparse ? job.x.filter((_, index) => y[index] !== null) : job.x,
      y: (sparse ? y.filter((value) => value !== null) : smoother ? smoothed(y) : y).map(plottable),
      name: escapeName(title(job)),
      mode: sparse || job.y.length === 1 ? "lines+markers" : "lines",
      line: { color: line, width: 1.75, dash: DASHES[place], simplify: false },
      marker: { color: line, size: 5 },
      hovertemplate: "%{y:.4g}",
    });
  }
  const values = drawn.flatMap(({ y }) => y).filter((value) => value > 0 && Number.isFinite(value));
  const extent = [Math.min(...values), Math.max(...values)];
  if (!chosenScale) log.checked = extent[1] > 1e3 * extent[0];
  const spikes = log.checked ? null : withoutSpikesOf(drawn.map((job) => [...job.y, ...(job.downsampled ? job.max.map(toNumber) : [])]));
  const thinned = drawn.filter((job) => job.downsampled);
  const points = drawn.map((job) => `${count(job.iteration.length)} of ${count(job.total)}`);
  const first = chart.render({
    traces,
    layout: layout(
      horizontal(titleOf(by.value), axisOf(by.value, range ?? undefined)),
      axis("", { type: log.checked ? "log" : "linear", tickformat: "~g", dtick: log.checked ? decades(...extent) : undefined, range: spikes?.range }),
      { height: 360 },
    ),
    legend: drawn.map((job, place) => ({ label: job.total ? title(job) : `${title(job)}: no iterations yet`, colour: colour(place), dash: DASHES[place] })),
    caption: [`points: ${points.join(", ")}`, thinned.length && "bands are min to max", range && `iterations ${count(range[0])} to ${count(range[1])}`, spikes && ofSpikes(spikes, "Log scale")].filter(Boolean).join(" · "),
    columns: [
      { key: "job", label: "Job", text: true },
      { key: "iteration", label: "Iteration", whole: true },
      { key: "seconds", label: "Seconds" },
      { key: comparison.metric, label: metric.selectedOptions[0].text },
    ],
    rows: () => drawn.flatMap((job) => job.iteration.map((at, index) => [title(job), at, job.seconds[index], job.value[index]])),
  });
  if (first) {
    chart.on("plotly_relayout", (change) => {
      const [from, to] = [change["xaxis.range[0]"], change["xaxis.range[1]"]];
      if (from === undefined) return;
      const [first, last] = form.elements.by.value === "log" ? [10 ** from, 10 ** to] : [from, to];
      if (comparison.by === "iteration") zoom([Math.max(0, Math.floor(first)), Math.max(1, Math.ceil(last))]);
      else show(reset);
    });
    chart.on("plotly_doubleclick", () => zoom(null));
  }
  show(reset, range !== null);
  stretch.render(range, bySeconds ? 0 : Math.max(...drawn.map(({ progress }) => progress.iteration)));
  results(drawn);
  differences();
}

function zoom(wanted) {
  range = wanted;
  writeUrl();
  askNow();
}

const heads = () =>
  comparison.jobs.map((job, place) => {
    const swatch = h("i", { class: `swatch ${DASHES[place]}` });
    swatch.style.setProperty("--colour", `var(${colour(place)})`);
    return h("th", { scope: "col" }, h("span", { class: "key" }, swatch, h("a", { href: `/jobs/${encodeURIComponent(job.id)}` }, title(job))));
  });

const DECIDING = { dataset: "data", loss: "loss", problem: "problem", parameters: "parameters" };

/** In what the jobs differ so that no value is better than another: what they learn from, what is optimized, the score. */
function unlike() {
  const scores = new Set(comparison.jobs.filter(({ result }) => result).map(({ result }) => result.score_name));
  const kinds = new Set(comparison.jobs.map(({ kind }) => kind));
  const parts = comparison.differences.map(({ field }) => DECIDING[field.split(".")[0]]).filter(Boolean);
  return [...new Set([kinds.size > 1 && "kind", ...parts, scores.size > 1 && "score"].filter(Boolean))];
}

/** A row of the table of results. The best value is marked, if one is better than the others and they compare. */
function line(label, values, show, better = null) {
  const known = values.filter((value) => value !== null && value !== undefined && Number.isFinite(toNumber(value))).map(toNumber);
  const best = better && !unlike().length && new Set(known).size > 1 ? Math[better](...known) : null;
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, label),
    values.map((value) => h("td", { class: `figures ${best !== null && toNumber(value) === best ? "best" : ""}` }, value === null || value === undefined ? "–" : show(value))),
  );
}

/** What the tuned model gained over the best rival. No job is marked: gains on different data cannot be compared. */
function gained({ kind, result }) {
  if (!result?.tuned || !result.best_rival) return h("td", {}, "–");
  const { text, good } = gain(result.tuned, result.best_rival, kind, result.score_name);
  return h("td", { class: "figures" }, h("strong", { class: good ? "good" : "warn" }, text));
}

function results(drawn) {
  const { metric } = form.elements;
  const all = comparison.jobs;
  const of = (pick) => all.map((job) => (job.result ? pick(job.result) : null));
  const name = all.find((job) => job.result)?.result.score_name ?? "accuracy";
  const rows = [
    h("tr", {}, h("th", { scope: "row" }, "State"), all.map((job) => h("td", {}, stateBadge(job)))),
    line("Iterations", all.map((job) => job.progress.iteration), (value) => count(value)),
    line(term("Best upper loss", "upper-loss"), all.map((job) => job.best.upper_loss), number, "min"),
    line(`${metric.selectedOptions[0].text} now`, drawn.map((job) => job.y.filter((value) => value !== null).at(-1) ?? null), number, HIGHER_IS_BETTER.has(comparison.metric) ? "max" : "min"),
    line(`Test ${scoreName(name)}, tuned`, of(({ tuned }) => tuned?.test_score ?? null), (value) => score(value, name), "max"),
    line("Test loss, tuned", of(({ tuned }) => tuned?.test_loss ?? null), number, "min"),
    line(term("Best rival", "rival"), all.map(({ kind, result }) => result?.best_rival && `${byLoss(kind, result.score_name) ? `loss ${number(result.best_rival.test_loss)}` : score(result.best_rival.test_score, result.score_name)}: ${result.best_rival.label}`), (value) => value),
    h("tr", {}, h("th", { scope: "row" }, term("Gain over it", "gain")), all.map(gained)),
    line(term("Suspects", "suspect"), of(({ suspects_total: total, rows }) => (rows && total !== null ? `${count(total)} of ${count(rows)}` : null)), (value) => value),
    all.some((job) => job.result?.f1 !== null && job.result) && line("F1 of planted errors", of(({ f1 }) => f1), (value) => percent(value), "max"),
    line("Seconds of solving", of(({ seconds }) => seconds), duration, "min"),
    line("Stopped by", of(({ stopped_by: by }) => by), (value) => value.replaceAll("_", " ")),
    h("tr", {}, h("th", { scope: "row" }, h("span", { class: "unseen" }, "Leave out")), all.map((job) => h("td", {}, h("button", { type: "button", class: "link", "aria-label": `Leave out ${title(job)}`, onclick: () => leaveOut(job.id) }, "Leave out")))),
  ];
  const apart = unlike();
  $("#unlike").textContent = apart.length ? `The jobs differ in ${apart.join(" and ")}, so no value is marked as the best.` : "";
  keepFocus($("#results"), () => $("#results").replaceChildren(labelled(h("table", { class: "side" }, h("thead", {}, h("tr", {}, h("td", {}), heads())), h("tbody", {}, rows.filter(Boolean))))));
}

/** The table with the name of its job at each value, for screens on which the head is not shown. */
function labelled(table) {
  for (const row of table.tBodies[0].rows) [...row.querySelectorAll("td")].forEach((cell, place) => (cell.dataset.label = title(comparison.jobs[place])));
  return table;
}

function differences() {
  const { differences: all } = comparison;
  $("#same").textContent = all.length ? "" : "Only their names.";
  const text = (value) => {
    if (Array.isArray(value)) return value.map(text).join(", ") || "none";
    return value === null ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value);
  };
  const table = all.length
      ? labelled(h(
          "table",
          { class: "side" },
          h("thead", {}, h("tr", {}, h("td", {}), heads())),
          h("tbody", {}, all.map(({ field, values }) => h("tr", {}, h("th", { scope: "row" }, h("code", {}, field)), values.map((value) => h("td", { class: "figures" }, text(value)))))),
        ))
      : "";
  keepFocus($("#differences"), () => $("#differences").replaceChildren(table));
}

function leaveOut(id) {
  jobs = jobs.filter((job) => job !== id);
  writeUrl();
  askNow();
}

const escapeName = (name) => name.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll("%", "&#37;");

form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", (event) => {
  const { name } = event.target;
  if (name === "log") chosenScale = true;
  if (["metric", "by"].includes(name)) [chosenScale, range] = [false, null];
  writeUrl();
  return ["log", "smooth"].includes(name) ? draw() : askNow();
});

writeUrl();
const askNow = poll(refresh);
