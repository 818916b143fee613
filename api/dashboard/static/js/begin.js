// From an uploaded file to a job: which of its columns is the label, which names the rows, and which groups them.

import { ApiProblem, Unreachable, call, get } from "./api.js";
import { $, h, show } from "./dom.js";
import { count } from "./format.js";
import { at } from "./place.js";

const SHOWN = 6; // first rows
const MOST_COLUMNS = 40; // of them that are shown
const MOST_GROUPS = 10_000;
const GROUPING = new Set(["text", "integer", "boolean"]);

const known = ({ distinct }) => distinct !== null && distinct !== undefined;

/** Which columns can play each part, by what the file holds. */
export function fitting({ columns, rows }) {
  return {
    label: columns.filter((column) => known(column) && column.distinct >= 2 && column.dtype !== "date"),
    id: columns.filter((column) => column.distinct === rows && !column.missing),
    group: columns.filter((column) => known(column) && GROUPING.has(column.dtype) && column.distinct >= 2 && column.distinct <= Math.min(MOST_GROUPS, rows / 2)),
  };
}

/** The spec of a job as YAML, which is JSON for every name. */
export function specOf({ dataset, name, kind, label, id, group, trusted }) {
  const lines = [`kind: ${kind}`, ...(name ? [`name: ${JSON.stringify(name)}`] : []), "dataset:", `  id: ${dataset}`];
  if (label) lines.push(`  label: ${JSON.stringify(label)}`);
  if (id) lines.push(`  id_column: ${JSON.stringify(id)}`);
  if (trusted) lines.push(`  trusted: ${trusted}`);
  if (group) lines.push(`hyperparameters: {per: group, group_column: ${JSON.stringify(group)}}`);
  return `${lines.join("\n")}\n`;
}

/** Whether a label holds classes, as far as its column tells: text, truth values, or few different whole numbers. */
const holdsClasses = ({ dtype, distinct }) => ["text", "boolean"].includes(dtype) || (dtype === "integer" && distinct <= 50);

/** Offers the columns of `dataset` in `section`; `explain` is told what is refused. */
export async function offerColumns(section, dataset, explain) {
  const fit = fitting(dataset);
  const form = $("form", section);
  const fill = (name, none, columns, value) => form.elements[name].replaceChildren(...(none === null ? [] : [h("option", { value: "" }, none)]), ...columns.map((column) => h("option", { value: column.name, selected: column.name === value }, column.name)));
  $("#begin-name").textContent = dataset.name;
  const guess = dataset.target ?? fit.label.findLast((column) => holdsClasses(column) && column.distinct <= 50)?.name;
  fill("label", null, fit.label, guess);
  fill("id_column", "rows are numbered", fit.id, dataset.id_column);
  fill("group", "none: a weight for each row", fit.group, null);
  const column = () => dataset.columns.find(({ name }) => name === form.elements.label.value);
  const spec = () => {
    const [label, id, group] = ["label", "id_column", "group"].map((name) => form.elements[name].value);
    const kind = group || (column() && holdsClasses(column())) ? "data_reweighting" : "regularization_tuning";
    return { dataset: dataset.id, name: dataset.name, kind, label, id, group, trusted: kind === "data_reweighting" && !group ? "unknown" : null };
  };
  const changed = () => {
    const { kind, label, id, group } = spec();
    const said = { data_reweighting: group ? "The job tunes a weight for each group of rows." : "The job looks for wrong labels.", regularization_tuning: "The job tunes how strongly a model of numbers is regularized." };
    $("#begin-said").textContent = column() ? `${said[kind]} The label ${label} has ${count(column().distinct)} different values.` : "";
    $("#begin-edit").href = at(`/new?${new URLSearchParams(Object.entries({ dataset: dataset.id, name: dataset.name, kind, label, id_column: id, group, trusted: spec().trusted ?? "" }).filter(([, value]) => value))}`);
    for (const cell of section.querySelectorAll("[data-column]")) cell.classList.toggle("chosen", [label, id, group].includes(cell.dataset.column));
  };
  form.onchange = changed;
  form.onsubmit = async (event) => {
    event.preventDefault();
    const button = $("button.primary", form);
    button.disabled = true;
    try {
      const { data } = await call("/v1/jobs", { method: "POST", body: specOf(spec()), headers: { "Content-Type": "application/yaml", "Idempotency-Key": crypto.randomUUID() } });
      location.assign(at(data.links.dashboard));
    } catch (error) {
      if (!(error instanceof ApiProblem || error instanceof Unreachable)) throw error;
      explain(error);
      button.disabled = false;
      button.focus();
    }
  };
  $(".scroll", section).replaceChildren();
  show(section);
  changed();
  form.elements.label.focus();
  if (!dataset.links.rows) return;
  try {
    preview($(".scroll", section), await get(`${dataset.links.rows}?limit=${SHOWN}`));
    changed();
  } catch (error) {
    if (!(error instanceof ApiProblem || error instanceof Unreachable)) throw error; // the columns can be chosen without
  }
}

function preview(scroll, { columns, rows }) {
  const shown = columns.slice(0, MOST_COLUMNS);
  const cell = (value) => ((value ?? null) === null ? h("span", { class: "under" }, "missing") : Array.isArray(value) ? `${count(value.length)} numbers` : String(value));
  scroll.replaceChildren(
    h(
      "table",
      {},
      h("caption", {}, columns.length > MOST_COLUMNS ? `The first rows, and the first ${MOST_COLUMNS} of ${count(columns.length)} columns` : "The first rows"),
      h("thead", {}, h("tr", {}, shown.map((name) => h("th", { scope: "col", class: "own", "data-column": name }, name)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.slice(0, MOST_COLUMNS).map((value, place) => h("td", { class: "own", "data-column": shown[place] }, cell(value)))))),
    ),
  );
}
