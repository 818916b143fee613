// A new job as text, checked by the service. It may start from an earlier job.

import { ApiProblem, Unreachable, call, get, jobPath } from "./api.js";
import { specOf } from "./begin.js";
import { $, h, icon, show } from "./dom.js";
import { at } from "./place.js";

const EXAMPLES = {
  "Find wrong labels": `kind: data_reweighting
name: digits with wrong labels
tags: [digits]
dataset:
  id: sklearn:digits
  label_noise: {rate: 0.6, seed: 0}
stop: {iterations: 500}
`,
  "Tune penalties": `kind: regularization_tuning
name: one strength per feature
dataset:
  id: sklearn:breast_cancer
hyperparameters: {per: feature}
stop: {iterations: 300}
`,
};

const text = $("#text");
const answer = $("#answer");
const buttons = document.querySelectorAll("#new .actions button");
let key = crypto.randomUUID();

for (const [name, example] of Object.entries(EXAMPLES)) {
  const button = h("button", { type: "button", class: "button small" }, name);
  button.addEventListener("click", () => {
    text.value = example;
    answer.replaceChildren();
    text.focus();
  });
  $("#new .tools").append(button);
}

/** A job of a problem that is installed on the workers, with what it takes. */
function ofProblem({ name, parameters }) {
  const lines = Object.entries(parameters.properties ?? {}).map(([field, { default: value, description = "" }]) => {
    const about = description ? ` # ${description.replaceAll("\n", " ")}` : "";
    return `  ${field}: ${value === undefined ? "" : JSON.stringify(value)}${about}`;
  });
  return `kind: custom\nproblem: ${name}\nparameters:${lines.length ? `\n${lines.join("\n")}` : " {}"}\n`;
}

/** Lists the problems that operators have installed, if there are any. */
async function offerProblems() {
  const { items } = await get("/v1/problems");
  show($("#problems"), items.length > 0);
  $("#problems dl").replaceChildren(
    ...items.flatMap((problem) => {
      const begin = h("button", { type: "button", class: "link" }, problem.name);
      begin.addEventListener("click", () => {
        text.value = ofProblem(problem);
        answer.replaceChildren();
        text.focus();
      });
      const where = problem.fault ?? (problem.workers ? null : "No live worker has it: a job waits until one has.");
      return [h("dt", {}, problem.fault ? problem.name : begin), h("dd", {}, problem.summary, where && h("span", { class: "under block" }, where))];
    }),
  );
}

async function send(dryRun) {
  const pressed = document.activeElement; // it may be disabled for a moment
  for (const button of buttons) button.disabled = true;
  try {
    const { data } = await call(`/v1/jobs${dryRun ? "?dry_run=true" : ""}`, {
      method: "POST",
      body: text.value,
      headers: { "Content-Type": "application/yaml", ...(dryRun ? {} : { "Idempotency-Key": key }) },
    });
    if (dryRun) say("good", "check", "This spec is valid", h("p", {}, "Nothing was submitted."), ...data.warnings.map((text) => h("p", {}, text)));
    else location.assign(at(data.links.dashboard));
  } catch (error) {
    if (!(error instanceof ApiProblem || error instanceof Unreachable)) throw error;
    explain(error);
  } finally {
    for (const button of buttons) button.disabled = false;
    pressed.focus();
  }
}

function explain(error) {
  if (error instanceof Unreachable) {
    // The same idempotency key again: if the lost request did arrive, there is still one job.
    say("bad", "cross", "The service does not respond", h("p", {}, "Nothing is lost. Submit again when it is back."));
    return;
  }
  const { title, detail, errors = [] } = error.problem;
  const list = errors.map(({ field, message, remedy }) =>
    h("li", {}, field && h("code", {}, field), ` ${message}`, h("span", { class: "under block" }, remedy)),
  );
  say("bad", "cross", title, list.length ? h("ul", { class: "faults" }, list) : h("p", {}, detail));
}

function say(tone, name, title, ...rest) {
  answer.replaceChildren(h("div", { class: `notice ${tone}` }, icon(name), h("div", {}, h("p", {}, h("strong", {}, title)), ...rest)));
}

text.addEventListener("input", () => (key = crypto.randomUUID()));
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send(false);
});
$("#new").addEventListener("submit", (event) => {
  event.preventDefault();
  send(false);
});
$("#check").addEventListener("click", () => send(true));

const wanted = new URLSearchParams(location.search);
if (wanted.has("from")) {
  try {
    text.value = await get(jobPath(wanted.get("from"), wanted.has("corrected") ? "/spec?corrected=true" : "/spec"));
  } catch (error) {
    if (!(error instanceof ApiProblem || error instanceof Unreachable)) throw error;
    explain(error);
  }
} else if (wanted.has("dataset")) {
  const said = (name) => wanted.get(name);
  text.value = specOf({ dataset: said("dataset"), name: said("name"), kind: said("kind") ?? "data_reweighting", label: said("label"), id: said("id_column"), group: said("group"), trusted: said("trusted") });
} else {
  text.value = EXAMPLES["Find wrong labels"];
}
text.dataset.ready = "true";
try {
  await offerProblems();
} catch (error) {
  if (!(error instanceof ApiProblem || error instanceof Unreachable)) throw error; // the page does without
}
