// What every page has: who is signed in, the theme switch, ages that are kept up to date, and keyboard shortcuts.

import { call, session } from "./api.js";
import { $, show } from "./dom.js";
import { age } from "./format.js";
import { at, here } from "./place.js";

const THEMES = { auto: "light", light: "dark", dark: "auto" };
const LABELS = { auto: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" };

const root = document.documentElement;
const button = $("#theme");

function labelTheme() {
  button.setAttribute("aria-label", LABELS[root.dataset.theme]);
  button.title = LABELS[root.dataset.theme];
}

button.addEventListener("click", () => {
  root.dataset.theme = THEMES[root.dataset.theme];
  localStorage.setItem("theme", root.dataset.theme);
  labelTheme();
  document.dispatchEvent(new Event("themechange"));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
  document.dispatchEvent(new Event("themechange")),
);
labelTheme();

/** Whose key it is that opened the session, with a way to end it; nothing where the service asks for no key. */
async function showSession() {
  const known = await session();
  if (!known?.key) return;
  $("#session-key").textContent = known.key;
  $("#session-key").title = `Signed in with the key “${known.key}” of ${known.tenant}`;
  $("#sign-out").addEventListener("click", async () => {
    await call("/v1/session", { method: "DELETE" });
    location.assign(at("/login"));
  });
  show($("#session"));
}

if (here() !== "/login") showSession(); // that page has its own

setInterval(() => {
  for (const time of document.querySelectorAll("time[data-age]")) time.textContent = age(time.dateTime);
}, 1000);
