// What is done to several jobs at once, after some seconds in which it can be taken back.

import { ApiProblem, Unreachable, call, jobPath } from "./api.js";
import { h, icon } from "./dom.js";
import { count, jobName } from "./format.js";

const UNDO_MS = 8_000;

const DEEDS = {
  cancel: { path: "/cancel", method: "POST", future: "will be cancelled", done: "cancelled" },
  delete: { path: "", method: "DELETE", future: "will be deleted", done: "deleted" },
};

const many = (number) => (number === 1 ? "1 job" : `${count(number)} jobs`);

/** One deed at a time: a new one lets the one before happen at once, and so does leaving the page. */
export class Bulk {
  #waiting = null; // { name, jobs, timer }

  /** `changed()` is called when jobs begin or end to wait, and when something was done to them. */
  constructor(box, changed) {
    this.box = box;
    this.changed = changed;
    addEventListener("pagehide", () => this.#now(true));
  }

  /** Whether a job is about to be deleted, so that the list leaves it out. */
  hides(id) {
    return this.#waiting?.name === "delete" && this.#waiting.jobs.some((job) => job.id === id);
  }

  /** Does `name` (cancel or delete) to the jobs, unless it is taken back. */
  async offer(name, jobs) {
    await this.#now();
    this.#waiting = { name, jobs, timer: setTimeout(() => this.#now(), UNDO_MS) };
    const undo = h("button", { type: "button", class: "button small", onclick: () => this.#undo() }, "Undo");
    this.#say("", "clock", `${many(jobs.length)} ${DEEDS[name].future} in a moment.`, undo);
    undo.focus();
    this.changed();
  }

  #undo() {
    clearTimeout(this.#waiting?.timer);
    this.#waiting = null;
    this.#say("good", "check", "Nothing was changed.");
    this.changed();
  }

  async #now(leaving = false) {
    if (!this.#waiting) return;
    const { name, jobs, timer } = this.#waiting;
    clearTimeout(timer);
    this.#waiting = null;
    const { path, method, done } = DEEDS[name];
    const failures = [];
    // All at once where the page is being left: nobody waits for an answer.
    const asked = jobs.map((job) => () => call(jobPath(job.id, path), { method, keepalive: leaving }));
    if (leaving) return void asked.forEach((ask) => ask());
    for (const [place, ask] of asked.entries()) {
      try {
        await ask();
      } catch (error) {
        if (!(error instanceof ApiProblem || error instanceof Unreachable)) throw error;
        failures.push(h("li", {}, `${jobName(jobs[place])}: ${error instanceof Unreachable ? "the service did not respond" : error.message}`));
      }
    }
    const well = jobs.length - failures.length;
    if (failures.length) this.#say("bad", "cross", `${count(well)} of ${many(jobs.length)} ${well === 1 ? "is" : "are"} ${done}.`, h("ul", { class: "faults" }, failures));
    else this.#say("good", "check", `${many(well)} ${well === 1 ? "is" : "are"} ${done}.`);
    this.changed();
  }

  #say(tone, name, text, ...rest) {
    this.box.replaceChildren(h("div", { class: `notice ${tone}` }, icon(name), h("div", { class: "undo" }, h("p", {}, text), ...rest)));
  }
}
