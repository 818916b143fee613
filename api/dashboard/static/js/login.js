// Exchanges a key for a session. The key is in no page, no URL and no storage.

import { ApiProblem, Unreachable, call, session } from "./api.js";
import { $, h, icon } from "./dom.js";
import { at } from "./place.js";

/** Where to go afterwards: always a path of this service, whatever the address bar contained. */
function next() {
  const wanted = new URL(new URLSearchParams(location.search).get("next") ?? "/", location.origin);
  // /.//host has the path //host, which would be another site's address
  return wanted.origin === location.origin ? wanted.pathname.replace(/^\/+/, "/") + wanted.search : "/";
}

function say(title, detail) {
  $("#answer").replaceChildren(h("div", { class: "notice bad" }, icon("cross"), h("div", {}, h("p", {}, h("strong", {}, title)), h("p", {}, detail))));
}

async function attempt(action) {
  try {
    await action();
  } catch (error) {
    if (error instanceof ApiProblem) say(error.problem.title, error.problem.detail);
    else if (error instanceof Unreachable) say("The service does not respond", "Try again when it is back.");
    else throw error;
  }
}

$("#login").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    await call("/v1/session", { method: "POST", headers: { Authorization: `Bearer ${$("#key").value.trim()}` } });
    location.assign(at(next()));
  });
});

$("#out").addEventListener("click", () =>
  attempt(async () => {
    await call("/v1/session", { method: "DELETE" });
    location.assign(at("/login"));
  }),
);

const known = await session();
if (known) {
  const { tenant, key, scopes } = known;
  $("#login").hidden = true;
  $("#who").hidden = false;
  $("#out").hidden = key === null;
  $("#who-text").textContent =
    key === null ? "This service needs no key." : `With the key “${key}” of ${tenant}, which allows: ${scopes.join(", ")}.`;
  $("#on").href = at(next());
}
document.body.dataset.ready = "true";
