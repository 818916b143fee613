// A job at a glance: does it converge, how large is the error of its hypergradient, what is λ, what was gained.

import { h, term } from "./dom.js";
import { age, count, duration, number, percent, sentenceCase, toNumber } from "./format.js";
import { bestCandidate, byLoss, gain } from "./gain.js";
import { hardlyMoved, isNoise } from "./lambda.js";
import { TERMINAL, progressBar } from "./states.js";

const WORDS = { "Upper loss": "upper-loss", "Hypergradient norm": "hypergradient", "Hypergradient error": "certificate", λ: "hyperparameters", "Gain over the best rival": "gain" };
const BROKEN = new Set(["NaN", "∞", "−∞"]);
const rate3 = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 });

// Relative errors of the hypergradient, from the certificate: due to rounding only, and acceptable for steps.
const GOOD_ERROR = 1e-2;
const BEARABLE_ERROR = 1e-1;
const SETTLED = 0.01; // of the whole fall, over the last tenth

export function tiles(job, series, lambda) {
  return [progress(job, series), loss(job, series), norm(job, series), certificate(job, series), hyperparameters(lambda, TERMINAL.has(job.state)), gained(job)];
}

const tile = (label, value, under, tone = "", word = WORDS[label]) =>
  h(
    "div",
    { class: "tile" },
    h("span", { class: "label" }, word ? term(label, word) : label),
    h("span", { class: `value figures ${BROKEN.has(value) ? "broken" : tone}` }, value),
    h("span", { class: "under figures" }, ...[under].flat()),
  );

/** By the clock of the solver: time that a job is paused or waits for a worker does not count. */
function progress(job, { seconds }) {
  const { iteration, iterations } = job.progress;
  const done = `${count(iteration)} / ${count(iterations)}`;
  if (iteration && seconds === null) return tile("Progress", done, progressBar(job)); // on its way
  if (!iteration) return tile("Progress", done, [progressBar(job), `submitted ${age(job.created_at)}`]);
  const parts = [`${duration(seconds)} of solving`];
  if (seconds > 0) parts.push(`${rate3.format(iteration / seconds)} it/s`);
  if (!TERMINAL.has(job.state)) parts.push(`${duration(((iterations - iteration) * seconds) / iteration)} to go`);
  if (job.attempt > 1) parts.push(`attempt ${job.attempt}`);
  return tile("Progress", done, [progressBar(job), parts.join(" · ")]);
}

function loss(job, series) {
  const best = job.best.iteration === null ? "no iteration yet" : `best ${number(job.best.upper_loss)} at ${count(job.best.iteration)}`;
  const since = series.overfitsSince(job.result);
  if (since !== null) {
    const which = job.result ? "the tuned λ is that of" : "the best λ so far is that of";
    return tile("Upper loss", number(job.latest.upper_loss), [h("strong", { class: "warn" }, `overfits since ${count(since)}`), ` · ${which} ${count(since)}`]);
  }
  const verdict = trend(series);
  return tile("Upper loss", number(job.latest.upper_loss), [verdict && h("strong", { class: verdict.tone }, verdict.text), verdict && " · ", best].filter(Boolean));
}

/** The change of the upper loss over the last tenth of the points, relative to its whole fall. */
function trend(series) {
  if (series.empty) return null;
  const values = series.whole.upper_loss.filter((value) => value !== null && Number.isFinite(value));
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
  if (series.view === null && job.progress.iteration) return tile(label, "–", ""); // on its way
  const certified = series.empty ? [] : series.certificates();
  if (!certified.length) {
    const every = job.spec.solver.certify_every;
    return tile(label, "–", every === "auto" ? "checked about ten times in a run" : every ? `checked every ${every === 1 ? "iteration" : `${count(every)} iterations`}` : ["not checked: ", h("code", {}, "certify_every: 100")]);
  }
  const telling = series.telling();
  if (!telling.length) return tile(label, "–", "checked only after λ had settled, where rounding is all that is left");
  const worst = Math.max(...telling);
  if (BROKEN.has(number(job.latest.hypergradient_norm))) {
    return tile(label, number(job.latest.hypergradient_norm), [h("strong", { class: "bad" }, "not to be trusted"), ` · ≤ ${percent(worst, worst < 1e-3 ? 4 : 2)} while it was finite`]);
  }
  const [tone, word] = worst <= GOOD_ERROR ? ["good", "to be trusted"] : worst <= BEARABLE_ERROR ? ["warn", "rough"] : ["bad", "not to be trusted"];
  return tile(label, Number.isFinite(worst) ? `≤ ${percent(worst, worst < 1e-3 ? 4 : 2)}` : number(worst), [h("strong", { class: tone }, word), telling.length < certified.length ? " · relative, the largest before λ settled" : " · relative, the largest so far"], "");
}

function hyperparameters(lambda, ended) {
  const now = lambda.now;
  if (now === null) return tile("λ", "–", ""); // on its way
  if (!now.size) return tile("λ", "–", ended ? "none was stored" : "none yet");
  const lam = now.groups.flatMap(({ quantiles }) => [quantiles.value[0], quantiles.value.at(-1)]).map(toNumber);
  const [low, high] = [Math.min(...lam), Math.max(...lam)];
  if (lam.some((value) => !Number.isFinite(value))) return tile("λ", "NaN", now.iteration === null ? "not finite" : `not finite after iteration ${count(now.iteration)}`);
  const median = number(now.groups[0].quantiles.value[3]);
  if (now.scale === "log") {
    if (now.size > 1 && hardlyMoved(low, high)) return tile(`Strengths: ${count(now.size)}`, short(low), "they hardly differ");
    return tile(`Strengths: ${count(now.size)}`, now.size === 1 ? number(low) : `${short(low)} – ${short(high)}`, now.size === 1 ? "of the whole model" : `median ${median}`, "", "strength");
  }
  if (now.scale === "linear") return tile(`λ: ${count(now.size)}`, now.size === 1 ? number(low) : `${short(low)} – ${short(high)}`, now.size === 1 ? "one number" : `median of ${now.groups[0].name} ${median}`);
  const values = now.groups[0].quantiles.value;
  if (isNoise(now)) return tile("Noise matrix", percent(toNumber(values.at(-1))), `the largest share of a class that was given one other label · ${count(now.size)} shares, median ${percent(toNumber(values[3]))}`, "", "noise-matrix");
  const { counts } = now.groups[0].histogram;
  const below = counts.slice(0, counts.length / 2).reduce((sum, counted) => sum + counted, 0);
  const { name } = now.groups[0]; // "all" where it is not known what they are of
  return tile(name === "all" ? `Weights: ${count(now.size)}` : `Weights of ${count(now.size)} ${name}`, `${count(below)} below ½`, `${started(lambda.past)}now ${short(low)} to ${short(high)}, median ${median}`, "", "weight");
}

/** Where all weights started, if that was at one place, by their history: null after a new attempt began. */
function started(past) {
  if (past?.iteration[0] !== 0 || !past.groups.length) return "";
  const ends = past.groups.flatMap(({ value }) => [value[0][0], value.at(-1)[0]]).map(toNumber);
  return Math.max(...ends) - Math.min(...ends) < 1e-9 ? `all started at ${ends[0] === 0.5 ? "½" : short(ends[0])} · ` : "";
}

/** Two digits: 0.052, 5.8, 7.9e-6. */
function short(value) {
  if (!Number.isFinite(value)) return number(value);
  return value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential(1) : Number(value.toPrecision(2)).toString();
}

/** The tuned model against the best rival, by the measure of its kind of job. */
function gained(job) {
  const label = "Gain over the best rival";
  if (!job.result) return tile(label, "–", TERMINAL.has(job.state) ? "no result" : "known at the end");
  if (job.result.problem) {
    const [first] = job.result.numbers;
    return first ? tile(sentenceCase(first.name), number(first.value), "as the problem returned it") : tile("Result", "–", "no number of its own");
  }
  const { models, score_name: name } = job.result;
  const tuned = models.find((model) => model.name === "tuned");
  const rival = models.find((model) => model.name === job.result.best_rival); // a result of an older release names none
  const candidates = rival ? [rival] : models.filter((model) => model.name !== "tuned");
  if (/nothing gained/i.test(tuned.label)) return tile(label, "None", tuned.label.replace(/^tuned \(nothing gained: (.*)\)$/, "the result is: $1"), "warn");
  const loss = byLoss(job.kind, name);
  const candidate = bestCandidate(candidates, job.kind, name);
  const { text, good } = gain(tuned, candidate, job.kind, name);
  return tile(label, text, `${loss ? number(candidate.test_loss) : percent(candidate.test_score, 2)}${!loss && text.endsWith("loss") ? ", as accurate" : ""}: ${candidate.label}`, good ? "good" : "warn");
}
