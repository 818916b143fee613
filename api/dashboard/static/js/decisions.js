// The decisions about the rows of a data set, as the service has them and as they are on their way there.

import { ApiProblem, Unreachable, call, get } from "./api.js";

const PAUSE = 2_000; // before what could not be sent is sent again
const PAGE = 1000;

const same = (a, b) => a?.decision === b?.decision && (a?.relabelled_to ?? null) === (b?.relabelled_to ?? null);

/**
 * Decisions are sent one after the other, in the order they were made. `changed` is called whenever something is to be
 * drawn anew; `told` with what a person should know.
 */
export class Decisions {
  constructor(dataset, label, job, { changed, told }) {
    this.path = `/v1/datasets/${encodeURIComponent(dataset)}/reviews`;
    this.label = label;
    this.job = job;
    this.changed = changed;
    this.told = told;
    this.kept = new Map(); // row → the decision that counts
    this.waiting = []; // what is still to be sent, the oldest first
    this.done = []; // what can be undone, the newest last
    this.trouble = false;
  }

  /** What is decided about a row, saved or not. */
  of(row) {
    for (const step of this.waiting.toReversed()) {
      if (step.undoes?.rows.has(row)) return step.undoes.before.get(row);
      if (step.rows?.has(row)) return step.rows.get(row);
    }
    return this.kept.get(row);
  }

  get unsaved() {
    return this.waiting.length;
  }

  async load() {
    const found = new Map();
    let page = null;
    do {
      const query = new URLSearchParams({ label: this.label, limit: PAGE, ...(page ? { page } : {}) });
      const answer = await get(`${this.path}?${query}`);
      for (const item of answer.items) found.set(item.row, item);
      page = answer.next_page ?? null;
    } while (page);
    this.kept = found;
  }

  /** Decides about rows at once: `rows` is a map of row to `{ decision, relabelled_to }`. */
  decide(rows) {
    const step = { rows, before: new Map([...rows.keys()].map((row) => [row, this.of(row)])) };
    this.done.push(step);
    this.#send(step);
  }

  /** Undoes the newest decision of this page. Returns the rows that it was about, or null. */
  undo() {
    const step = this.done.pop();
    if (!step) return null;
    this.#send({ undoes: step });
    return [...step.rows.keys()];
  }

  #send(step) {
    this.waiting.push(step);
    this.changed();
    if (!this.busy) this.busy = this.#sendAll().finally(() => (this.busy = null));
  }

  async #sendAll() {
    while (this.waiting.length) {
      const step = this.waiting[0];
      try {
        await (step.undoes ? this.#takeBack(step.undoes) : this.#keep(step));
        this.trouble = false;
        this.waiting.shift();
      } catch (error) {
        if (error instanceof Unreachable) {
          this.trouble = true;
          this.changed();
          await new Promise((resolve) => setTimeout(resolve, PAUSE));
          continue;
        }
        if (!(error instanceof ApiProblem)) throw error;
        this.waiting.shift();
        this.done = this.done.filter((other) => other !== step);
        await this.#refused(step, error);
      }
      this.changed();
    }
  }

  async #keep(step) {
    const decisions = [...step.rows].map(([row, decided]) => ({ row, ...decided, version: this.kept.get(row)?.version ?? 0 }));
    const body = JSON.stringify({ decisions, job: this.job, label: this.label });
    const { data } = await call(this.path, { method: "PUT", body, headers: { "Content-Type": "application/json" } });
    step.batch = data.batch;
    for (const item of data.items) this.kept.set(item.row, item);
  }

  async #takeBack(step) {
    if (!step.batch) return; // it was refused
    await call(`${this.path}?batch=${encodeURIComponent(step.batch)}`, { method: "DELETE" });
    await this.load();
  }

  /** Somebody else decided in between, or the response of what was kept got lost on its way. */
  async #refused(step, error) {
    await this.load().catch(() => {});
    const rows = step.rows ?? new Map();
    const mine = [...rows].filter(([row, decided]) => same(this.kept.get(row), decided));
    if (rows.size && mine.length === rows.size) {
      step.batch = this.kept.get(mine[0][0]).batch;
      this.done.push(step);
      return;
    }
    const other = (error.problem.rows ?? []).map((row) => this.kept.get(row)).find((decision) => decision);
    const said = other ? `${other.decided_by ?? "Somebody"} said ${other.decision}${other.relabelled_to ? `, ${other.relabelled_to}` : ""} of row ${other.row}.` : error.message;
    this.told(error.problem.title, `${said} Yours was not kept.`);
  }
}
