// What the tuned model gained over another candidate, by the measure of its kind of job.

import { toNumber } from "./format.js";

/** Whether the test loss is the measure (lower is better); otherwise accuracy is. */
export const byLoss = (kind, scoreName) => kind === "regularization_tuning" || scoreName !== "accuracy";

/** The best of the candidates. */
export function bestCandidate(candidates, kind, scoreName) {
  const worth = byLoss(kind, scoreName) ? ({ test_loss: loss }) => -toNumber(loss) : ({ test_score: score }) => toNumber(score);
  return candidates.reduce((a, b) => (worth(b) > worth(a) ? b : a));
}

/** In words, "+1.39 points" or "−6.6 % loss", and whether it is an improvement. If both are as accurate, the loss decides. */
export function gain(tuned, candidate, kind, scoreName) {
  const loss = byLoss(kind, scoreName) || toNumber(tuned.test_score) === toNumber(candidate.test_score);
  const [own, other] = [tuned, candidate].map((model) => toNumber(loss ? model.test_loss : model.test_score));
  return inWords(loss ? (other - own) / Math.abs(other) : own - other, loss);
}

/** The gain of a job as the service has it, in the same words; null where it is not known. */
export function gainOf({ gain: known }) {
  if (!known) return null;
  return known.value === 0 ? { text: "none", good: false } : inWords(known.value, known.of === "loss");
}

function inWords(value, loss) {
  const sign = value === 0 ? "±" : value > 0 === loss ? "−" : "+"; // a gain is a loss that fell, or a score that rose
  return { text: `${sign}${(100 * Math.abs(value)).toFixed(loss ? 1 : 2)} ${loss ? "% loss" : "points"}`, good: value > 0 };
}
