// The answer of a finished job: the sentence, the rivals, the suspects, the groups, the strengths.

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
  groups(result.groups);
  strengths(result.strengths);
}

const heading = (text, right) => h("th", { scope: "col", class: right ? "right" : null }, text);
const figure = (text) => h("td", { class: "right figures" }, text);

const sentenceCase = (text) => text.charAt(0).toUpperCase() + text.slice(1);

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
          h("th", { scope: "row" }, sentenceCase(model.label), model.name === "tuned" && model.label !== "tuned" && h("span", { class: "tag accent" }, "tuned")),
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
  const card = $("#noise");
  show(card, Boolean(scores));
  if (!scores) return;
  const facts = [
    ["Planted", "wrong labels in the training rows", count(scores.planted)],
    ["Flagged", "rows of low weight", count(scores.flagged)],
    ["Precision", "of the flagged rows are wrong", percent(scores.precision)],
    ["Recall", "of the wrong rows are flagged", percent(scores.recall)],
    ["F1", "of finding them", number(scores.f1)],
    ["Area under ROC", "of the ranking by weight", number(scores.auc)],
  ];
  $("dl", card).replaceChildren(
    ...facts.flatMap(([name, meaning, value]) => [
      h("dt", {}, name, h("span", { class: "under" }, meaning)),
      h("dd", { class: "figures" }, value),
    ]),
  );
}

const FEW = 10;

function suspects(job) {
  const { suspects: all, suspects_total: total, rows } = job.result;
  const card = $("#suspects");
  show(card, Boolean(all?.length));
  if (!all?.length) return;
  $("#suspects-about").textContent = `${count(total)} of ${count(rows)} training rows have low weight.`;
  const columns = ["rank", "row_id", "label", "weight", "predicted", "predicted_probability"];
  const button = h("button", { type: "button", class: "button small", title: `The first ${all.length} as CSV` }, icon("download"), "CSV");
  button.addEventListener("click", () =>
    download(`${job.id}-suspects.csv`, csv(columns, all.map((row) => columns.map((column) => row[column]))), "text/csv"),
  );
  $(".tools", card).replaceChildren(
    button,
    h("a", { class: "button small", href: jobPath(job.id, "/artifacts/hyperparameters.parquet"), download: true }, icon("download"), "All weights (Parquet)"),
  );
  const more = $("#all-suspects");
  const draw = (shown) => {
    $(".scroll", card).replaceChildren(suspectTable(shown));
    show(more, shown.length < all.length);
  };
  more.textContent = `Show ${all.length} rows`;
  more.onclick = () => draw(all);
  draw(all.slice(0, FEW));
}

function suspectTable(rows) {
  const predicted = (value) => (typeof value === "number" ? number(value) : String(value ?? "–"));
  return h(
    "table",
    {},
    h("thead", {}, h("tr", {}, heading("#", true), heading("Row", true), heading("Weight", true), heading("Labelled"), heading("The model says"), heading("Probability", true))),
    h(
      "tbody",
      {},
      rows.map((row) =>
        h(
          "tr",
          {},
          figure(count(row.rank)),
          h("th", { scope: "row", class: "right figures" }, row.row_id),
          figure(number(row.weight)),
          h("td", {}, String(row.label)),
          h("td", {}, predicted(row.predicted)),
          figure(percent(row.predicted_probability)),
        ),
      ),
    ),
  );
}

function groups(all) {
  const card = $("#groups");
  show(card, Boolean(all?.length));
  if (!all?.length) return;
  $(".scroll", card).replaceChildren(
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, heading("Name"), heading("Training rows", true), heading("Weight", true), h("td", {}), heading("λ (logit)", true))),
      h(
        "tbody",
        {},
        all.map((group) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, group.name),
            figure(count(group.rows)),
            figure(number(group.weight)),
            h("td", { class: "bar-cell" }, bar(toNumber(group.weight))),
            figure(number(group.lam)),
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
      {},
      h("thead", {}, h("tr", {}, heading("Name"), heading("Penalty"), heading("Strength", true), h("td", {}), heading("λ (log)", true))),
      h(
        "tbody",
        {},
        all.map((item) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, item.name),
            h("td", {}, item.penalty ?? "l2"),
            figure(number(item.strength)),
            h("td", { class: "bar-cell" }, bar(Math.log1p(toNumber(item.strength)) / strongest)),
            figure(number(item.lam)),
          ),
        ),
      ),
    ),
  );
}
