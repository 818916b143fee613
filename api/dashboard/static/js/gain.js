// What the tuned model gained over a rival, by what its kind of job is judged by.

import { toNumber } from "./format.js";

/** Whether test loss decides, the lower the better; otherwise accuracy. */
export const byLoss = (kind, scoreName) => kind === "regularization_tuning" || scoreName !== "accuracy";

/** The best of the rivals. */
export function bestRival(rivals, kind, scoreName) {
  const worth = byLoss(kind, scoreName) ? ({ test_loss: loss }) => -toNumber(loss) : ({ test_score: score }) => toNumber(score);
  return rivals.reduce((a, b) => (worth(b) > worth(a) ? b : a));
}

/** In words, "+1.39 points" or "−6.6 % loss", and whether it is for the better. Where both are as accurate, loss decides. */
export function gain(tuned, rival, kind, scoreName) {
  const loss = byLoss(kind, scoreName) || toNumber(tuned.test_score) === toNumber(rival.test_score);
  const [own, other] = [tuned, rival].map((model) => toNumber(loss ? model.test_loss : model.test_score));
  const change = loss ? (own - other) / Math.abs(other) : own - other;
  const sign = change > 0 ? "+" : change < 0 ? "−" : "±";
  return { text: `${sign}${(100 * Math.abs(change)).toFixed(loss ? 1 : 2)} ${loss ? "% loss" : "points"}`, good: loss ? change < 0 : change > 0 };
}
