// Elements from data. Children that are strings become text nodes: nothing here ever parses HTML.

import { at } from "./place.js";

const SVG = "http://www.w3.org/2000/svg";

/** An element: `h("a", { href: "/x", class: "name" }, "text", otherElement)`. Null children and attributes are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : name === "href" ? at(value) : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A word that leads to its meaning in the glossary. */
export const term = (text, word) => h("a", { class: "term", href: `/glossary#${word}` }, text);

/** An element of a drawing: like `h`, of attributes alone. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** An icon of the page's sprite. Screen readers skip it, because there is text beside it. */
export function icon(name) {
  return svg("svg", { class: `icon icon-${name}`, "aria-hidden": "true" }, svg("use", { href: `#icon-${name}` }));
}

export const $ = (selector, root = document) => root.querySelector(selector);

/** Shows or hides an element, by the attribute that screen readers know too. */
export function show(element, visible = true) {
  element.hidden = !visible;
}

const nameOf = (control) => control.getAttribute("href") ?? control.getAttribute("aria-label") ?? control.textContent;

/** Redraws the content of an element. The focus stays on the same control, or goes to the first. */
export function keepFocus(container, redraw) {
  const focused = container.contains(document.activeElement) ? document.activeElement : null;
  redraw();
  if (!focused || document.activeElement === focused) return;
  const controls = [...container.querySelectorAll("a[href], button, input, select, summary")];
  (controls.find((control) => nameOf(control) === nameOf(focused)) ?? controls[0])?.focus({ preventScroll: true });
}

/** Asks in a dialog, and calls `agreed` when its button of the value "yes" is pressed. */
export function ask(dialog, agreed) {
  $('button[value="yes"]', dialog).onclick = agreed;
  for (const button of dialog.querySelectorAll('button[value="no"][type="button"]')) button.onclick = () => dialog.close();
  dialog.showModal();
}

/** A bar beside a number; `share` between 0 and 1. */
export function bar(share, tone = "") {
  const fill = h("span", { class: `bar ${tone}`, "aria-hidden": "true" });
  fill.style.setProperty("--share", Number.isFinite(share) ? Math.max(0, Math.min(1, share)) : 0);
  return fill;
}

/** Offers text as a file. */
export function download(filename, text, type = "text/plain") {
  const url = URL.createObjectURL(new Blob([text], { type }));
  h("a", { href: url, download: filename }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** A button that copies what `text()` returns, and then says so. */
export function copyButton(label, text) {
  const button = h("button", { type: "button", class: "button small" }, icon("copy"), h("span", {}, label));
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(await text());
    button.lastChild.textContent = "Copied";
    setTimeout(() => (button.lastChild.textContent = label), 1500);
  });
  return button;
}
