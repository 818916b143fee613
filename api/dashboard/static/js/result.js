// The answer of a finished job: the sentence, the rivals, the suspects, the strengths.

import { jobPath } from "./api.js";
import { $, download, h, icon, show } from "./dom.js";
import { count, csv, number, percent, score, scoreName, toNumber } from "./format.js";

export function renderResult(job) {
  const { result } = job;
  $("#sentence").textContent = result.sentence;
  show($("#warnings"), result.warnings.length > 0);
  $("#warnings").replaceChildren(...result.warnings.map((warning) => h("li", {}, icon("note"), h("span", {}, warning))));
  $("#models").replaceChildren(models(result));
  noise(result.noise);
  suspects(job);
  strengths(result.strengths);
}

const heading = (text, right) => h("th", { scope: "col", class: right ? "right" : null }, text);
const figure = (text) => h("td", { class: "right figures" }, text);

/** A bar beside a number; `share` between 0 and 1. */
function bar(share, tone = "") {
  const fill = h("span", { class: `bar ${tone}`, "aria-hidden": "true" });
  fill.style.setProperty("--share", Number.isFinite(share) ? Math.max(0, Math.min(1, share)) : 0);
  return fill;
}

function models({ models: all, score_name: name }) {
  const selection = all.some((model) => model.selection_loss !== null);
  const ranked = [...all].sort((a, b) => toNumber(b.test_score) - toNumber(a.test_score));
  return h(
    "table",
    {},
    h("caption", { class: "unseen" }, "The tuned model and its rivals, each trained from scratch, the best first"),
    h("thead", {}, h("tr", {}, heading("Trained on"), heading(`Test ${scoreName(name)}`, true), h("td", {}), heading("Test loss", true), selection && heading("Selection loss", true), heading("Training loss", true))),
    h(
      "tbody",
      {},
      ranked.map((model) =>
        h(
          "tr",
          { class: model.name === "tuned" ? "chosen" : null },
          h("th", { scope: "row" }, model.label, model.name === "tuned" && h("span", { class: "tag accent" }, "tuned")),
          figure(score(model.test_score, name)),
          h("td", { class: "bar-cell" }, bar(toNumber(model.test_score), model.name === "tuned" ? "accent" : "")),
          figure(number(model.test_loss)),
          selection && figure(number(model.selection_loss)),
          figure(number(model.train_loss)),
        ),
      ),
    ),
  );
}

function noise(scores) {
  const box = $("#noise");
  show(box, Boolean(scores));
  if (!scores) return;
  const tile = (label, value, under) =>
    h("div", { class: "tile" }, h("span", { class: "label" }, label), h("span", { class: "value figures" }, value), h("span", { class: "under" }, under));
  box.replaceChildren(
    tile("Wrong labels found", `${count(scores.flagged)} of ${count(scores.planted)}`, "flagged, and planted"),
    tile("F1", number(scores.f1), "of finding them"),
    tile("Precision", percent(scores.precision), "of the flagged rows are wrong"),
    tile("Recall", percent(scores.recall), "of the wrong rows are flagged"),
    tile("Area under ROC", number(scores.auc), "of the ranking"),
  );
}

function suspects(job) {
  const { result } = job;
  const card = $("#suspects");
  show(card, Boolean(result.suspects?.length));
  if (!result.suspects?.length) return;
  const rows = result.suspects;
  $("#suspects-about").textContent =
    `${count(result.suspects_total)} of ${count(result.rows)} training rows have low weight; the ${count(rows.length)} lowest are here.`;
  const columns = ["rank", "row_id", "label", "weight", "predicted", "predicted_probability"];
  const button = h("button", { type: "button", class: "button small" }, icon("download"), "CSV");
  button.addEventListener("click", () =>
    download(`${job.id}-suspects.csv`, csv(columns, rows.map((row) => columns.map((column) => row[column]))), "text/csv"),
  );
  $(".tools", card).replaceChildren(
    button,
    h("a", { class: "button small", href: jobPath(job.id, "/artifacts/hyperparameters.parquet"), download: true }, icon("download"), "All weights (Parquet)"),
  );
  $(".scroll", card).replaceChildren(
    h(
      "table",
      { class: "narrow" },
      h("thead", {}, h("tr", {}, heading("#", true), heading("Row", true), heading("Label"), heading("Weight", true), h("td", {}), heading("The model says"), heading("Sure", true))),
      h(
        "tbody",
        {},
        rows.map((row) =>
          h(
            "tr",
            {},
            figure(count(row.rank)),
            h("th", { scope: "row", class: "right figures" }, row.row_id),
            h("td", {}, String(row.label)),
            figure(number(row.weight)),
            h("td", { class: "bar-cell" }, bar(toNumber(row.weight))),
            h("td", {}, typeof row.predicted === "number" ? number(row.predicted) : String(row.predicted ?? "–")),
            figure(percent(row.predicted_probability)),
          ),
        ),
      ),
    ),
  );
}

function strengths(all) {
  const card = $("#strengths");
  show(card, Boolean(all?.length));
  if (!all?.length) return;
  const strongest = Math.max(...all.map((item) => Math.log1p(toNumber(item.strength))));
  $(".scroll", card).replaceChildren(
    h(
      "table",
      { class: "narrow" },
      h("thead", {}, h("tr", {}, heading("Name"), heading("Strength", true), h("td", {}), heading("λ (log)", true))),
      h(
        "tbody",
        {},
        all.map((item) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, item.name),
            figure(number(item.strength)),
            h("td", { class: "bar-cell" }, bar(Math.log1p(toNumber(item.strength)) / strongest)),
            figure(number(item.lam)),
          ),
        ),
      ),
    ),
  );
}
