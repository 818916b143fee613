// What becomes of a review: a new version of the data set, and another job that trusts its reviewed rows.

import { ApiProblem, Unreachable, call } from "./api.js";
import { $, h } from "./dom.js";
import { count, counted } from "./format.js";
import { at } from "./place.js";

/** Makes the buttons work. `say` tells a person something: tone, icon, title, and more. */
export function offer({ job, dataset, decisions, say }) {
  async function makeVersion() {
    const { data } = await call(`/v1/datasets/${encodeURIComponent(dataset.id)}/versions?label=${encodeURIComponent(decisions.label)}`, { method: "POST" });
    return data;
  }

  async function attempt(button, act) {
    if (decisions.unsaved) return say("live", "clock", "Some decisions are still on their way", "Try again in a moment.");
    button.disabled = true;
    try {
      await act();
    } catch (error) {
      if (error instanceof Unreachable) say("bad", "cross", "The service does not respond", "Nothing is lost. Try again when it is back.");
      else if (error instanceof ApiProblem) say("bad", "cross", error.problem.title, error.message, " ", error.problem.errors?.[0]?.remedy ?? "");
      else throw error;
    } finally {
      button.disabled = false;
    }
  }

  $("#version").addEventListener("click", ({ target }) =>
    attempt(target, async () => {
      const made = await makeVersion();
      const done = made.reviewed;
      const file = (format, name) => h("a", { href: `${made.links.file}?format=${format}`, download: true }, name);
      say("good", "check", `${made.name} is made: ${counted(made.rows, "row")}`, `${count(done.relabel)} relabelled, ${count(done.drop)} dropped, ${count(done.right)} confirmed. `, file("csv", "CSV"), " ", file("parquet", "Parquet"));
    }),
  );

  $("#again").addEventListener("click", ({ target }) =>
    attempt(target, async () => {
      const spec = again(job.spec, await makeVersion());
      const headers = { "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID() };
      const { data } = await call("/v1/jobs", { method: "POST", body: JSON.stringify(spec), headers });
      location.assign(at(data.links.dashboard));
    }),
  );
}

/** The spec of a job on a version of its data set, whose reviewed rows are trusted. */
function again(spec, version) {
  const { split, ...data } = spec.dataset;
  const random = split && "train" in split ? { split } : {};
  return { ...spec, name: version.name, dataset: { ...data, ...random, id: version.id, trusted: "reviewed" } };
}
