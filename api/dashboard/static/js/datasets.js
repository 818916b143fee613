// The data sets that a job can name: uploaded ones, which this page can send and delete, and bundled ones.

import { ApiProblem, Unreachable, call, get } from "./api.js";
import { offerColumns } from "./begin.js";
import { $, ask, h, icon, keepFocus, show } from "./dom.js";
import { age, bytes, count, counted, local } from "./format.js";
import { at, here } from "./place.js";
import { poll } from "./poll.js";
import { choose, chosen } from "./view.js";

const TYPES = { csv: "text/csv", tsv: "text/tab-separated-values", parquet: "application/vnd.apache.parquet", npz: "application/x-npz" };
const FEW = 12; // classes that are named

const form = $("#upload");
const answer = $("#answer");
const open = new Set(chosen("columns")?.split(",")); // ids whose columns are shown
let items = [];
let next = null;

const askNow = poll(async () => {
  ({ items, next_page: next = null } = await get("/v1/datasets"));
  render();
  return "done";
});

$("#more").addEventListener("click", async () => {
  const page = await get(`/v1/datasets?page=${encodeURIComponent(next)}`);
  const known = new Set(items.map(({ id }) => id));
  items.push(...page.items.filter(({ id }) => !known.has(id)));
  next = page.next_page ?? null;
  render();
});

function render() {
  const body = $("#datasets tbody");
  keepFocus(body, () => body.replaceChildren(...items.flatMap((dataset) => (open.has(dataset.id) ? [row(dataset), columns(dataset)] : [row(dataset)]))));
  show($("#more"), next !== null);
}

const uploaded = ({ source }) => source === "upload";

function row(dataset) {
  const tune = dataset.task === "regression" ? "regularization_tuning" : "data_reweighting";
  const label = dataset.target === null || dataset.target === undefined ? "" : `&label=${encodeURIComponent(dataset.target)}`;
  const tools = [];
  if (uploaded(dataset) && dataset.columns) tools.push(h("button", { type: "button", class: "button small", "aria-label": `Tune with ${dataset.name}`, onclick: () => offerColumns($("#begin"), dataset, explain) }, "Tune"));
  const own = uploaded(dataset) ? `&name=${encodeURIComponent(dataset.name)}${label}` : "";
  tools.push(h("a", { class: "button small", href: `/new?dataset=${encodeURIComponent(dataset.id)}&kind=${tune}${own}` }, "New job"));
  if (dataset.columns?.length) {
    const shown = open.has(dataset.id);
    tools.unshift(h("button", { type: "button", class: "button small", "aria-expanded": String(shown), "aria-label": `Columns of ${dataset.name}`, onclick: () => toggle(dataset.id) }, "Columns"));
  }
  if (uploaded(dataset)) tools.push(h("button", { type: "button", class: "button small danger", "aria-label": `Delete ${dataset.name}`, onclick: () => askToRemove(dataset) }, "Delete"));
  return h(
    "tr",
    { "data-dataset": dataset.id },
    h("th", { scope: "row" }, uploaded(dataset) ? dataset.name : h("code", {}, dataset.id), h("span", { class: "under block" }, uploaded(dataset) ? [h("code", {}, dataset.id), " · ", h("time", { datetime: dataset.created_at, title: local(dataset.created_at), "data-age": true }, age(dataset.created_at)), lineage(dataset)] : dataset.name)),
    h("td", { "data-label": "Task" }, dataset.task ?? "–"),
    h("td", { class: "right figures", "data-label": "Rows" }, count(dataset.rows)),
    h("td", { class: "right figures", "data-label": "Features" }, dataset.features === undefined ? "–" : count(dataset.features)),
    h("td", { "data-label": "Target" }, dataset.target ?? "–"),
    h("td", { class: "under", "data-label": "Classes" }, classes(dataset.classes)),
    h("td", { class: "right figures", "data-label": "Size" }, dataset.size ? bytes(dataset.size) : "–"),
    h("td", { class: "right" }, h("div", { class: "tools end" }, tools)),
  );
}

/** What a review did to the parent, where one made the data set. */
function lineage({ parent, version, reviewed, links }) {
  if (!parent) return null;
  const done = `${count(reviewed.relabel)} relabelled, ${count(reviewed.drop)} dropped, ${count(reviewed.right)} confirmed`;
  return h("span", { class: "lineage block" }, `version ${version} of `, h("code", {}, parent), h("span", { class: "block" }, `${done} · `, h("a", { href: `${links.file}?format=csv`, download: true }, "CSV"), " ", h("a", { href: `${links.file}?format=parquet`, download: true }, "Parquet")));
}

function classes(all) {
  if (!all) return "–";
  const more = all.length > FEW ? ` and ${count(all.length - FEW)} more` : "";
  return `${count(all.length)}: ${all.slice(0, FEW).join(", ")}${more}`;
}

function toggle(id) {
  if (!open.delete(id)) open.add(id);
  noteOpen();
  render();
}

const noteOpen = () => choose("columns", open.size ? [...open].join(",") : null);

/** What each column holds, and how it is treated. */
function columns(dataset) {
  const head = (text, right) => h("th", { scope: "col", class: right ? "right" : null }, text);
  return h(
    "tr",
    { class: "inside" },
    h(
      "td",
      { colspan: 8 },
      h(
        "table",
        {},
        h("caption", { class: "unseen" }, `The columns of ${dataset.name}`),
        h("thead", {}, h("tr", {}, head("Column"), head("Holds"), head("Role"), head("What is done to it"), head("Missing", true), head("Distinct", true))),
        h(
          "tbody",
          {},
          dataset.columns.map((column) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, column.name),
              h("td", {}, column.dtype),
              h("td", {}, column.role),
              h("td", { class: "under" }, column.treatment ?? ""),
              h("td", { class: "right figures" }, count(column.missing ?? 0)),
              h("td", { class: "right figures" }, column.distinct === null || column.distinct === undefined ? "–" : count(column.distinct)),
            ),
          ),
        ),
      ),
    ),
  );
}

function askToRemove(dataset) {
  $("#doomed").textContent = dataset.name;
  ask($("#confirm"), () => remove(dataset));
}

async function remove(dataset) {
  try {
    await call(`/v1/datasets/${encodeURIComponent(dataset.id)}`, { method: "DELETE" });
    say("good", "check", `${dataset.name} is deleted`);
    show($("#begin"), false);
    open.delete(dataset.id);
    noteOpen();
  } catch (error) {
    explain(error);
  }
  askNow();
}

/** Sends a file as the body of one request. XMLHttpRequest, because fetch does not report its progress. */
function send(file, progress) {
  const request = new XMLHttpRequest();
  const query = new URLSearchParams({ name: file.name });
  request.open("POST", at(`/v1/datasets?${query}`));
  request.setRequestHeader("Accept", "application/json");
  request.setRequestHeader("Content-Type", TYPES[file.name.split(".").pop().toLowerCase()] ?? "application/octet-stream");
  request.upload.addEventListener("progress", (event) => progress(event.loaded, file.size));
  const done = new Promise((resolve, reject) => {
    request.addEventListener("load", () => {
      let data = null;
      try {
        data = JSON.parse(request.responseText);
      } catch {
        // not JSON: the status must do
      }
      if (request.status === 401) location.assign(at(`/login?next=${encodeURIComponent(here())}`));
      if (request.status >= 400) reject(new ApiProblem(data ?? { title: `Status ${request.status}`, status: request.status }));
      else resolve(data);
    });
    request.addEventListener("error", () => reject(new Unreachable("the connection ended")));
    request.addEventListener("abort", () => resolve(null));
  });
  request.send(file);
  return { done, stop: () => request.abort() };
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const file = form.elements.file.files[0];
  if (!file) return;
  const button = $("button.primary", form);
  const stop = $("#stop");
  const bar = $("progress", form);
  answer.replaceChildren();
  show($("#begin"), false);
  button.disabled = true;
  show(stop);
  stop.focus(); // what was pressed is disabled now
  show($("#sending"));
  let offered = null;
  const sending = send(file, (loaded, total) => {
    bar.value = total ? loaded / total : 0;
    $("#sent").textContent = loaded < total ? `${bytes(loaded)} of ${bytes(total)} sent` : `${bytes(total)} sent; the service reads and checks it`;
  });
  stop.onclick = sending.stop;
  try {
    const dataset = await sending.done;
    if (dataset === null) say("warn", "slash", "Stopped", h("p", {}, "Nothing was stored."));
    else {
      say("good", "check", `${dataset.name}: ${counted(dataset.rows, "row")}`, h("p", {}, "Its id for a job: ", h("code", {}, dataset.id), "."));
      open.add(dataset.id);
      noteOpen();
      form.reset();
      askNow();
      offered = dataset;
    }
  } catch (error) {
    explain(error);
  } finally {
    button.disabled = false;
    if (document.activeElement === stop) button.focus();
    show(stop, false);
    show($("#sending"), false);
  }
  if (offered?.columns) offerColumns($("#begin"), offered, explain);
});

function explain(error) {
  if (error instanceof Unreachable) {
    say("bad", "cross", "The service does not respond", h("p", {}, "Nothing was stored. Try again when it is back."));
    return;
  }
  if (!(error instanceof ApiProblem)) throw error;
  const { title, detail, errors = [] } = error.problem;
  const list = errors.map(({ field, message, remedy }) => h("li", {}, field && h("code", {}, field), ` ${message}`, h("span", { class: "under block" }, remedy)));
  say("bad", "cross", title, list.length ? h("ul", { class: "faults" }, list) : h("p", {}, detail));
}

function say(tone, name, title, ...rest) {
  answer.replaceChildren(h("div", { class: `notice ${tone}` }, icon(name), h("div", {}, h("p", {}, h("strong", {}, title)), ...rest)));
}
