// Asking again and again, politely: one request at a time, never while the tab is hidden, slower when nothing changes.

import { Unreachable } from "./api.js";
import { $, icon, show } from "./dom.js";

const FASTEST = 1_000;
const SLOWEST = 15_000;

/**
 * Calls `ask` until it answers "done". `ask` answers "live" (ask again in a second), "idle" (ask again later and
 * later, up to 15 s) or "done". While the service is unreachable the page keeps its data and says how old they are.
 * Returns a function that asks now.
 */
export function poll(ask) {
  let delay = FASTEST;
  let timer = null;
  let busy = false;
  let again = false;
  let answeredAt = Date.now();
  let down = false;
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
      down = false;
      finished = next === "done";
      say(next === "done" ? "" : "live");
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      down = true;
      say("down", answeredAt);
    } finally {
      busy = false;
    }
    if (again) {
      again = false;
      turn();
    } else if (!finished) {
      delay = next === "live" && !down ? FASTEST : Math.min(SLOWEST, delay * 1.5);
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

function say(state, answeredAt) {
  const pill = $("#connection");
  const banner = $("#unreachable");
  pill.className = `connection ${state}`;
  pill.replaceChildren(...(state === "live" ? ["Live"] : state === "down" ? [icon("cross"), "Offline"] : []));
  show(pill, state !== "");
  show(banner, state === "down");
  if (state === "down") {
    const time = new Date(answeredAt).toLocaleTimeString();
    $("#unreachable-age").textContent = `Showing what was known at ${time}. Trying again by itself.`;
  }
}
