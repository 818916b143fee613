// One job: its state, its charts, its result.

import { ApiProblem, Unreachable, call, get, jobPath } from "./api.js";
import { Across } from "./across.js";
import { Chart } from "./chart.js";
import { $, ask, copyButton, h, icon, keepFocus, show } from "./dom.js";
import { age, bytes, count, jobName, kind, local, subject, subjectId } from "./format.js";
import { plotlyReady } from "./figure.js";
import { tiles } from "./glance.js";
import { Lambda } from "./lambda.js";
import { Notes } from "./notes.js";
import { at } from "./place.js";
import { poll } from "./poll.js";
import { offerPrediction } from "./predict.js";
import { completeResult, renderResult } from "./result.js";
import { Series } from "./series.js";
import { ACTIONS, ACTIVE, TERMINAL, stateBadge, stateText } from "./states.js";
import { Stretch } from "./stretch.js";
import { choose, chosen } from "./view.js";

const root = $("#job");
const id = root.dataset.job;
const series = new Series(id);
const notes = new Notes($("#notes"), id);
let job = null;
let etag = null;
let lastEvent = 0;
const undrawn = { series: false, lambda: false }; // what came, and could not be drawn yet

const across = new Across($("#across"), () => {
  draw();
  lambda.redraw();
});
const lambda = new Lambda(id, across, (at) => series.secondsAt(at));
const charts = [
  new Chart(
    $("#losses"),
    [
      { metric: "upper_loss", label: "Upper loss", colour: "--upper" },
      { metric: "lower_loss", label: "Lower loss", colour: "--lower" },
      { metric: "selection_loss", label: "Selection loss", colour: "--upper", dash: "dot" },
    ],
    { name: `${id}-losses`, log: "auto", across, zoomed, note: overfitting, marks: overfittingMark },
  ),
  new Chart($("#norm"), [{ metric: "hypergradient_norm", label: "Hypergradient norm", colour: "--norm" }], {
    name: `${id}-hypergradient-norm`,
    log: true,
    across,
    zoomed,
  }),
  new Chart($("#certificate"), [{ metric: "fd_relative_error", label: "Relative error, where it was checked", colour: "--lower", points: true }], {
    name: `${id}-certificate`,
    log: true,
    across,
    zoomed,
    note: () => "good up to 1 %, not to be trusted from 10 %",
    levels: [
      { y: 1e-2, text: "1 %", colour: "--good" },
      { y: 1e-1, text: "10 %", colour: "--bad" },
    ],
  }),
];

const asked = ["from", "to"].map((end) => parseInt(chosen(end), 10));
if (asked[0] >= 0 && asked[1] > asked[0]) series.range = asked;

const stretch = new Stretch($("#stretch"), zoomed);

async function zoomed(range) {
  noteRange(range);
  await series.zoom(range);
  draw();
}

function noteRange(range) {
  choose("from", range && String(range[0]));
  choose("to", range && String(range[1]));
}

function overfitting() {
  const since = series.overfitsSince(job.result);
  return since === null ? null : `λ overfits the validation rows since iteration ${count(since)}: the selection loss rises`;
}

function overfittingMark() {
  const since = series.overfitsSince(job.result);
  return since === null ? [] : [{ x: since, text: `overfits from ${count(since)}`, colour: "--warn" }];
}

function draw() {
  show($("#certificate"), !series.empty && series.has("fd_relative_error"));
  for (const chart of charts) chart.draw(series);
  show($("#across"), !series.empty);
  stretch.render(series.range, series.after);
}

async function refresh() {
  let answer;
  try {
    answer = await call(jobPath(id), { etag });
  } catch (error) {
    if (!(error instanceof ApiProblem) || error.problem.status !== 404) throw error;
    show(root, false);
    show($("#missing"));
    return "done";
  }
  const changed = answer.status !== 304;
  if (changed) {
    if (job && job.attempt !== answer.data.attempt) {
      series.restart();
      noteRange(null);
      lambda.restart();
    }
    job = answer.data;
    render();
  }
  if (series.empty || changed) {
    if (job.progress.iteration > 0) plotlyReady().catch(() => {}); // it loads while the service responds; a failure is said below
    await each(curves, values, glance, notice, () => job.result && completeResult(job), history);
    if (changed) ({ etag } = answer); // only now: what failed on the way is asked for again
  }
  if (job.state === "queued") await waiting();
  if (TERMINAL.has(job.state)) {
    await files();
    return "done";
  }
  return ACTIVE.has(job.state) ? "live" : "idle";
}

/** Takes all steps, although one fails: a part that cannot be drawn keeps no other part from the page. */
async function each(...steps) {
  let failure = null;
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      if (error instanceof Unreachable) throw error; // so are the others
      failure ??= error;
    }
  }
  if (failure) throw failure;
}

/** Draws the iterations that are new. */
async function curves() {
  undrawn.series = (await series.advance()) || undrawn.series;
  if (!undrawn.series) return;
  if (!series.empty) await plotlyReady();
  draw();
  undrawn.series = false;
}

/** Draws λ if it moved. */
async function values() {
  const suspects = Boolean(job.result?.suspects?.length);
  try {
    undrawn.lambda = (await lambda.advance({ suspects, ended: job.result !== null })) || undrawn.lambda;
    if (!undrawn.lambda) return;
    await plotlyReady();
    await lambda.draw();
    undrawn.lambda = false;
  } catch (error) {
    if (!(error instanceof Unreachable)) lambda.restart(); // what is held may be the cause
    throw error;
  }
}

function render() {
  document.title = `${jobName(job)} · ${stateText(job)} · hposvc`;
  $("#name").textContent = jobName(job);
  $("#about").replaceChildren(
    stateBadge(job),
    h("span", {}, kind(job.kind)),
    h("span", { title: subjectId(job) }, job.problem_version ? `${subject(job)} ${job.problem_version}` : subject(job)),
    h("span", {}, [...(job.spec.problem ? [] : [job.spec.model.type]), job.spec.solver.estimator.replace("_", "-")].join(", ")),
    ...(job.experiment ? [h("a", { href: `/experiments/${encodeURIComponent(job.experiment)}` }, "Trial of an experiment")] : []),
    ...job.tags.map((tag) => h("span", { class: "tag" }, tag)),
  );
  actions();
  notice();
  glance();
  show($("#result"), Boolean(job.result));
  if (job.result) renderResult(job);
  show(root);
}

/** Its state in six figures. */
function glance() {
  keepFocus($("#tiles"), () => $("#tiles").replaceChildren(...tiles(job, series, lambda)));
}

const PHASES = {
  loading: "The worker reads the data and builds the problem.",
  solving: "The first iteration takes longer: its kernels are prepared.",
  refitting: "The result is made: for a data set, the candidates are trained from scratch and scored on the test rows.",
};

/** Shows the state of the job. The text is replaced only if it changed, or screen readers would repeat it. */
function say(tone, name, title, ...text) {
  const told = h("div", { class: `notice ${tone}`, role: tone === "bad" ? "alert" : "status" }, icon(name), h("div", {}, h("p", {}, h("strong", {}, title)), ...text));
  if ($("#notice").textContent !== told.textContent) $("#notice").replaceChildren(told);
}

function notice() {
  const place = job.worker ? ` on ${job.worker}` : "";
  if (job.error) {
    const at = job.error.iteration === null || job.error.iteration === undefined ? "" : ` at iteration ${count(job.error.iteration)}`;
    const diverged = job.error.reason === "diverged";
    const correct = h("a", { class: "button small", href: `/new?from=${encodeURIComponent(id)}&corrected=true` }, "Correct it in a new job");
    say("bad", "cross", `${stateText(job)}${at}`, h("p", {}, job.error.message), diverged && h("p", {}, settings()), h("p", {}, h("strong", {}, "What to do: "), job.error.remedy), diverged && h("p", {}, correct));
  } else if (job.state === "running" && job.finish_early && job.phase !== "refitting") {
    say("live", "spinner", `Finishing${place}`, h("p", {}, "The current iteration is the last one. The result is made of those that are done."));
  } else if (job.state === "starting" || (job.state === "running" && (series.empty || job.phase !== "solving"))) {
    say("live", "spinner", `${stateText(job)}${place}`, h("p", {}, PHASES[job.phase] ?? "The worker begins."));
  } else if (job.state === "paused") {
    say("warn", "pause", "Paused", h("p", {}, "It uses no worker. Resume continues from the checkpoint, with the same numbers."));
  } else if (job.state === "pausing" || job.state === "cancelling") {
    say("warn", "spinner", `${stateText(job)}${place}`, h("p", {}, "The worker stops after the current iteration."));
  } else if (job.state !== "queued") {
    $("#notice").replaceChildren();
  }
}

/** The settings that decide whether a job diverges. */
function settings() {
  const { lower, upper, radius } = job.spec.solver;
  const parts = [
    ["solver.lower.learning_rate", lower.learning_rate],
    lower.momentum > 0 && ["solver.lower.momentum", lower.momentum],
    ["solver.upper.learning_rate", `${upper.learning_rate} (${upper.optimizer})`],
    ["solver.upper.bounds", upper.bounds ? upper.bounds.join(" to ") : "none"],
    upper.clip_norm !== null && ["solver.upper.clip_norm", upper.clip_norm],
    radius !== "auto" && ["solver.radius", radius],
  ].filter(Boolean);
  return ["It ran with ", ...parts.flatMap(([field, value], place) => [place ? ", " : "", h("code", {}, field), ` ${value}`]), "."];
}

/** What the job needs of a worker, in the words of what workers offer. */
function needs({ problem, resources: { device, memory } }) {
  if (problem) return problem;
  return `${device === "auto" ? "any" : device}${memory === "standard" ? "" : `-${memory}`}`;
}

/** Why a queued job is not running, from the list of workers. */
async function waiting() {
  const { items } = await get("/v1/workers");
  const compiling = items.filter((worker) => worker.state === "compiling");
  const able = items.filter((worker) => worker.offers.includes(needs(job.spec)));
  const free = able.filter((worker) => worker.state === "ready");
  let title = "Waiting for a free worker";
  const which = able.length === items.length ? "" : " that can take it";
  let text = [`${able.length === 1 ? `The only worker${which} is` : `All ${able.length} workers${which} are`} busy. The job starts by itself.`];
  if (items.length === 0) {
    title = "No worker is connected";
    text = ["Start one: ", h("code", {}, "hposvc worker")];
  } else if (free.length) {
    text = ["A worker is free and takes it in a moment."];
  } else if (compiling.length) {
    title = "Queued while a worker prepares Jittor";
    text = [`${compiling[0].host}: ${compiling[0].progress_message ?? "compiling"}. This takes minutes, and only once per machine.`];
  } else if (!able.length) {
    title = job.spec.problem ? "Waiting for a worker with the problem" : "Waiting for another machine";
    text = [job.spec.problem ? "No live worker has " : "No live worker offers ", h("code", {}, needs(job.spec)), job.spec.problem ? " installed. The job starts when one has." : ". The job starts when one does."];
  }
  say("", "clock", title, h("p", {}, ...text));
}

const ACTION_TEXT = { finish: "Finish now", pause: "Pause", resume: "Resume", retry: "Retry", cancel: "Cancel" };

function actions() {
  const legal = Object.keys(ACTION_TEXT).filter((action) => ACTIONS[action].has(job.state) && !(action === "finish" && job.finish_early));
  const ended = TERMINAL.has(job.state);
  const key = [...legal, job.finish_early, ended, Boolean(job.result)].join();
  const box = $("#actions");
  if (box.dataset.legal === key) return; // keep the focus where it is
  box.dataset.legal = key;
  const button = (text, onclick, tone = "") => h("button", { type: "button", class: `button ${tone}`, onclick }, text);
  keepFocus(box, () =>
    box.replaceChildren(
      ...legal.map((action) => (action === "cancel" ? button(ACTION_TEXT.cancel, () => ask($("#confirm"), () => act("/cancel")), "danger") : button(ACTION_TEXT[action], () => act(`/${action}`)))),
      ...(job.result ? [h("a", { class: "button", href: jobPath(id, "/report") }, "Report to print")] : []),
      button("Edit", edit),
      ...(ended ? [button("Delete", () => ask($("#delete"), remove), "danger")] : []),
    ),
  );
}

/** Asks the service for something, and says what it refuses. Returns whether it did it. */
async function attempt(path, options) {
  const refusal = $("#refusal");
  refusal.replaceChildren();
  let done = true;
  try {
    await call(jobPath(id, path), options);
  } catch (error) {
    if (!(error instanceof ApiProblem || error instanceof Unreachable)) throw error;
    const text = error instanceof Unreachable ? "The service did not respond. The request may have had no effect." : error.message;
    refusal.replaceChildren(h("div", { class: "notice bad" }, icon("cross"), h("p", {}, text)));
    done = false;
  }
  return done;
}

/** Attempts something, and asks at once how the job is. */
async function act(path, options = { method: "POST" }) {
  await attempt(path, options);
  etag = null;
  askNow();
}

/** Asks for another name and other tags. */
function edit() {
  const dialog = $("#edit");
  const { name, tags } = $("form", dialog).elements;
  name.value = job.name ?? "";
  tags.value = job.tags.join(", ");
  ask(dialog, () => {
    const changes = { name: name.value.trim() || null, tags: tags.value.split(",").map((tag) => tag.trim()).filter(Boolean) };
    act("", { method: "PATCH", headers: { "Content-Type": "application/json" }, body: JSON.stringify(changes) });
  });
}

/** Deletes the job, and asks nothing more about it. */
async function remove() {
  if (await attempt("", { method: "DELETE" })) location.assign(at("/"));
}

async function history() {
  const page = await get(jobPath(id, `/events?after=${lastEvent}`));
  lastEvent = page.next_after;
  const list = $("#events");
  for (const event of page.items) {
    list.prepend(
      h("li", {}, h("span", {}, eventText(event)), h("time", { datetime: event.at, "data-age": true, title: local(event.at) }, age(event.at))),
    );
  }
}

function eventText({ type, data, attempt }) {
  if (type === "state") return `${data.state[0].toUpperCase()}${data.state.slice(1)}${attempt > 1 ? ` (attempt ${attempt})` : ""}`;
  return data.message ?? `${type}${Object.keys(data).length ? `: ${Object.entries(data).map(([name, value]) => `${name} ${value}`).join(", ")}` : ""}`;
}

async function files() {
  const { items } = await get(jobPath(id, "/artifacts"));
  offerPrediction($("#predict"), id, items.some(({ name }) => name === "model.safetensors"));
  show($("#files"), items.length > 0);
  $("#files .scroll").replaceChildren(
    h(
      "table",
      {},
      h("tbody", {}, items.map((file) => h("tr", {}, h("td", {}, h("a", { href: file.url, download: file.name }, file.name)), h("td", { class: "right figures" }, bytes(file.size))))),
    ),
  );
}

async function specification() {
  const text = await get(jobPath(id, "/spec"));
  $("#spec").textContent = text;
  const curl = () =>
    `curl -X POST ${location.origin}${at("/v1/jobs")} -H 'Content-Type: application/yaml' --data-binary @- <<'END'\n${text}END\n`;
  $("#spec-tools").append(
    h("a", { class: "button small", href: `/new?from=${encodeURIComponent(id)}` }, "Use for a new job"),
    copyButton("YAML", () => text),
    copyButton("curl", curl),
  );
}

const askNow = poll(async () => {
  let next = "idle";
  await each(
    async () => (next = await refresh()),
    () => job && !$("#spec").textContent && specification(),
    () => job && !notes.known && notes.load(),
  );
  return next;
});
