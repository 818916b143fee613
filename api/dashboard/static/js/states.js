// The states of a job: their words, icons, and the actions that each allows.

import { h, icon } from "./dom.js";

const STATES = {
  queued: { text: "Queued", icon: "clock", tone: "idle" },
  starting: { text: "Starting", icon: "spinner", tone: "live" },
  running: { text: "Running", icon: "spinner", tone: "live" },
  pausing: { text: "Pausing", icon: "spinner", tone: "warn" },
  paused: { text: "Paused", icon: "pause", tone: "warn" },
  cancelling: { text: "Cancelling", icon: "spinner", tone: "idle" },
  succeeded: { text: "Succeeded", icon: "check", tone: "good" },
  failed: { text: "Failed", icon: "cross", tone: "bad" },
  cancelled: { text: "Cancelled", icon: "slash", tone: "idle" },
  // of a trial alone
  pruned: { text: "Stopped early", icon: "slash", tone: "idle" },
  refused: { text: "Refused", icon: "cross", tone: "bad" },
};

const REASONS = { diverged: "Diverged", worker_lost: "Worker lost", out_of_memory: "Out of memory", timed_out: "Timed out" };

export const TERMINAL = new Set(["succeeded", "failed", "cancelled"]);

/** States that may change without an action of the user. */
export const ACTIVE = new Set(["queued", "starting", "running", "pausing", "cancelling"]);

export const ACTIONS = {
  pause: new Set(["queued", "starting", "running"]),
  resume: new Set(["paused"]),
  finish: new Set(["starting", "running", "paused"]),
  retry: new Set(["failed", "cancelled"]),
  cancel: new Set(["queued", "starting", "running", "pausing", "paused"]),
};

export function stateText(job) {
  return REASONS[job.error?.reason] ?? STATES[job.state].text;
}

/** State as icon and words, because many people cannot tell the colours apart. */
export function stateBadge(job) {
  const { icon: name, tone } = STATES[job.state];
  return h("span", { class: `state ${tone}` }, icon(name), stateText(job));
}

/** The progress of a job, in colour while the job is active. */
export function progressBar(job) {
  const { iteration, iterations } = job.progress;
  return h("progress", {
    class: ACTIVE.has(job.state) ? null : "rest",
    max: iterations,
    value: iteration,
    "aria-label": `${iteration} of ${iterations} iterations`,
  });
}
