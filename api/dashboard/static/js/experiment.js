// The page of an experiment: what it found, its trials as curves, as a table, and by their settings.

import { ApiProblem, call, get, getAgain } from "./api.js";
import { $, ask, bar, h, icon, keepFocus, show, term } from "./dom.js";
import { Figure, axis, css, faded, horizontal, layout, plotlyReady, plottable } from "./figure.js";
import { age, count, counted, local, number, percent, score, subject, subjectId, toNumber } from "./format.js";
import { parallel } from "./parallel.js";
import { at } from "./place.js";
import { poll } from "./poll.js";
import { question, short } from "./question.js";
import { details, rivals } from "./repeats.js";
import { stateBadge } from "./states.js";
import { TrialsTable } from "./trials.js";

const box = $("#experiment");
const path = `/v1/experiments/${encodeURIComponent(box.dataset.experiment)}`;
const SLICES = 27;
const ENDED = new Set(["succeeded", "failed", "cancelled"]);
const LEGAL = { pause: ["running"], resume: ["paused"], cancel: ["running", "paused"], delete: [...ENDED] };
const WORDS = {
  pause: { text: "Pause" },
  resume: { text: "Resume" },
  cancel: { text: "Cancel", title: "Cancel this experiment?", detail: "Its jobs stop for good. What they found so far is kept." },
  delete: { text: "Delete", title: "Delete this experiment?", detail: "Its jobs go with it: their iterations, history and files." },
};

let table = null; // of the trials
const curves = new Figure($("#curves"), { name: `${box.dataset.experiment}-curves`, redraw: () => drawCurves() });
const best = new Figure($("#best"), { name: `${box.dataset.experiment}-best`, redraw: () => drawBest() });
let experiment = null;
let trials = [];
let drawnAt = null; // what the slow parts were drawn of
let detailed = false;
let ended = false;

async function allTrials() {
  const items = [];
  let page = "";
  do {
    const data = await getAgain(`${path}/trials${page}`);
    items.push(...data.items);
    page = data.next_page ? `?page=${encodeURIComponent(data.next_page)}` : null;
  } while (page);
  return items;
}

const now = poll(async () => {
  try {
    plotlyReady().catch(() => {}); // it loads while the service responds
    [experiment, trials] = await Promise.all([getAgain(path), allTrials()]);
  } catch (error) {
    if (!(error instanceof ApiProblem) || error.problem.status !== 404) throw error;
    show(box, false);
    $("#refusal").replaceChildren(h("div", { class: "card empty" }, h("h1", {}, "No such experiment"), h("p", {}, "It may have been deleted. ", h("a", { href: "/experiments" }, "All experiments"))));
    return "done";
  }
  show(box);
  header();
  const { plan } = experiment.spec;
  table ??= new TrialsTable(box.dataset.experiment, plan.type === "repeat" ? "number" : "value");
  table.render(trials, plan.type === "repeat" ? seeds() : Object.keys(plan.parameters), scoreName());
  show($("#curves"));
  show($("#best"), plan.type !== "repeat");
  await Promise.all([plan.type !== "repeat" && settings(), charts()]); // the settings are drawn while plotly loads
  if (plan.type === "repeat" && experiment.result?.repeated) {
    rivals(experiment.result);
    if (!detailed) {
      detailed = true;
      await details(path, experiment.spec.job.kind);
    }
  }
  if (ended) return "done";
  ended = ENDED.has(experiment.state); // one look more: its trials may have been asked for before its end
  return experiment.state === "paused" ? "idle" : "live";
});

async function charts() {
  await plotlyReady();
  drawCurves();
  if (experiment.spec.plan.type !== "repeat") drawBest();
}

const seeds = () => [...new Set(trials.flatMap(({ parameters }) => Object.keys(parameters)))];
const scoreName = () => experiment.result?.repeated?.score_name ?? (trials.some(({ test_score: x }) => x !== null && (x < 0 || x > 1)) || experiment.spec.job.dataset?.task === "regression" ? "r2" : "accuracy");

function header() {
  const { name, state, best: leading, result, notice, spec, tags, created_at: created } = experiment;
  document.title = `${name ?? experiment.id} · hposvc`;
  $("#name").textContent = name ?? question(experiment);
  $("#about").replaceChildren(
    stateBadge(experiment),
    h("span", {}, question(experiment)),
    h("span", { title: subjectId({ ...experiment, spec: spec.job }) }, subject({ ...experiment, spec: spec.job })),
    ...tags.map((tag) => h("span", { class: "tag" }, tag)),
    h("time", { datetime: created, "data-age": true, title: local(created) }, age(created)),
  );
  show($("#answer"), Boolean(result || notice));
  show($("#next"), Boolean(result));
  $("#next ul").replaceChildren(...steps().map((parts) => h("li", {}, ...parts)));
  $("#sentence").textContent = result?.sentence ?? "";
  show($("#sentence"), Boolean(result));
  $("#notice").textContent = notice ?? "";
  show($("#notice"), Boolean(notice));
  const { ended, planned, made } = experiment.trials;
  const running = trials.filter((trial) => ["starting", "running"].includes(trial.state)).length;
  const top = leading && trials[leading.number];
  const repeated = result?.repeated;
  tile("Trials", `${count(ended)} of ${count(planned)}`, state === "running" ? `${count(running)} running, ${count(made - ended - running)} waiting` : "");
  if (spec.plan.type !== "repeat") {
    const link = leading?.job ? h("a", { href: `/jobs/${encodeURIComponent(leading.job)}` }, `Trial ${leading.number}`) : "";
    tile("Lowest loss", number(leading?.value), link, "good");
    tile(scoreName() === "accuracy" ? "Its test accuracy" : "Its test score", top && top.test_score !== null ? score(top.test_score, scoreName()) : "–", "no trial saw the test rows");
    const pruned = trials.filter(({ state: its }) => its === "pruned").length;
    tile("Stopped early", spec.plan.pruner && spec.plan.pruner !== "none" ? count(pruned) : "–", result && pruned ? `${percent(1 - result.iterations / result.planned_iterations, 0)} of iterations saved` : "");
  } else {
    tile(`Test ${scoreName() === "accuracy" ? "accuracy" : "score"}`, repeated?.score ? score(repeated.score.mean, scoreName()) : "–", repeated?.score ? `± ${scoreName() === "accuracy" ? percent(repeated.score.sd, 2) : number(repeated.score.sd)}` : "mean of the repeats");
    tile("Test loss", number(repeated?.loss?.mean), repeated?.loss ? `± ${number(repeated.loss.sd)}` : "mean of the repeats");
  }
  $("#tiles").replaceChildren(...tiles.splice(0));
  actions();
}

/** What a person may want to do with the result. */
function steps() {
  const { result, best: leading, spec } = experiment;
  if (!result) return [];
  const job = leading?.job ?? trials.find(({ state, job }) => job && state === "succeeded")?.job;
  const again = job && [h("a", { href: `/new?from=${encodeURIComponent(job)}` }, leading ? "Start another job from the best trial" : "Start another job like these"), ", with other settings or more iterations."];
  if (leading) return [leading.job && [h("a", { href: `/jobs/${encodeURIComponent(leading.job)}` }, "Use the model of the best trial"), ": the page of its job predicts other rows and has its report."], again].filter(Boolean);
  const checked = spec.job.kind === "data_reweighting" && ["Check the labels of the rows that are a suspect in most repeats, if there are any below."];
  return [checked, again].filter(Boolean);
}

const TERMS = { "Lowest loss": "selection-loss", Trials: "trial" };
const tiles = [];
function tile(label, value, under, tone = "") {
  tiles.push(h("div", { class: "tile" }, h("span", { class: "label" }, TERMS[label] ? term(label, TERMS[label]) : label), h("span", { class: `value figures ${value === "–" ? "" : tone}` }, value), h("span", { class: "under" }, under)));
}

function actions() {
  const legal = Object.keys(LEGAL).filter((what) => LEGAL[what].includes(experiment.state));
  if (legal.join() === $("#actions").dataset.legal) return;
  $("#actions").dataset.legal = legal.join();
  const buttons = legal.map((what) => {
    const { text, title } = WORDS[what];
    return h("button", { type: "button", class: `button ${title ? "danger" : ""}`, onclick: () => (title ? confirm(what) : act(what)) }, text);
  });
  keepFocus($("#actions"), () => $("#actions").replaceChildren(...buttons));
}

function confirm(what) {
  const dialog = $("#confirm");
  $("h2", dialog).textContent = WORDS[what].title;
  $("p", dialog).textContent = WORDS[what].detail;
  $('button[value="yes"]', dialog).textContent = WORDS[what].text;
  ask(dialog, () => act(what));
}

async function act(what) {
  try {
    if (what === "delete") {
      await call(path, { method: "DELETE" });
      location.assign(at("/experiments"));
      return;
    }
    await call(`${path}/${what}`, { method: "POST" });
    $("#fault").replaceChildren();
  } catch (error) {
    $("#fault").replaceChildren(h("div", { class: "notice bad" }, icon("cross"), h("p", {}, error.message)));
  }
  now();
}

/** The curve of a trial: the iteration at the end of each share, and the lowest loss up to there. */
const points = ({ curve, iterations }) => ({ x: curve.map((_, at) => Math.round(((at + 1) * iterations) / SLICES)), y: curve.map(toNumber).map(plottable) });

function drawCurves() {
  const drawn = trials.filter(({ curve }) => curve.length > 0);
  if (!drawn.length) return;
  const repeats = experiment.spec.plan.type === "repeat";
  const [traces, legend, caption] = repeats ? meanAndBand(drawn) : manyAndBest(drawn);
  curves.render({
    traces,
    layout: layout(horizontal("iteration", { tickformat: ",d", rangemode: "tozero" }), axis("", { tickformat: "~g" }), { hovermode: "closest" }),
    legend,
    caption,
    columns: [{ key: "trial", label: "Trial", whole: true }, { key: "iteration", label: "Iteration", whole: true }, { key: "loss", label: "Lowest loss" }],
    rows: () => drawn.flatMap((trial) => points(trial).x.map((at, place) => [trial.number, at, trial.curve[place]])),
  });
}

/** All trials as one line with gaps, which a browser draws quickly even for a thousand. */
function manyAndBest(drawn) {
  const leading = experiment.best && trials[experiment.best.number];
  const x = [];
  const y = [];
  for (const trial of drawn) {
    const line = points(trial);
    x.push(...line.x, null);
    y.push(...line.y, null);
  }
  const traces = [{ x, y, mode: "lines", line: { color: faded(css("--line-2"), drawn.length > 50 ? 0.25 : 0.5), width: 1, simplify: false }, hoverinfo: "skip" }];
  const legend = [{ label: "each trial", colour: "--line-2" }];
  if (leading?.curve.length) {
    traces.push({ ...points(leading), mode: "lines", line: { color: css("--line-1"), width: 2.5 }, hovertemplate: `trial ${leading.number}: %{y:.4g}<extra></extra>` });
    legend.push({ label: `the best, trial ${leading.number}`, colour: "--line-1" });
  }
  return [traces, legend, `the lowest selection loss so far (upper loss without selection rows) of ${counted(drawn.length, "trial")}`];
}

function meanAndBand(drawn) {
  const longest = drawn.reduce((one, other) => (other.curve.length > one.curve.length ? other : one));
  const { x } = points(longest);
  const values = x.map((_, place) => drawn.map(({ curve }) => curve[place]).filter((value) => value !== undefined).map(toNumber));
  const means = values.map((each) => each.reduce((sum, value) => sum + value, 0) / each.length);
  const deviations = values.map((each, place) => (each.length > 1 ? Math.sqrt(each.reduce((sum, value) => sum + (value - means[place]) ** 2, 0) / (each.length - 1)) : 0));
  const edge = { x, mode: "lines", line: { width: 0 }, hoverinfo: "skip" };
  const line = css("--line-1");
  const traces = [
    { ...edge, y: means.map((mean, place) => plottable(mean - deviations[place])) },
    { ...edge, y: means.map((mean, place) => plottable(mean + deviations[place])), fill: "tonexty", fillcolor: faded(line, 0.2) },
    { x, y: means.map(plottable), mode: "lines", line: { color: line, width: 2 }, hovertemplate: "%{y:.4g}<extra></extra>" },
  ];
  const legend = [{ label: `mean of ${counted(drawn.length, "repeat")}`, colour: "--line-1" }, { label: "± one standard deviation", colour: "--line-1", dash: "band" }];
  return [traces, legend, "the lowest selection loss so far (upper loss without selection rows)"];
}

function drawBest() {
  const ended = trials.filter(({ value }) => value !== null);
  if (!ended.length) return;
  const x = ended.map(({ number: at }) => at);
  const y = ended.map(({ value }) => plottable(toNumber(value)));
  let least = Infinity;
  const lowest = y.map((value) => (least = Math.min(least, value ?? Infinity)));
  best.render({
    traces: [
      { ...dashes(x, y), line: { color: faded(css("--line-2"), 0.7), width: 5, simplify: false }, hovertemplate: "trial %{text}: %{y:.4g}<extra></extra>" },
      { x, y: lowest.map(plottable), mode: "lines", line: { color: css("--line-1"), width: 2, shape: "hv" }, hoverinfo: "skip" },
    ],
    layout: layout(horizontal("trial", { tickformat: ",d" }), axis("", { tickformat: "~g" }), { hovermode: "closest" }),
    legend: [{ label: "loss of a trial", colour: "--line-2", dash: "dot" }, { label: "lowest so far", colour: "--line-1" }],
    caption: `${counted(ended.length, "trial")} with a loss`,
    columns: [{ key: "trial", label: "Trial", whole: true }, { key: "loss", label: "Loss" }, { key: "lowest", label: "Lowest so far" }],
    rows: () => ended.map((trial, place) => [trial.number, trial.value, lowest[place]]),
  });
}

/** A dash for each trial, all of them one line: plotly makes an element of each marker, and a browser takes long over a thousand. */
function dashes(x, y) {
  const half = Math.max(0.4, x.length / 300); // many are wider than their place, to be seen
  return {
    mode: "lines",
    x: x.flatMap((at) => [at - half, at + half, null]),
    y: y.flatMap((at) => [at, at, null]),
    text: x.flatMap((at) => [at, at, ""]),
  };
}

/** What is drawn anew only when a trial has ended. */
async function settings() {
  const { parameters, type } = experiment.spec.plan;
  const ended = trials.filter(({ value }) => value !== null);
  const paths = Object.keys(parameters);
  const stand = `${experiment.trials.ended} ${$("#importance select").value}`;
  if (stand === drawnAt) return;
  drawnAt = stand;
  show($("#parallel"), ended.length > 1);
  const { drawing, caption } = parallel(ended, paths, (name) => parameters[name].log === true);
  $("#parallel .scroll").replaceChildren(drawing);
  $("#parallel .caption").textContent = caption;
  if (type !== "search" || paths.length < 2) return;
  const found = await get(`${path}/importance?evaluator=${$("#importance select").value}`);
  const shares = Object.entries(found.importance);
  show($("#importance"), shares.length > 0);
  const rows = shares.map(([name, share]) => h("tr", {}, h("th", { scope: "row", title: name }, short(name, paths)), h("td", { class: "bar-cell" }, bar(share, "accent")), h("td", { class: "right figures" }, percent(share, 0))));
  $("#importance .content").replaceChildren(h("table", {}, h("caption", {}, `Share of the differences between ${count(found.trials)} trials.`), h("tbody", {}, rows)));
}

$("#importance select").addEventListener("change", () => now());
