// The list of jobs. The URL holds the filter. A row is replaced only if its job changed.

import { getAgain } from "./api.js";
import { $, copyButton, h, keepFocus, show, svg } from "./dom.js";
import { age, count, jobName, kind, local, number, subject, subjectId, toNumber } from "./format.js";
import { Bulk } from "./bulk.js";
import { gainOf } from "./gain.js";
import { at } from "./place.js";
import { poll } from "./poll.js";
import { Views } from "./views.js";
import { ACTIONS, ACTIVE, TERMINAL, progressBar, stateBadge } from "./states.js";

const PAGE = 50;
const LARGEST = 1000; // jobs in one answer
const UNHURRIED = 200; // more than this are asked for less often
const MOST_COMPARED = 8;
const form = $("#filter");
const body = $("#jobs tbody");
const more = $("#more");
const rows = new Map(); // job id → { version, row }
const chosen = new Map(); // job id → the job, of those that are ticked
const bulk = new Bulk($("#bulk"), () => {
  chosen.clear();
  rows.clear();
  now();
});
const sorts = document.querySelectorAll("#jobs .sort");
const views = new Views($("#views"), $("#save-view"), $("#name-view"));
let pages = 1;

const parameters = () => new URLSearchParams([...new FormData(form)].filter(([, value]) => value));

function readUrl() {
  const wanted = new URLSearchParams(location.search);
  for (const field of form.elements) if (field.name) field.value = wanted.get(field.name) ?? "";
}

function writeUrl() {
  const wanted = parameters().toString();
  history.replaceState(null, "", wanted ? `?${wanted}` : location.pathname);
  show($("#clear"), wanted !== "");
  views.show(wanted);
  for (const button of sorts) {
    const order = form.elements.order.value || "newest";
    const own = order === button.dataset.order || (order === "oldest" && button.dataset.order === "newest");
    button.dataset.chosen = own;
    const falls = ["newest", "progress", "gain"].includes(order);
    if (own) button.parentElement.setAttribute("aria-sort", falls ? "descending" : "ascending");
    else button.parentElement.removeAttribute("aria-sort");
  }
}

async function refresh() {
  const wanted = parameters();
  const items = [];
  let next = null;
  let total = 0;
  do {
    wanted.set("limit", Math.min(LARGEST, pages * PAGE - items.length));
    if (next) wanted.set("page", next);
    const data = await getAgain(`/v1/jobs?${wanted}`);
    items.push(...data.items);
    next = data.next_page;
    ({ total } = data);
  } while (next && items.length < pages * PAGE);
  render(items, next);
  $("#total").textContent = total ? count(total) : "";
  return items.length <= UNHURRIED && items.some((job) => ACTIVE.has(job.state)) ? "live" : "idle";
}

function render(items, next) {
  const filtered = [...parameters().keys()].some((name) => name !== "order");
  items = items.filter(({ id }) => !bulk.hides(id));
  for (const job of items) {
    if (chosen.has(job.id)) chosen.set(job.id, job);
    if (rows.get(job.id)?.version !== job.version) rows.set(job.id, { version: job.version, row: jobRow(job) });
  }
  const wanted = items.map((job) => rows.get(job.id).row);
  if (wanted.length !== body.children.length || wanted.some((row, index) => row !== body.children[index])) {
    keepFocus(body, () => body.replaceChildren(...wanted));
  }
  for (const part of ["#jobs", "#words"]) show($(part), items.length > 0);
  show($("#empty"), items.length === 0 && !filtered);
  show($("#none"), items.length === 0 && filtered);
  show(more, next !== null);
  offer();
}

function jobRow(job) {
  const { iteration, iterations } = job.progress;
  const cell = (label, attributes, ...children) => h("td", { "data-label": label, ...attributes }, ...children);
  return h(
    "tr",
    { "data-job": job.id },
    cell("Choose", { class: "choose" }, choice(job)),
    cell("State", { class: "state-cell" }, stateBadge(job)),
    h(
      "th",
      { scope: "row", class: "name" },
      h("a", { href: `/jobs/${encodeURIComponent(job.id)}` }, jobName(job)),
      h("span", { class: "under" }, kind(job.kind), job.tags.map((tag) => h("span", { class: "tag" }, tag))),
    ),
    cell("Data set", { class: "dataset", title: subjectId(job) }, subject(job)),
    cell(
      "Progress",
      { class: "progress-cell" },
      progressBar(job),
      h("span", { class: "under figures" }, `${count(iteration)} / ${count(iterations)}`, job.worker && [h("span", { class: "between" }, " · "), h("span", { class: "worker", title: `On ${job.worker}` }, job.worker)]),
    ),
    cell("Curve", { class: "curve-cell" }, sparkline(job)),
    cell("Best loss", { class: "right figures best-cell" }, number(job.best.upper_loss)),
    gainCell(job),
    cell(
      "Submitted",
      { class: "right age-cell" },
      h("time", { datetime: job.created_at, "data-age": true, title: local(job.created_at) }, age(job.created_at)),
    ),
  );
}

function gainCell(job) {
  const found = gainOf(job);
  return h("td", { "data-label": "Gain", class: `right figures gain-cell ${found ? (found.good ? "good" : "") : "unknown"}` }, found?.text ?? "–");
}

/** The upper loss so far, over all iterations that the job may run: it grows from left to right. */
function sparkline(job) {
  const { iteration, upper_loss: losses } = job.sparkline;
  const points = [...iteration.map((at, index) => [at, toNumber(losses[index])]), [job.progress.iteration, toNumber(job.latest.upper_loss)]].filter(
    ([, loss]) => loss !== null && Number.isFinite(loss),
  );
  if (points.length < 2) return "";
  const values = points.map(([, loss]) => loss);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (at) => ((96 * at) / job.progress.iterations).toFixed(1);
  const y = (loss) => (26 - (24 * (loss - low)) / (high - low || 1)).toFixed(1);
  const label = `Upper loss from ${number(points[0][1])} to ${number(points.at(-1)[1])}`;
  return svg(
    "svg",
    { class: "sparkline", viewBox: "0 0 96 28", role: "img", "aria-label": label },
    svg("line", { x1: 0, x2: 96, y1: 27.5, y2: 27.5 }),
    svg("polyline", { points: points.map(([at, loss]) => `${x(at)},${y(loss)}`).join(" ") }),
  );
}

function choice(job) {
  const box = h("input", { type: "checkbox", checked: chosen.has(job.id), "aria-label": `Choose ${jobName(job)}` });
  box.addEventListener("change", () => {
    if (box.checked) chosen.set(job.id, job);
    else chosen.delete(job.id);
    offer();
  });
  return box;
}

/** What can be done with the chosen jobs. */
function offer() {
  const link = $("#compare");
  link.textContent = `Compare ${chosen.size} jobs`;
  link.href = at(`/compare?jobs=${[...chosen.keys()].map(encodeURIComponent).join(",")}`);
  show(link, chosen.size > 1 && chosen.size <= MOST_COMPARED);
  show($("#too-many"), chosen.size > MOST_COMPARED);
  for (const [name, word, can] of [
    ["cancel", "Cancel", ({ state }) => ACTIONS.cancel.has(state)],
    ["delete", "Delete", ({ state }) => TERMINAL.has(state)],
  ]) {
    const able = [...chosen.values()].filter(can);
    const button = $(`#${name}-chosen`);
    button.textContent = `${word} ${able.length === 1 ? "1 job" : `${able.length} jobs`}`;
    button.onclick = () => bulk.offer(name, able);
    show(button, able.length > 0);
  }
}

readUrl();
writeUrl();
const now = poll(refresh);

let typing = null;
form.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(changed, 100);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  changed();
});
form.addEventListener("reset", () => setTimeout(changed));
more.addEventListener("click", () => {
  pages += 1;
  now();
});
for (const button of sorts) {
  button.addEventListener("click", () => {
    const { order } = form.elements;
    const wanted = button.dataset.order;
    if (wanted === "newest") order.value = order.value === "" ? "oldest" : "";
    else order.value = order.value === wanted ? "" : wanted; // a second time: back to the newest first
    changed();
  });
}
$("#copy-submit").append(copyButton("Copy the command", () => "hposvc submit examples/digits_reweighting.yaml"));

function changed() {
  pages = 1;
  writeUrl();
  now();
}
