// A job at a glance: is it converging, can its hypergradient be trusted, what did λ become, what was gained.

import { h } from "./dom.js";
import { age, count, duration, number, percent, toNumber } from "./format.js";
import { TERMINAL, progressBar } from "./states.js";

const BROKEN = new Set(["NaN", "∞", "−∞"]);
const rate3 = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 });

// Relative errors of the hypergradient, from the certificate: as rounding leaves them, and as steps can bear.
const GOOD_ERROR = 1e-2;
const BEARABLE_ERROR = 1e-1;
const SETTLED = 0.01; // of the whole fall, over the last tenth

export function tiles(job, series, lambda) {
  return [progress(job), loss(job, series), norm(job, series), certificate(job, series), hyperparameters(lambda), gain(job)];
}

const tile = (label, value, under, tone = "") =>
  h(
    "div",
    { class: "tile" },
    h("span", { class: "label" }, label),
    h("span", { class: `value figures ${BROKEN.has(value) ? "broken" : tone}` }, value),
    h("span", { class: "under figures" }, ...[under].flat()),
  );

function progress(job) {
  const { iteration, iterations } = job.progress;
  if (!job.started_at) return tile("Progress", `${count(iteration)} / ${count(iterations)}`, [progressBar(job), `submitted ${age(job.created_at)}`]);
  const seconds = ((job.finished_at ? Date.parse(job.finished_at) : Date.now()) - Date.parse(job.started_at)) / 1000;
  const parts = [duration(seconds)];
  if (iteration > 0 && seconds > 0) parts.push(`${rate3.format(iteration / seconds)} it/s`);
  if (!TERMINAL.has(job.state) && iteration > 0) parts.push(`${duration(((iterations - iteration) * seconds) / iteration)} left`);
  if (job.attempt > 1) parts.push(`attempt ${job.attempt}`);
  return tile("Progress", `${count(iteration)} / ${count(iterations)}`, [progressBar(job), parts.join(" · ")]);
}

function loss(job, series) {
  const best = job.best.iteration === null ? "no iteration yet" : `best ${number(job.best.upper_loss)} at ${count(job.best.iteration)}`;
  const verdict = trend(series);
  return tile("Upper loss", number(job.latest.upper_loss), [verdict && h("strong", { class: verdict.tone }, verdict.text), verdict && " · ", best].filter(Boolean));
}

/** What the upper loss did over the last tenth of the points, measured by its whole fall. */
function trend(series) {
  if (series.empty) return null;
  const values = series.overview.filter((value) => value !== null && Number.isFinite(value));
  if (values.length < 20) return null;
  const tenth = Math.max(2, Math.floor(values.length / 10));
  const mean = (some) => some.reduce((sum, value) => sum + value, 0) / some.length;
  const [now, before] = [mean(values.slice(-tenth)), mean(values.slice(-2 * tenth, -tenth))];
  const fall = Math.max(...values) - Math.min(...values);
  const share = fall > 0 ? (before - now) / fall : 0;
  if (share > SETTLED) return { text: "falling", tone: "good" };
  if (share < -SETTLED) return { text: "rising", tone: "warn" };
  return { text: "settled", tone: "good" };
}

function norm(job, series) {
  const now = toNumber(job.latest.hypergradient_norm);
  const first = series.empty ? null : series.first("hypergradient_norm");
  const factor = now > 0 && first > 0 && Number.isFinite(now) ? first / now : null;
  let under = "no iteration yet";
  if (now !== null) under = factor === null ? "latest" : factor >= 1 ? `${rate3.format(factor)} × smaller than at the start` : `${rate3.format(1 / factor)} × larger than at the start`;
  return tile("Hypergradient norm", number(job.latest.hypergradient_norm), under);
}

function certificate(job, series) {
  const label = "Hypergradient error";
  const certified = series.empty ? [] : series.certificates();
  if (!certified.length) {
    const every = job.spec.solver.certify_every;
    return tile(label, "–", every ? `checked every ${count(every)} iterations` : ["not checked: ", h("code", {}, "certify_every: 100")]);
  }
  const worst = Math.max(...certified);
  const [tone, word] = worst <= GOOD_ERROR ? ["good", "to be trusted"] : worst <= BEARABLE_ERROR ? ["warn", "rough"] : ["bad", "not to be trusted"];
  return tile(label, Number.isFinite(worst) ? `≤ ${percent(worst, worst < 1e-3 ? 4 : 2)}` : number(worst), [h("strong", { class: tone }, word), " · relative, the worst seen"], "");
}

function hyperparameters(lambda) {
  const now = lambda.now;
  if (!now?.size) return tile("λ", "–", "no snapshot yet");
  const lam = now.groups.flatMap(({ quantiles }) => [quantiles.value[0], quantiles.value.at(-1)]).map(toNumber);
  const [low, high] = [Math.min(...lam), Math.max(...lam)];
  const median = number(now.groups[0].quantiles.value[3]);
  if (now.scale === "log") {
    return tile(`Strengths: ${count(now.size)}`, now.size === 1 ? number(low) : `${short(low)} – ${short(high)}`, now.size === 1 ? "of the whole model" : `median ${median}`);
  }
  const { counts } = now.groups[0].histogram;
  const below = counts.slice(0, counts.length / 2).reduce((sum, counted) => sum + counted, 0);
  return tile(`Weights: ${count(now.size)}`, `${count(below)} below ½`, `median ${median} · ${short(low)} to ${short(high)}`);
}

/** Two digits: 0.052, 5.8, 7.9e-6. */
function short(value) {
  if (!Number.isFinite(value)) return number(value);
  return value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential(1) : Number(value.toPrecision(2)).toString();
}

/** The tuned model against the best of its rivals, by what its kind is judged by. */
function gain(job) {
  const label = "Gain over the best rival";
  if (!job.result) return tile(label, "–", TERMINAL.has(job.state) ? "no answer" : "known at the end");
  const { models, score_name: name } = job.result;
  const tuned = models.find((model) => model.name === "tuned");
  const rivals = models.filter((model) => model.name !== "tuned");
  if (/nothing gained/i.test(tuned.label)) return tile(label, "None", tuned.label.replace(/^tuned \(nothing gained: (.*)\)$/, "the answer is: $1"), "warn");
  const byLoss = job.kind === "regularization_tuning" || name !== "accuracy";
  const metric = byLoss ? "test_loss" : "test_score";
  const rival = rivals.reduce((a, b) => ((toNumber(b[metric]) - toNumber(a[metric])) * (byLoss ? -1 : 1) > 0 ? b : a));
  const [own, other] = [toNumber(tuned[metric]), toNumber(rival[metric])];
  const change = byLoss ? (own - other) / Math.abs(other) : own - other;
  const good = byLoss ? change < 0 : change > 0;
  const sign = change > 0 ? "+" : change < 0 ? "−" : "±";
  const text = `${sign}${(100 * Math.abs(change)).toFixed(byLoss ? 1 : 2)} ${byLoss ? "% loss" : "points"}`;
  return tile(label, text, `${byLoss ? number(other) : percent(other, 2)}: ${rival.label}`, good ? "good" : "warn");
}
