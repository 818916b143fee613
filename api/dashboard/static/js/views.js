// Views of the list of jobs that a person has named: filters and an order, kept in this browser.

import { $, ask, h, keepFocus, show } from "./dom.js";

const KEY = "hposvc views";
const MOST = 30;

function kept() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found.filter(({ name, query }) => typeof name === "string" && typeof query === "string") : [];
  } catch {
    return []; // somebody else wrote there, or nothing may be stored
  }
}

function keep(views) {
  try {
    localStorage.setItem(KEY, JSON.stringify(views.slice(-MOST)));
  } catch {
    // nothing may be stored: the view is in the address all the same
  }
}

/** `list` shows the views, `button` offers to save the one that is shown, `dialog` asks for its name. */
export class Views {
  #query = "";

  constructor(list, button, dialog) {
    this.list = list;
    this.button = button;
    const form = $("form", dialog);
    button.addEventListener("click", () => {
      form.reset();
      ask(dialog, () => {
        const name = form.elements.name.value.trim();
        if (!name) return;
        keep([...kept().filter((view) => view.name !== name), { name, query: this.#query }]);
        this.show(this.#query);
      });
    });
  }

  /** Shows the views beside the one of `query`, which is the search of the address. */
  show(query) {
    this.#query = query;
    const views = kept();
    const known = views.some((view) => view.query === query);
    show(this.button, query !== "" && !known);
    show(this.list, views.length > 0);
    const forget = ({ name }) => {
      keep(kept().filter((view) => view.name !== name));
      this.show(this.#query);
    };
    keepFocus(this.list, () =>
      this.list.replaceChildren(
        ...views.map((view) =>
          h(
            "li",
            {},
            h("a", { href: `/?${view.query}`, "aria-current": view.query === query ? "true" : null }, view.name),
            h("button", { type: "button", class: "link", "aria-label": `Forget the view ${view.name}`, onclick: () => forget(view) }, "×"),
          ),
        ),
      ),
    );
  }
}
