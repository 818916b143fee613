// The workers: which there are, what each does, and whose heartbeat is late.

import { get } from "./api.js";
import { $, h, icon, keepFocus, show } from "./dom.js";
import { age, local } from "./format.js";
import { poll } from "./poll.js";

const LATE = 60_000; // a heartbeat this old means that the worker is gone or cut off

const STATES = {
  compiling: { text: "Preparing", icon: "spinner", tone: "warn" },
  ready: { text: "Ready", icon: "check", tone: "good" },
  busy: { text: "Busy", icon: "spinner", tone: "live" },
  draining: { text: "Draining", icon: "pause", tone: "idle" },
};
const LOST = { text: "No heartbeat", icon: "cross", tone: "bad" };

poll(async () => {
  const { items } = await get("/v1/workers");
  show($("#workers"), items.length > 0);
  show($("#empty"), items.length === 0);
  const body = $("#workers tbody");
  keepFocus(body, () => body.replaceChildren(...items.map(row)));
  return items.some(({ state }) => state === "busy" || state === "compiling") ? "live" : "idle";
});

function row(worker) {
  const late = Date.now() - Date.parse(worker.heartbeat_at) > LATE;
  const state = late ? LOST : STATES[worker.state];
  return h(
    "tr",
    {},
    h("td", {}, h("span", { class: `state ${state.tone}` }, icon(state.icon), state.text)),
    h("th", { scope: "row" }, worker.id, h("span", { class: "under block" }, worker.host)),
    h("td", { "data-label": "Device" }, worker.device),
    h("td", { "data-label": "Does" }, does(worker)),
    h("td", { class: "under", "data-label": "Versions" }, Object.entries(worker.versions).map(([name, version]) => `${name} ${version}`).join(", ")),
    h("td", { class: "right under", "data-label": "Heartbeat" }, h("time", { datetime: worker.heartbeat_at, "data-age": true, title: local(worker.heartbeat_at) }, age(worker.heartbeat_at))),
  );
}

function does(worker) {
  if (worker.job_id) return h("a", { href: `/jobs/${encodeURIComponent(worker.job_id)}` }, worker.job_id);
  return worker.progress_message ?? (worker.state === "ready" ? "waits for a job" : "");
}
