// The datasets that a job can name.

import { get } from "./api.js";
import { $, h } from "./dom.js";
import { count } from "./format.js";
import { poll } from "./poll.js";

poll(async () => {
  const { items } = await get("/v1/datasets");
  $("#datasets tbody").replaceChildren(...items.map(row));
  return "done";
});

function row(dataset) {
  const classes = dataset.classes === null ? "–" : `${dataset.classes.length}: ${dataset.classes.join(", ")}`;
  const tune = dataset.task === "classification" ? "data_reweighting" : "regularization_tuning";
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, h("code", {}, dataset.id), h("span", { class: "under block" }, dataset.name)),
    h("td", {}, dataset.task),
    h("td", { class: "right figures" }, count(dataset.rows)),
    h("td", { class: "right figures" }, count(dataset.features)),
    h("td", {}, dataset.target),
    h("td", { class: "under" }, classes),
    h("td", { class: "right" }, h("a", { class: "button small", href: `/new?dataset=${encodeURIComponent(dataset.id)}&kind=${tune}` }, "New job")),
  );
}
