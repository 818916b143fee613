// The list of experiments, the newest first.

import { getAgain } from "./api.js";
import { $, h, keepFocus, show } from "./dom.js";
import { age, count, local, number, subject, subjectId } from "./format.js";
import { poll } from "./poll.js";
import { question } from "./question.js";
import { stateBadge } from "./states.js";

const PAGE = 50;
const UNDER_WAY = new Set(["running", "cancelling"]);
const more = $("#more");
let pages = 1;

const now = poll(async () => {
  const items = [];
  let next = null;
  do {
    const data = await getAgain(`/v1/experiments?limit=${PAGE}${next ? `&page=${encodeURIComponent(next)}` : ""}`);
    items.push(...data.items);
    next = data.next_page;
  } while (next && items.length < pages * PAGE);
  show($("#experiments"), items.length > 0);
  show($("#empty"), items.length === 0);
  show(more, next !== null);
  const body = $("#experiments tbody");
  keepFocus(body, () => body.replaceChildren(...items.map(row)));
  return items.some(({ state }) => UNDER_WAY.has(state)) ? "live" : "idle";
});

more.addEventListener("click", () => {
  pages += 1;
  now();
});

function row(experiment) {
  const { ended, planned } = experiment.trials;
  const job = { ...experiment, spec: experiment.spec.job };
  return h(
    "tr",
    {},
    h("td", {}, stateBadge(experiment)),
    h("th", { scope: "row" }, h("a", { href: experiment.links.dashboard }, experiment.name ?? experiment.id), h("span", { class: "under block", title: subjectId(job) }, subject(job), experiment.tags.flatMap((tag) => [" ", h("span", { class: "tag" }, tag)]))),
    h("td", { "data-label": "Question" }, question(experiment)),
    h("td", { class: "figures", "data-label": "Trials" }, `${count(ended)} of ${count(planned)}`),
    h("td", { class: "right figures", "data-label": "Lowest loss" }, number(experiment.best?.value)),
    h("td", { class: "right under", "data-label": "Submitted" }, h("time", { datetime: experiment.created_at, "data-age": true, title: local(experiment.created_at) }, age(experiment.created_at))),
  );
}
