// Polling: one request at a time, never while the tab is hidden, slower when nothing changes.

import { ApiProblem, Unreachable } from "./api.js";
import { $, icon, show } from "./dom.js";

const FASTEST = 1_000;
const SLOWEST = 15_000;

/**
 * Calls `ask` until it returns "done". `ask` returns "live" (ask again in a second), "idle" (ask again after longer and
 * longer pauses, up to 15 s) or "done". While the service does not respond or returns an error, or the page itself fails,
 * the page keeps its data, shows how old they are, and asks again.
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
      finished = false;
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
  const [word, title, detail] = trouble(error);
  const pill = $("#connection");
  pill.className = "connection down";
  pill.replaceChildren(icon("cross"), word);
  show(pill);
  const time = new Date(answeredAt).toLocaleTimeString();
  $("#unreachable strong").textContent = title;
  $("#unreachable-age").textContent = `${detail}This page shows the data of ${time}. It tries again by itself.`;
  show($("#unreachable"));
}

/** A word for the bar, a title, and what else is known. */
function trouble(error) {
  if (error instanceof Unreachable) return ["Offline", "The service does not respond.", ""];
  if (error instanceof ApiProblem) return ["Refused", `${error.problem.title}.`, `${error.message} `];
  console.error(error); // for who mends it
  return ["Fault", "This page has a fault.", `A part of it could not be shown (${error.message}). `];
}
