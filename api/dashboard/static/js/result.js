// The result of a finished job: the sentence, the candidates, the suspects, and how well they match planted errors.

import { get, jobPath } from "./api.js";
import { $, bar, copyButton, download, h, icon, show } from "./dom.js";
import { count, counted, csv, number, percent, score, scoreName, sentenceCase, toNumber } from "./format.js";
import { Pictures } from "./pictures.js";

/** Draws the result that the job contains. */
export function renderResult(job) {
  const { result } = job;
  $("#sentence").textContent = result.sentence;
  show($("#warnings"), result.warnings.length > 0);
  $("#warnings").replaceChildren(...result.warnings.map((warning) => h("li", {}, icon("note"), h("span", {}, warning))));
  $("#models").replaceChildren(...(result.problem ? ownResult(result) : [models(result)]));
  $("#next").replaceChildren(...steps(job));
  noise(result.noise);
  suspects(job);
}

/** Adds what is requested separately: the rows as images, or with their own columns. */
export async function completeResult(job) {
  if (!job.result.suspects?.length) return;
  ranked = (await get(jobPath(job.id, "/artifacts"))).items.some(({ name }) => name === "rows.parquet");
  show($("#all-rows"), ranked);
  await complete(job);
}

/** Whether the labels of the job are those of an uploaded data set, which can be corrected. */
const reviewable = ({ spec, kind }) => kind === "data_reweighting" && spec.dataset.id.startsWith("ds_") && !spec.dataset.label_noise;

/** What a person may want to do with the result. */
function steps(job) {
  const { suspects: rows, check_next: worth } = job.result;
  const command = `hposvc predict ${job.id} FILE`;
  return [
    rows?.length && (reviewable(job) ? [h("a", { href: `/jobs/${job.id}/review` }, "Review the labels"), ", the most suspicious first, by keyboard; then tune again."] : ["Check the labels of the suspects below, the most suspicious first."]),
    worth?.length && [`A check of these rows would tell most: ${worth.slice(0, FEW).join(", ")}.`],
    !job.spec.problem && [h("a", { href: "#predict" }, "Predict other rows"), " from a file, here or on the command line: ", h("code", {}, command), " ", copyButton("Copy", () => command)],
    [h("a", { href: jobPath(job.id, "/report") }, "Print the report"), ", or send it to somebody."],
    [h("a", { href: `/new?from=${encodeURIComponent(job.id)}` }, "Start another job from this one"), ", with other settings or another seed."],
  ]
    .filter(Boolean)
    .map((parts) => h("li", {}, ...parts));
}

const heading = (text, right) => h("th", { scope: "col", class: right ? "right" : null }, text);
const figure = (text) => h("td", { class: "right figures" }, text);

function models(result) {
  const { score_name: name, handed_over: chosen } = result;
  const all = result.models.filter((model) => model.name === "tuned" || model.name !== chosen); // the chosen one stands first
  const selection = all.some((model) => model.selection_loss !== null);
  const ranked = [...all].sort((a, b) => toNumber(b.test_score) - toNumber(a.test_score));
  return h(
    "table",
    {},
    h("caption", { class: "unseen" }, "The candidates, each trained from scratch, the best first"),
    h("thead", {}, h("tr", {}, heading("Trained on"), heading(`Test ${scoreName(name)}`, true), h("td", {}), heading("Test loss", true), selection && heading("Selection loss", true), heading("Training loss", true))),
    h(
      "tbody",
      {},
      ranked.map((model) =>
        h(
          "tr",
          { class: model.name === "tuned" ? "chosen" : null },
          h("th", { scope: "row" }, sentenceCase(model.label), model.name === "tuned" && model.label !== "tuned" && h("span", { class: "tag accent" }, (result.handed_over ?? "tuned") === "tuned" ? "tuned" : "handed over")),
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

/** The numbers and tables that an own problem returned. */
function ownResult({ numbers, tables }) {
  const cell = (value) => (typeof value === "string" && !["NaN", "Infinity", "-Infinity"].includes(value) ? h("td", {}, value) : figure(value === null ? "–" : number(value)));
  return [
    numbers.length > 0 && h("dl", { class: "facts figures" }, numbers.flatMap(({ name, value }) => [h("dt", {}, name), h("dd", {}, number(value))])),
    ...tables.flatMap(({ title, columns, rows }) => [
      h("h3", {}, title),
      h(
        "table",
        { "aria-label": title },
        h("thead", {}, h("tr", {}, columns.map((name, place) => heading(name, rows.length > 0 && typeof rows[0][place] !== "string")))),
        h("tbody", {}, rows.map((row) => h("tr", {}, row.map(cell)))),
      ),
    ]),
  ].filter(Boolean);
}

function noise(scores) {
  const card = $("#noise");
  show(card, Boolean(scores));
  if (!scores) return;
  const facts = [
    ["Planted", "wrong labels in the training rows", count(scores.planted)],
    ["Flagged", "suspects among the training rows", count(scores.flagged)],
    ["Precision", "of the flagged rows are wrong", percent(scores.precision)],
    ["Recall", "of the wrong rows are flagged", percent(scores.recall)],
    ["F1", "of precision and recall", percent(scores.f1)],
    ["Area under ROC", "of the ranking of the training rows", number(scores.auc)],
  ];
  $("dl", card).replaceChildren(
    ...facts.flatMap(([name, meaning, value]) => [
      h("dt", {}, name, h("span", { class: "under" }, meaning)),
      h("dd", { class: "figures" }, value),
    ]),
  );
}

const FEW = 10;
const MOST_COLUMNS = 20; // of the user's own; the file has them all
let shown = FEW;

/** The columns of ranked rows that are the user's own. */
class Own {
  static #ours = new Set(["row_id", "part", "rank", "weight", "label", "predicted", "probability", "label_probability", "probability_wrong", "suspect"]);

  constructor(items) {
    this.rows = new Map(items.map((row) => [row.row_id, row]));
    this.all = Object.keys(items[0] ?? {}).filter((name) => !Own.#ours.has(name));
    this.columns = this.all.slice(0, MOST_COLUMNS);
  }

  cell(id, column) {
    const value = this.rows.get(id)?.[column] ?? null;
    if (value === null) return h("td", { class: "own" }, "–");
    if (typeof value === "number") return h("td", { class: "own right figures" }, String(Number(value.toPrecision(6))));
    return h("td", { class: "own" }, String(value));
  }
}

const have = (many) => (many === 1 ? "has" : "have");
let own = null;
let ranked = false; // whether the job left all of its rows

/** The suspects: rows to look at. */
function suspects(job) {
  const { suspects: all, suspects_total: total, rows } = job.result;
  const card = $("#suspects");
  show(card, Boolean(all?.length));
  if (!all?.length) return;
  const wrong = job.result.wrong_rows;
  $("#suspects-about").textContent = wrong
    ? `${count(total)} of ${counted(wrong.rows, "row")} ${have(total)} a label that ${wrong.suspect_above < 0.5 ? "may well be" : "is probably"} wrong (probability above ${percent(wrong.suspect_above)}). ` +
      (wrong.high >= wrong.rows
        ? "The features say too little about the labels to tell how many are wrong."
        : `About ${counted(Math.round(wrong.expected), "label")} ${Math.round(wrong.expected) === 1 ? "is" : "are"} wrong, ${count(Math.round(wrong.low))} to ${count(Math.round(wrong.high))} with 90 % confidence.`)
    : `${count(total)} of ${counted(rows, "training row")} ${have(total)} low weight: with ${total === 1 ? "it" : "them"}, the model does worse on the trusted rows. ` +
      `Check ${total === 1 ? "its label" : "their labels"} first${total === 1 ? "" : ", starting with the lowest weight"}.`;
  if (job.result.opinion) $("#suspects-about").textContent += ` Predicted by ${job.result.opinion}, here and in the CSV files.`;
  const columns = ["rank", "row_id", "label", "weight", "predicted", "predicted_probability", ...(wrong ? ["probability_wrong"] : [])];
  const button = h("button", { type: "button", class: "button small", title: `The first ${all.length} as CSV` }, icon("download"), "CSV");
  button.addEventListener("click", () =>
    download(`${job.id}-suspects.csv`, csv(columns, all.map((row) => columns.map((column) => row[column]))), "text/csv"),
  );
  $(".tools", card).replaceChildren(
    h("a", { class: "button small primary", href: `/jobs/${job.id}/review`, hidden: !reviewable(job) }, "Review"),
    button,
    h("a", { id: "all-rows", class: "button small", href: jobPath(job.id, wrong ? "/rows?part=all" : "/rows"), download: true, title: wrong ? "Every row with its columns, ranked by part" : "Every training row with its columns, ranked", hidden: !ranked }, icon("download"), "All rows (CSV)"),
  );
  const more = $("#all-suspects");
  more.textContent = `Show ${counted(all.length, "row")}`;
  more.onclick = () => {
    shown = all.length;
    table(job);
    complete(job);
  };
  table(job);
}

function table(job) {
  const { suspects: all } = job.result;
  $("#suspects .scroll").replaceChildren(suspectTable(all.slice(0, shown), Pictures.of(job.id), own));
  show($("#all-suspects"), shown < all.length);
}

async function complete(job) {
  const { suspects: all } = job.result;
  const pictures = Pictures.of(job.id);
  if (await pictures.fetch(all.slice(0, shown).map((row) => row.row_id))) table(job);
  if (own || pictures.known || !ranked) return;
  // Where nobody knows which rows to trust, other rows than those of training are suspects, too.
  const parts = job.result.wrong_rows ? ["train", "validation", "selection"] : ["train"];
  const pages = await Promise.all(parts.map((part) => get(jobPath(job.id, `/rows?format=json&part=${part}&limit=${all.length}`))));
  own = new Own(pages.flatMap(({ items }) => items));
  table(job);
}

function suspectTable(rows, pictures, columns) {
  const predicted = (value) => (typeof value === "number" ? number(value) : String(value ?? "–"));
  const images = pictures.known;
  const judged = rows.some((row) => (row.probability_wrong ?? null) !== null);
  const more = columns ? columns.all.length - columns.columns.length : 0;
  return h(
    "table",
    {},
    more > 0 && h("caption", {}, `${count(more)} more of your columns are in the CSV of all rows.`),
    h("thead", {}, h("tr", {}, heading("#", true), heading("Row", true), images && heading("Image"), heading(judged ? "Probability wrong" : "Weight", true), heading("Labelled"), heading("Predicted"), heading("Probability", true), columns?.columns.map((name) => h("th", { scope: "col", class: "own" }, name)))),
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
          figure(judged ? percent(row.probability_wrong) : number(row.weight)),
          h("td", {}, String(row.label)),
          h("td", {}, predicted(row.predicted)),
          figure(percent(row.predicted_probability)),
          columns?.columns.map((name) => columns.cell(row.row_id, name)),
        ),
      ),
    ),
  );
}
