// What repeats show together: the rivals with intervals, the suspects and the strengths.

import { get } from "./api.js";
import { $, bar, h, show } from "./dom.js";
import { count, number, percent } from "./format.js";

const LISTED = 20; // rows, or strengths

const points = (x) => `${x < 0 ? "−" : "+"}${(100 * Math.abs(x)).toFixed(2)}`;
const signed = (x) => `${x < 0 ? "" : "+"}${number(x)}`;

function table(heads, rows) {
  const head = (text, place) => h("th", { scope: "col", class: place ? "right" : null }, text);
  const cell = (content, place) => (place ? h("td", { class: "right figures" }, content) : h("th", { scope: "row" }, content));
  return h("table", {}, h("thead", {}, h("tr", {}, heads.map(head))), h("tbody", {}, rows.map((row) => h("tr", {}, row.map(cell)))));
}

/** The paired differences to each rival. */
export function rivals({ repeated }) {
  const card = $("#rivals");
  show(card, repeated.rivals.length > 0);
  const by = repeated.compared_by;
  const inPoints = by === "score" && repeated.score_name === "accuracy";
  const text = inPoints ? points : signed;
  const rows = repeated.rivals
    .filter(({ [by]: found }) => found)
    .map(({ label, better, repeats, [by]: { mean, low, high } }) => {
      const isBetter = low !== null && (by === "score" ? low > 0 : high < 0);
      const interval = low === null ? "all equal" : `${text(low)} to ${text(high)}`;
      return [label, `${better} of ${repeats}`, h("strong", { class: isBetter ? "good" : null }, text(mean)), interval];
    });
  const unit = inPoints ? "Points of accuracy" : by === "loss" ? "Test loss" : "Test score";
  $(".scroll", card).replaceChildren(table(["Rival", "Better in", unit, "95 % interval"], rows));
}

/** In how many repeats each row was a suspect, and how far strengths are apart: from the files of the jobs, so once. */
export async function details(path, kind) {
  if (kind === "data_reweighting") {
    const found = await get(`${path}/rows?limit=${LISTED}`);
    show($("#suspects"), found.total > 0);
    const rows = found.items.map((row) => [row.row_id, row.label, `${row.suspect} of ${row.judged}`, percent(row.probability_wrong)]);
    const made = table(["Row", "Label", "Suspect in", "Probability wrong, mean"], rows);
    made.append(h("caption", {}, `${count(found.items.length)} of ${found.total === 1 ? "1 row that was" : `${count(found.total)} rows that were`} a suspect in some repeat. A row is judged where it is a training row.`));
    $("#suspects .scroll").replaceChildren(made);
  } else {
    const found = await get(`${path}/strengths?limit=${LISTED}`);
    show($("#strengths"), found.items.length > 0);
    const widest = Math.max(...found.items.map(({ lam }) => lam.sd));
    const rows = found.items.map(({ name, penalty, strength, lam }) => [name, penalty, number(strength), h("span", {}, `× ${Math.exp(lam.sd).toFixed(2)} `, bar(lam.sd / widest))]);
    const made = table(["Feature", "Penalty", "Strength, mean", "Spread"], rows);
    made.append(h("caption", {}, "Geometric means over the repeats. The spread is the factor of one standard deviation of λ."));
    $("#strengths .scroll").replaceChildren(made);
  }
}
