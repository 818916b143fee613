// What every page has: the theme switch, ages that are kept up to date, and keyboard shortcuts.

import { $ } from "./dom.js";
import { age } from "./format.js";

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

setInterval(() => {
  for (const time of document.querySelectorAll("time[data-age]")) time.textContent = age(time.dateTime);
}, 1000);
