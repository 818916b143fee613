// Polling: one request at a time, never while the tab is hidden, slower when nothing changes.

import { ApiProblem, Unreachable } from "./api.js";
import { $, icon, show } from "./dom.js";

const FASTEST = 1_000;
const SLOWEST = 15_000;

/**
 * Calls `ask` until it returns "done". `ask` returns "live" (ask again in a second), "idle" (ask again after longer and
 * longer pauses, up to 15 s) or "done". While the service does not respond, or returns an error, the page keeps its data
 * and shows how old they are.
 * Returns a function that asks now.
 */
export function poll(ask) {
  let delay = FASTEST;
  let timer = null;
  let busy = false;
  let again = false;
  let answeredAt = Date.now();
  let finished = false;

  async function turn() {
    clearTimeout(timer);
    timer = null;
    if (busy) {
      again = true;
      return;
    }
    if (document.hidden) return;
    busy = true;
    let next = "idle";
    try {
      next = await ask();
      answeredAt = Date.now();
      finished = next === "done";
      sayLive(!finished);
    } catch (error) {
      if (!(error instanceof Unreachable || error instanceof ApiProblem)) throw error;
      sayTrouble(error, answeredAt);
    } finally {
      busy = false;
    }
    if (again) {
      again = false;
      turn();
    } else if (!finished) {
      delay = next === "live" ? FASTEST : Math.min(SLOWEST, delay * 1.5);
      timer = setTimeout(turn, delay);
    }
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(timer);
      timer = null;
    } else if (timer === null && !busy && !finished) {
      now();
    }
  });

  function now() {
    delay = FASTEST;
    turn();
  }

  now();
  return now;
}

function sayLive(live) {
  const pill = $("#connection");
  pill.className = "connection live";
  pill.textContent = "Live";
  show(pill, live);
  show($("#unreachable"), false);
}

function sayTrouble(error, answeredAt) {
  const refused = error instanceof ApiProblem;
  const pill = $("#connection");
  pill.className = "connection down";
  pill.replaceChildren(icon("cross"), refused ? "Refused" : "Offline");
  show(pill);
  const time = new Date(answeredAt).toLocaleTimeString();
  $("#unreachable strong").textContent = refused ? `${error.problem.title}.` : "The service does not respond.";
  $("#unreachable-age").textContent = `${refused ? `${error.message} ` : ""}This page shows the data of ${time}. It tries again by itself.`;
  show($("#unreachable"));
}
