// The first and last iteration of a chart, as numbers: like dragging, but by keyboard and exact.

import { h, show } from "./dom.js";

export class Stretch {
  /** `zoomed([from, to])` is called with the numbers that were entered. */
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
        to.setCustomValidity("It must be greater than the first iteration.");
        form.reportValidity();
      }
    });
  }

  /** Shows the range: `range`, or everything up to `newest`. A number that is being typed stays unchanged. */
  render(range, newest) {
    show(this.form, newest > 1);
    const [from, to] = range ?? [0, newest];
    if (this.form.contains(document.activeElement) && document.activeElement.matches("input")) return;
    this.form.elements.from.value = from;
    this.form.elements.to.value = to;
  }
}
