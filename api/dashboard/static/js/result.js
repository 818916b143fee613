// The answer of a finished job: the sentence, the rivals, the suspects, and how well they match planted errors.

import { jobPath } from "./api.js";
import { $, bar, download, h, icon, show } from "./dom.js";
import { count, csv, number, percent, score, scoreName, sentenceCase, toNumber } from "./format.js";
import { Pictures } from "./pictures.js";

/** Draws the answer; what it waits for is the images of rows. */
export async function renderResult(job) {
  const { result } = job;
  $("#sentence").textContent = result.sentence;
  show($("#warnings"), result.warnings.length > 0);
  $("#warnings").replaceChildren(...result.warnings.map((warning) => h("li", {}, icon("note"), h("span", {}, warning))));
  $("#models").replaceChildren(models(result));
  noise(result.noise);
  await suspects(job);
}

const heading = (text, right) => h("th", { scope: "col", class: right ? "right" : null }, text);
const figure = (text) => h("td", { class: "right figures" }, text);

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
let shown = FEW;

/** The rows of low weight; as images, where the dataset holds them. */
function suspects(job) {
  const { suspects: all, suspects_total: total, rows } = job.result;
  const card = $("#suspects");
  show(card, Boolean(all?.length));
  if (!all?.length) return null;
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
  const pictures = Pictures.of(job.id);
  const more = $("#all-suspects");
  const draw = async () => {
    const some = all.slice(0, shown);
    $(".scroll", card).replaceChildren(suspectTable(some, pictures));
    show(more, some.length < all.length);
    if (await pictures.fetch(some.map((row) => row.row_id))) $(".scroll", card).replaceChildren(suspectTable(some, pictures));
  };
  more.textContent = `Show ${all.length} rows`;
  more.onclick = () => {
    shown = all.length;
    draw();
  };
  return draw();
}

function suspectTable(rows, pictures) {
  const predicted = (value) => (typeof value === "number" ? number(value) : String(value ?? "–"));
  const images = pictures.known;
  return h(
    "table",
    {},
    h("thead", {}, h("tr", {}, heading("#", true), heading("Row", true), images && heading("Image"), heading("Weight", true), heading("Labelled"), heading("The model says"), heading("Probability", true))),
    h(
      "tbody",
      {},
      rows.map((row) =>
        h(
          "tr",
          {},
          figure(count(row.rank)),
          h("th", { scope: "row", class: "right figures" }, row.row_id),
          images && h("td", {}, pictures.picture(row.row_id)),
          figure(number(row.weight)),
          h("td", {}, String(row.label)),
          h("td", {}, predicted(row.predicted)),
          figure(percent(row.predicted_probability)),
        ),
      ),
    ),
  );
}
