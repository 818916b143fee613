// Reviewing labels: one row after the other, the most suspicious first, by keyboard.

import { ApiProblem, Unreachable, get, jobPath } from "./api.js";
import { Decisions } from "./decisions.js";
import { $, ask, h, icon, keepFocus, show, term } from "./dom.js";
import { against, speaking, scalesOf, similar, usual } from "./evidence.js";
import { count, counted, percent } from "./format.js";
import { meant, shortest } from "./keys.js";
import { offer } from "./outcome.js";
import { Pictures } from "./pictures.js";
import { poll } from "./poll.js";
import { rounds } from "./rounds.js";
import { choose, chosen } from "./view.js";

const MOST = 1000; // rows of each part that are asked for at once
const FEW = 50; // rows left to decide, before more are asked for
const OURS = new Set(["row_id", "part", "rank", "weight", "label", "predicted", "probability", "label_probability", "probability_wrong", "suspect"]);
const WORDS = { right: "right", relabel: "relabelled", drop: "dropped", unsure: "unsure" };
const LARGE = 280; // of an image, in CSS pixels
const AHEAD = 20; // images that are there before they are needed

const root = $("#review");
const id = root.dataset.job;
const card = $("#row");
let job = null;
let dataset = null;
let rows = []; // the most suspicious first
let checkedBefore = []; // trusted rows of the job
let columns = []; // the user's own
let known = new Map(); // what is usual in each class
let scales = new Map(); // how far apart the values of each column lie
let decisions = null;
let listedParts = []; // whose rows are reviewed
let asked = 0; // so many rows of each of them
let more = false; // whether there are others
let asking = false;
let place = null; // the id of the row that is shown
let typed = "";

const fault = (why) => {
  $("#why").textContent = why;
  show($("#missing"));
  show(root, false);
};

/** Why the labels of this job cannot be reviewed; null if they can. */
function obstacle() {
  const { spec } = job;
  if (spec.kind !== "data_reweighting") return "This job tunes penalties. Only jobs that weight rows say which labels may be wrong.";
  if (!spec.dataset.id.startsWith("ds_")) return "This data set comes with the service. Upload rows of your own, and review those.";
  if (spec.dataset.label_noise) return "Wrong labels were planted in this job. Its rows have other labels than the data set.";
  if (job.state !== "succeeded") return `The job is ${job.state}. Its rows can be reviewed when it has succeeded.`;
  return null;
}

async function load() {
  job = await get(jobPath(id));
  let why = obstacle();
  if (!why) {
    dataset = await get(`/v1/datasets/${encodeURIComponent(job.spec.dataset.id)}`);
    if ((dataset.id_column ?? null) !== (job.spec.dataset.id_column ?? null)) why = "The job names its rows by another column than the data set.";
  }
  if (why) return fault(why);
  const label = job.spec.dataset.label ?? dataset.target;
  const everyRow = job.spec.dataset.trusted === "unknown" && !job.spec.dataset.split?.validation?.startsWith?.("ds_");
  listedParts = everyRow ? ["train", "validation", "selection"] : ["train"];
  await grow();
  if (!everyRow) for (const name of ["validation", "selection"]) checkedBefore.push(...(await part(name, "suspicious", 0)));
  columns = Object.keys(rows[0] ?? {}).filter((name) => !OURS.has(name) && ![label, dataset.id_column, dataset.review_column].includes(name));
  classNames = job.result.task === "regression" ? [] : [...(label === dataset.target && dataset.classes ? dataset.classes : new Set(rows.flatMap((row) => [row.label, row.predicted])))].sort();
  learn();
  decisions = new Decisions(dataset.id, label, id, { changed: render, told: (title, why) => say("warn", "note", title, why) });
  await decisions.load();
  frame(label);
  offer({ job, dataset, decisions, say });
  go(rows.find(({ row_id: row }) => row === chosen("row"))?.row_id ?? next());
  card.focus({ preventScroll: true });
  await rounds($("#rounds"), dataset).catch(() => show($("#rounds"), false)); // they are news, not needed here
}

async function part(name, order, offset) {
  const { items } = await get(jobPath(id, `/rows?format=json&part=${name}&order=${order}&limit=${MOST}&offset=${offset}`));
  for (const row of items) [row.label, row.predicted] = [text(row.label), text(row.predicted)];
  return items;
}

const worth = ({ probability_wrong: wrong }) => (wrong ?? 0) * (1 - (wrong ?? 0));
const ORDERS = { suspicious: (a, b) => (b.probability_wrong ?? 0) - (a.probability_wrong ?? 0), worth_checking: (a, b) => worth(b) - worth(a) };
const order = () => (chosen("order") === "worth_checking" ? "worth_checking" : "suspicious");

/** Gets the next rows of each part in the order that is chosen. */
async function grow() {
  const there = new Set(rows.map((row) => row.row_id));
  more = false;
  for (const name of listedParts) {
    const found = await part(name, order(), asked);
    more ||= found.length === MOST;
    rows.push(...found.filter((row) => !there.has(row.row_id) && (name === "train" || (row.probability_wrong ?? null) !== null)));
  }
  asked += MOST;
  rows.sort(ORDERS[order()]); // stable: ranks stay where there is no probability
}

/** What the rows that are there say of every class, and how far their values lie apart. */
function learn() {
  if (classes().length) known = usual([...rows, ...checkedBefore], columns);
  scales = scalesOf(rows, columns);
}

/** Asks for more rows when few are left, or none in the order that was chosen. */
async function ensure(anyway = false) {
  if (asking || !(anyway || (more && listed().length <= FEW))) return;
  asking = true;
  try {
    do await grow();
    while (more && listed().length <= 1);
    learn();
  } catch (error) {
    if (!(error instanceof ApiProblem || error instanceof Unreachable)) throw error;
    say("warn", "note", "More rows could not be loaded", error.message);
  } finally {
    asking = false;
  }
  if (place === null) go(next());
  else render();
}

const text = (value) => (typeof value === "number" ? String(Number(value.toPrecision(6))) : String(value ?? ""));
let classNames = []; // none where labels are numbers
const classes = () => classNames;

function frame(label) {
  show(root);
  $("#job-name").textContent = job.name ?? id;
  $("#about").replaceChildren(h("span", {}, dataset.name), h("span", {}, `column ${label}`), h("span", { class: "figures" }, counted(dataset.rows, "row")));
  const given = [...new Set(rows.map((row) => row.label))].sort();
  const wanted = $('#filters [name="label"]');
  wanted.replaceChildren(h("option", { value: "" }, "anything"), ...given.map((name) => h("option", { value: name }, name)));
  wanted.value = chosen("label") ?? "";
  $('#filters [name="show"]').value = chosen("show") ?? "open";
  $('#filters [name="order"]').value = order();
  show($("#label-filter"), classes().length > 0);
}

// Which row

const filters = () => ({ show: chosen("show") ?? "open", label: chosen("label"), opinion: chosen("opinion") });

function fits(row) {
  const wanted = filters();
  if (wanted.label && row.label !== wanted.label) return false;
  return !wanted.opinion || row.predicted === wanted.opinion;
}

function listed() {
  const wanted = filters().show;
  return rows.filter((row) => fits(row) && (row.row_id === place || wanted === "all" || Boolean(decisions.of(row.row_id)) === (wanted === "decided")));
}

/** The row after the one that is shown, or the first that is left. */
function next() {
  const all = listed();
  const at = all.findIndex((row) => row.row_id === place);
  return all.slice(at + 1).find((row) => row.row_id !== place)?.row_id ?? all.find((row) => row.row_id !== place)?.row_id ?? null;
}

function step(by) {
  const all = by < 0 ? rows.filter(fits) : listed(); // back goes to what was decided, too
  const at = all.findIndex((row) => row.row_id === place);
  const there = all[at + by] ?? (by > 0 ? all[0] : null);
  if (there) go(there.row_id);
}

function go(row) {
  place = row;
  typed = "";
  choose("row", row);
  render();
  picture();
  ensure();
}

/** Gets the image of the row, and of some that come after it. */
async function picture() {
  if (!dataset.image_shape || place === null) return;
  const all = listed();
  const at = all.findIndex((row) => row.row_id === place);
  if (await Pictures.of(id).fetch(all.slice(Math.max(0, at), at + AHEAD).map((row) => row.row_id))) render();
}

// What a person does

function decide(decision, relabelledTo = null) {
  if (place === null) return;
  const row = place;
  const following = next();
  decisions.decide(new Map([[row, { decision, ...(relabelledTo === null ? {} : { relabelled_to: relabelledTo }) }]]));
  go(following);
}

function undo() {
  const back = decisions.undo();
  $("#notice").replaceChildren();
  if (back === null) say("live", "note", "Nothing to undo", "Nothing was decided on this page yet.");
  else if (back.length === 1) go(back[0]);
}

function type(letter) {
  typed = letter === null ? "" : typed + letter;
  const all = classes();
  if (all.length && typed) {
    const { matches, chosen: found } = meant(typed, all);
    if (found !== null) return relabel(found);
    if (!matches.length) typed = "";
  }
  render();
}

function relabel(name) {
  const row = rows.find(({ row_id: each }) => each === place);
  if (row?.label === name) decide("right");
  else decide("relabel", name);
}

function enter() {
  if (!typed) return decide("right");
  const exact = classes().find((name) => name.toLowerCase() === typed.toLowerCase());
  if (exact) return relabel(exact);
  if (!classes().length && Number.isFinite(Number(typed))) return decide("relabel", typed);
  type(null);
}

const KEYS = {
  Enter: enter,
  ArrowRight: () => step(1),
  ArrowLeft: () => step(-1),
  Delete: () => decide("drop"),
  "!": () => decide("drop"),
  "?": () => decide("unsure"),
  Backspace: () => (typed ? type(null) : undo()),
  Escape: () => type(null),
};

document.addEventListener("keydown", (event) => {
  if (!decisions || event.altKey || event.metaKey || event.isComposing || document.querySelector("dialog[open]")) return;
  if (event.target.closest("input, select, textarea, summary")) return;
  if (event.ctrlKey) return;
  if (event.target.closest("a, button") && ["Enter", " "].includes(event.key)) return;
  const letter = classes().length ? /^[\p{L}\p{N}_]$/u.test(event.key) || (typed && event.key.length === 1) : /^[-\d.e]$/.test(event.key);
  const act = KEYS[event.key] ?? (letter && place !== null ? () => type(event.key) : null);
  if (!act) return;
  event.preventDefault();
  act();
});

addEventListener("beforeunload", (event) => decisions?.unsaved && event.preventDefault());

$("#filters").addEventListener("change", async ({ target }) => {
  choose(target.name, ["", "open", "suspicious"].includes(target.value) ? null : target.value);
  if (target.name === "order") {
    asked = 0;
    await ensure(true); // rows that are worth a check may not be among the most suspicious
  }
  if (target.name === "label") choose("opinion", null);
  place = null;
  go(next());
});

// What is drawn

function render() {
  const row = rows.find(({ row_id: each }) => each === place);
  keepFocus(card, () => card.replaceChildren(...(row ? shown(row).filter(Boolean) : nothing())));
  progress();
  pairs();
  keys(row);
  neighbours(row);
}

function nothing() {
  const all = rows.length > 0 && rows.every((row) => decisions.of(row.row_id));
  return [h("div", { class: "empty" }, h("h2", {}, all ? "Every row is decided" : "No row is left here"), h("p", {}, all ? "Make a new version of the data set, or tune again." : "Other filters show other rows. ← goes back."))];
}

function shown(row) {
  const all = listed();
  const at = all.findIndex((other) => other === row);
  const decided = decisions.of(row.row_id);
  const wrong = row.probability_wrong ?? null;
  const marked = new Set(against(row, columns, known).slice(0, 5));
  const words = columns.some((name) => speaking(row, name, known)?.some((piece) => piece.marked));
  const pictures = Pictures.of(id);
  const ordered = [...columns].sort((a, b) => marked.has(b) - marked.has(a));
  return [
    h("div", { class: "card-heading" }, h("h2", {}, "Row ", h("span", { class: "figures" }, row.row_id)), h("span", { class: "under figures" }, `${count(at + 1)} of ${count(all.length)}`)),
    h(
      "dl",
      { class: "verdict" },
      h("div", {}, h("dt", {}, "Labelled"), h("dd", {}, row.label)),
      h("div", {}, h("dt", {}, term("Opinion", "opinion")), h("dd", { class: row.predicted === row.label ? null : "other" }, row.predicted, (row.probability ?? null) !== null && h("span", { class: "under figures" }, percent(row.probability)))),
      wrong !== null && h("div", {}, h("dt", {}, "Label wrong"), h("dd", { class: "figures" }, percent(wrong))),
    ),
    job.result.opinion && h("p", { class: "under" }, `The opinion is that of ${job.result.opinion}.`),
    h("p", { class: "said" }, ...(typed ? [h("strong", {}, `${typed}…`), " ", classes().length ? meant(typed, classes()).matches.join(", ") : "Enter takes this number"] : decided ? verdict(decided) : [h("span", { class: "under" }, "Not decided yet")])),
    pictures.known && h("div", { class: "large" }, pictures.picture(row.row_id, LARGE)),
    ordered.length > 0 &&
      h(
        "table",
        { class: "wrapping values" },
        h("caption", {}, marked.size || words ? `Marked: more usual among rows labelled ${row.predicted} than ${row.label}.` : classes().length ? "No column speaks clearly against the label." : ""),
        h("thead", { class: "unseen" }, h("tr", {}, h("th", { scope: "col" }, "Column"), h("th", { scope: "col" }, "Value"))),
        h("tbody", {}, ordered.map((name) => h("tr", { class: marked.has(name) ? "against" : null }, h("th", { scope: "row" }, name), h("td", {}, prose(row, name) ?? cell(row[name]), marked.has(name) && h("span", { class: "tag" }, "against the label"))))),
      ),
  ];
}

/** A text with the words marked that are more usual among rows of the opinion; null for other values. */
function prose(row, name) {
  const found = speaking(row, name, known);
  return found && found.map(({ text: piece, marked }) => (marked ? h("mark", {}, piece) : piece));
}

const cell = (value) => ((value ?? null) === null ? h("span", { class: "under" }, "missing") : text(value));

function verdict({ decision, relabelled_to: to, decided_by: by, version }) {
  const saved = version !== undefined;
  return [icon(saved ? "check" : "clock"), h("strong", {}, WORDS[decision], to ? ` ${to}` : ""), h("span", { class: "under" }, saved ? `saved${by ? `, by ${by}` : ""}` : "on its way")];
}

function progress() {
  const decided = rows.map((row) => decisions.of(row.row_id)).filter(Boolean);
  const counts = Object.entries(WORDS).map(([decision, word]) => [word, decided.filter((each) => each.decision === decision).length]);
  $("#done").max = Math.max(1, rows.length);
  $("#done").value = decided.length;
  $("#counts").textContent = [`${count(decided.length)} of ${count(rows.length)} decided`, ...counts.filter(([, some]) => some).map(([word, some]) => `${count(some)} ${word}`)].join(" · ");
  const { unsaved, trouble } = decisions;
  $("#saved").className = `state ${trouble ? "bad" : unsaved ? "live" : "good"}`;
  $("#saved").replaceChildren(icon(trouble ? "cross" : unsaved ? "clock" : "check"), trouble ? `${count(unsaved)} not saved, trying again` : unsaved ? `${count(unsaved)} on the way` : "All saved");
}

/** How many rows have which label and which opinion: each number is a filter. */
function pairs() {
  const open = rows.filter((row) => filters().show === "all" || Boolean(decisions.of(row.row_id)) === (filters().show === "decided"));
  const groups = [...Map.groupBy(open.filter((row) => row.predicted !== row.label), (row) => JSON.stringify([row.label, row.predicted]))].map(([key, some]) => [...JSON.parse(key), some.length]).sort((a, b) => b[2] - a[2]);
  const { label, opinion } = filters();
  show($("#pairs"), classes().length > 0 && (groups.length > 0 || opinion !== null));
  const pick = (from, to) => () => {
    choose("label", from);
    choose("opinion", to);
    $('#filters [name="label"]').value = from ?? "";
    place = null;
    go(next());
  };
  keepFocus($("#pairs .tools"), () => $("#pairs .tools").replaceChildren(...(opinion ? [h("button", { type: "button", class: "button small", onclick: pick(null, null) }, "All")] : [])));
  keepFocus($("#pairs .scroll"), () =>
    $("#pairs .scroll").replaceChildren(
      h(
        "table",
        {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Labelled → opinion"), h("th", { scope: "col", class: "right" }, "Rows"))),
        h("tbody", {}, groups.slice(0, 12).map(([from, to, some]) => h("tr", { class: from === label && to === opinion ? "chosen" : null }, h("th", { scope: "row" }, h("button", { type: "button", class: "link", "aria-pressed": String(from === label && to === opinion), onclick: pick(from, to) }, `${from} → ${to}`)), h("td", { class: "right figures" }, count(some))))),
      ),
    ),
  );
}

function keys(row) {
  const key = (name) => h("kbd", {}, name);
  const all = classes();
  const act = (words, run, ...pressed) => [h("dt", {}, ...pressed.map(key)), h("dd", {}, h("button", { type: "button", class: "link", onclick: () => (run(), card.focus({ preventScroll: true })) }, words))];
  const lines = [
    act(row ? `${row.label} is right` : "the label is right", () => decide("right"), "Enter"),
    ...all.slice(0, 12).filter((name) => name !== row?.label).map((name) => act(name, () => relabel(name), shortest(name, all))),
    ...(all.length ? [] : [[h("dt", {}, key("0–9")), h("dd", {}, "type the right number, then Enter")]]),
    act("drop the row", () => decide("drop"), "Delete", "!"),
    act("unsure", () => decide("unsure"), "?"),
    act("undo", undo, "Backspace"),
    act("back", () => step(-1), "←"),
    act("later", () => step(1), "→"),
  ];
  keepFocus($("#keys dl"), () => $("#keys dl").replaceChildren(...lines.flat()));
}

function neighbours(row) {
  const checked = [...checkedBefore, ...rows.filter((other) => ["right", "relabel"].includes(decisions.of(other.row_id)?.decision))];
  const near = row ? similar(row, checked, columns, scales) : [];
  show($("#similar"), near.length > 0 && columns.length > 0);
  const right = (other) => decisions.of(other.row_id)?.relabelled_to ?? other.label;
  const few = columns.slice(0, 8);
  $("#similar .scroll").replaceChildren(
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Row"), h("th", { scope: "col" }, "Checked label"), few.map((name) => h("th", { scope: "col", class: "own" }, name)))),
      h("tbody", {}, near.map((other) => h("tr", {}, h("th", { scope: "row" }, other.row_id), h("td", {}, right(other)), few.map((name) => h("td", { class: "own" }, cell(other[name])))))),
    ),
  );
}

function say(tone, name, title, ...rest) {
  $("#notice").replaceChildren(h("div", { class: `notice ${tone}` }, icon(name), h("div", {}, h("p", {}, h("strong", {}, title)), h("p", {}, ...rest))));
}

// Many at once

function acceptable() {
  const above = Number($('#bulk [name="above"]').value) / 100;
  return rows.filter((row) => fits(row) && !decisions.of(row.row_id) && row.predicted !== row.label && (row.probability_wrong ?? 0) >= above);
}

function countThem() {
  const some = acceptable().length;
  $("#bulk-count").textContent = some ? (some === 1 ? "1 row that is not decided gets the label of the opinion." : `${count(some)} rows that are not decided get the label of the opinion.`) : "No undecided row is so likely to be wrong.";
  $('#bulk button[value="yes"]').disabled = some === 0;
}

$('#bulk [name="above"]').addEventListener("input", countThem);
$("#many").addEventListener("click", () => {
  countThem();
  ask($("#bulk"), () => {
    const some = acceptable();
    if (!some.length) return;
    decisions.decide(new Map(some.map((row) => [row.row_id, { decision: "relabel", relabelled_to: row.predicted }])));
    place = null;
    go(next());
    say("good", "check", `${counted(some.length, "row")} ${some.length === 1 ? "is" : "are"} relabelled as the opinion says.`, h("button", { type: "button", class: "link", onclick: () => (undo(), card.focus()) }, "Undo"));
  });
});

let loaded = false;
poll(async () => {
  if (!loaded) {
    try {
      await load();
    } catch (error) {
      if (!(error instanceof ApiProblem) || ![404, 409, 410].includes(error.problem.status)) throw error;
      fault(error.message);
    }
    loaded = true;
  } else if (decisions && !decisions.unsaved) {
    await decisions.load(); // what others decided
    render();
  }
  return decisions ? "idle" : "done";
});
