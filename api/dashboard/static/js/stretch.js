// From which iteration to which a chart shows: what dragging does, for the keyboard and for exact numbers.

import { h, show } from "./dom.js";

export class Stretch {
  /** `zoomed([from, to])` is called with what was asked for. */
  constructor(form, zoomed) {
    this.form = form;
    const field = (name, label) => h("label", {}, label, h("input", { name, type: "number", min: 0, step: 1, required: true, autocomplete: "off" }));
    form.replaceChildren(field("from", "Iterations"), field("to", "to"), h("button", { class: "button small" }, "Show"));
    const { from, to } = form.elements;
    for (const input of [from, to]) input.addEventListener("input", () => to.setCustomValidity(""));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (Number(to.value) > Number(from.value)) zoomed([Number(from.value), Number(to.value)]);
      else {
        to.setCustomValidity("It must be beyond the first iteration.");
        form.reportValidity();
      }
    });
  }

  /** Says what is shown: `range`, or everything up to `newest`; a number that is being typed is left alone. */
  render(range, newest) {
    show(this.form, newest > 1);
    const [from, to] = range ?? [0, newest];
    if (this.form.contains(document.activeElement) && document.activeElement.matches("input")) return;
    this.form.elements.from.value = from;
    this.form.elements.to.value = to;
  }
}
