// The rounds of a review side by side: a data set, its versions, and the newest finished job of each.

import { get, jobPath } from "./api.js";
import { h, show } from "./dom.js";
import { count, score, scoreName } from "./format.js";

const MOST = 12;

/** Draws what led to `dataset`; nothing if it has no parent. */
export async function rounds(card, dataset) {
  if (!dataset.parent) return show(card, false);
  const line = [dataset];
  while (line[0].parent && line.length < MOST) line.unshift(await get(`/v1/datasets/${encodeURIComponent(line[0].parent)}`));
  const jobs = [];
  for (const { id } of line) {
    const [newest] = (await get(`/v1/jobs?state=succeeded&limit=1&text=${encodeURIComponent(id)}`)).items;
    jobs.push(newest ? await get(jobPath(newest.id)) : null); // a list has no results
  }
  show(card);
  const head = (text, right = true) => h("th", { scope: "col", class: right ? "right" : null }, text);
  const figure = (text) => h("td", { class: "right figures" }, text);
  let checked = 0;
  const cells = line.map((version, place) => {
    const done = version.reviewed;
    checked += done ? done.right + done.relabel : 0;
    const result = jobs[place]?.result ?? null;
    const model = result?.models?.find(({ name }) => name === "tuned");
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, jobs[place] ? h("a", { href: `/jobs/${jobs[place].id}` }, version.name) : version.name),
      figure(count(version.rows)),
      figure(count(checked)),
      figure(done ? count(done.relabel) : "–"),
      figure(done ? count(done.drop) : "–"),
      figure(result?.wrong_rows ? count(Math.round(result.wrong_rows.expected)) : "–"),
      figure(model ? `${score(model.test_score, result.score_name)} ${scoreName(result.score_name)}` : "–"),
    );
  });
  card.querySelector(".scroll").replaceChildren(
    h("table", {}, h("caption", {}, "Test rows of a reviewed version are reviewed rows, and harder than others: compare scores of the same version only."), h("thead", {}, h("tr", {}, head("Version", false), head("Rows"), head("Rows checked"), head("Relabelled"), head("Dropped"), head("Wrong rows, estimated"), head("Test score"))), h("tbody", {}, cells)),
  );
}
