// The list of jobs. The filter lives in the URL; rows are replaced only when their job changed.

import { getAgain } from "./api.js";
import { $, copyButton, h, show } from "./dom.js";
import { age, count, jobName, kind, local, number } from "./format.js";
import { poll } from "./poll.js";
import { ACTIVE, progressBar, stateBadge } from "./states.js";

const PAGE = 50;
const form = $("#filter");
const body = $("#jobs tbody");
const more = $("#more");
const rows = new Map(); // job id → { version, row }
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
}

async function refresh() {
  const wanted = parameters();
  wanted.set("limit", PAGE);
  const items = [];
  let next = null;
  for (let page = 0; page < pages; page += 1) {
    if (next) wanted.set("page", next);
    const data = await getAgain(`/v1/jobs?${wanted}`);
    items.push(...data.items);
    next = data.next_page;
    if (!next) break;
  }
  render(items, next);
  return items.some((job) => ACTIVE.has(job.state)) ? "live" : "idle";
}

function render(items, next) {
  const filtered = parameters().size > 0;
  for (const job of items) {
    if (rows.get(job.id)?.version !== job.version) rows.set(job.id, { version: job.version, row: jobRow(job) });
  }
  const wanted = items.map((job) => rows.get(job.id).row);
  if (wanted.length !== body.children.length || wanted.some((row, index) => row !== body.children[index])) {
    body.replaceChildren(...wanted);
  }
  show($("#jobs"), items.length > 0);
  show($("#empty"), items.length === 0 && !filtered);
  show($("#none"), items.length === 0 && filtered);
  show(more, next !== null);
}

function jobRow(job) {
  const { iteration, iterations } = job.progress;
  const cell = (label, attributes, ...children) => h("td", { "data-label": label, ...attributes }, ...children);
  return h(
    "tr",
    { "data-job": job.id },
    cell("State", {}, stateBadge(job)),
    h(
      "th",
      { scope: "row", class: "name" },
      h("a", { href: `/jobs/${encodeURIComponent(job.id)}` }, jobName(job)),
      h("span", { class: "under" }, kind(job.kind), job.tags.map((tag) => h("span", { class: "tag" }, tag))),
    ),
    cell(
      "Progress",
      { class: "progress-cell" },
      progressBar(job),
      h("span", { class: "under figures" }, `${count(iteration)} / ${count(iterations)}`),
    ),
    cell("Upper loss", { class: "right figures" }, number(job.latest.upper_loss)),
    cell("Best", { class: "right figures" }, number(job.best.upper_loss)),
    cell("Worker", { class: "worker" }, job.worker ?? ""),
    cell(
      "Submitted",
      { class: "right" },
      h("time", { datetime: job.created_at, "data-age": true, title: local(job.created_at) }, age(job.created_at)),
    ),
  );
}

readUrl();
writeUrl();
const now = poll(refresh);

let typing = null;
form.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(changed, 150);
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
$("#copy-submit").append(copyButton("Copy the command", () => "hposvc submit examples/digits_reweighting.yaml"));

function changed() {
  pages = 1;
  writeUrl();
  now();
}
