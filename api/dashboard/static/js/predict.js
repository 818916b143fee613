// A file of rows in, a file of predictions out.

import { at } from "./place.js";
import { jobPath } from "./api.js";
import { $, download, h, icon, show } from "./dom.js";
import { counted, score as scored } from "./format.js";

/** Shows the form where the job has left a model. */
export function offerPrediction(form, id, there) {
  show(form, there);
  form.onsubmit = async (event) => {
    event.preventDefault();
    const file = form.elements.file.files[0];
    if (!file) return;
    const button = $("button", form);
    button.disabled = true;
    say(form, "live", "clock", `${file.name} is on its way`);
    try {
      await predict(form, id, file);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // what fetch raises without a network
      say(form, "bad", "cross", "The service does not respond", h("p", {}, "Nothing was stored. Try again when it is back."));
    } finally {
      button.disabled = false;
      button.focus();
    }
  };
}

async function predict(form, id, file) {
  const response = await fetch(at(jobPath(id, "/predictions")), { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream", Accept: "text/csv, application/problem+json" } });
  if (!response.ok) {
    const { title = `Status ${response.status}`, detail, errors = [] } = await response.json().catch(() => ({}));
    const list = errors.map(({ field, message, remedy }) => h("li", {}, field && h("code", {}, field), ` ${message}`, h("span", { class: "under block" }, remedy)));
    say(form, "bad", "cross", title, list.length ? h("ul", { class: "faults" }, list) : h("p", {}, detail ?? ""));
    return;
  }
  const [rows, score, name] = ["Prediction-Rows", "Prediction-Score", "Prediction-Score-Name"].map((header) => response.headers.get(header));
  const warnings = JSON.parse(response.headers.get("Prediction-Warnings") ?? "[]");
  const text = await response.text();
  const called = `${file.name.replace(/\.[^.]*$/, "")} predicted.csv`;
  download(called, text, "text/csv");
  const told = `${counted(Number(rows), "row")} ${rows === "1" ? "is" : "are"} predicted${score === null ? "" : `, ${name === "R2" ? "R²" : name} ${scored(Number(score), name)}`}`;
  say(form, "good", "check", told, h("p", {}, h("button", { type: "button", class: "link", onclick: () => download(called, text, "text/csv") }, `Download ${called} again`)), ...warnings.map((warning) => h("p", {}, warning)));
}

function say(form, tone, name, title, ...rest) {
  $(".answer", form).replaceChildren(h("div", { class: `notice ${tone}` }, icon(name), h("div", {}, h("p", {}, h("strong", {}, title)), ...rest)));
}
