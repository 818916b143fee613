// What charts run across: iterations, their logarithm, or seconds of solving; and whether lines are smoothed.

import { h } from "./dom.js";
import { count, number } from "./format.js";
import { choose, chosen } from "./view.js";

const CHOICES = { iteration: "Iterations", log: "Iterations, log", seconds: "Seconds of solving" };
const WINDOW = 0.04; // of all points: what a smoothed point is the mean of
const SPIKE = 4; // so many times the height of nearly all values
const NEARLY_ALL = 0.99;

export const titleOf = (by) => (by === "seconds" ? "seconds of solving" : "iteration");

/** The axis that shows `range`, which is of iterations, or all. */
export function axisOf(by, range) {
  if (by === "seconds") return { rangemode: "tozero", hoverformat: ".3~f" };
  const log = by === "log";
  const ends = range?.map((end) => (log ? Math.log10(Math.max(1, end)) : end));
  return { type: log ? "log" : "linear", tickformat: ",d", hoverformat: ",d", rangemode: log ? "normal" : "tozero", range: ends };
}

export class Across {
  /** The controls are put into `form`; `changed()` is called when a person uses them. */
  constructor(form, changed) {
    const wanted = chosen("x");
    this.by = wanted in CHOICES ? wanted : "iteration";
    this.smooth = chosen("smooth") === "1";
    const select = h("select", { class: "small", name: "x" }, Object.entries(CHOICES).map(([value, text]) => h("option", { value, selected: value === this.by }, text)));
    const box = h("input", { type: "checkbox", name: "smooth", checked: this.smooth });
    form.replaceChildren(h("label", {}, "Across", select), h("label", {}, box, "Smooth"));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", () => {
      this.by = select.value;
      this.smooth = box.checked;
      choose("x", this.by === "iteration" ? null : this.by);
      choose("smooth", this.smooth ? "1" : null);
      changed();
    });
  }

  get title() {
    return titleOf(this.by);
  }

  axis(range) {
    return axisOf(this.by, range);
  }

  /** Where the points of a view are. */
  values({ iteration, seconds }) {
    return this.by === "seconds" ? seconds : iteration;
  }

  /** Where an iteration is, as shapes want it. */
  place({ iteration, seconds }, at) {
    if (this.by !== "seconds") return at;
    const found = iteration.findIndex((each) => each >= at);
    return seconds.at(found);
  }

  /** The same as annotations want it: on a logarithmic axis the exponent. */
  text(view, at) {
    return this.by === "log" ? Math.log10(at) : this.place(view, at);
  }

  /** The iterations between two ends of the axis, after a person dragged over it. */
  iterations({ iteration, seconds }, [from, to]) {
    if (this.by === "log") return [10 ** from, 10 ** to];
    if (this.by === "iteration") return [from, to];
    const within = iteration.filter((_, place) => seconds[place] >= from && seconds[place] <= to);
    return [within[0] ?? iteration[0], within.at(-1) ?? iteration.at(-1)];
  }
}

/** The mean of each value and those around it; gaps and what is not finite stay. */
export function smoothed(values) {
  const reach = Math.max(1, Math.round((WINDOW * values.length) / 2));
  const known = (value) => value !== null && Number.isFinite(value);
  return values.map((value, place) => {
    if (!known(value)) return value;
    const near = values.slice(Math.max(0, place - reach), place + reach + 1).filter(known);
    return near.reduce((sum, each) => sum + each, 0) / near.length;
  });
}

/** The range of a linear axis that a few spikes would flatten, and how many values are above it; null where none do. */
export function withoutSpikes(values) {
  const finite = values.filter((value) => value !== null && Number.isFinite(value)).sort((a, b) => a - b);
  if (finite.length < 100) return null;
  const [low, high, most] = [finite[0], finite.at(-1), finite[Math.floor(NEARLY_ALL * finite.length)]];
  if (most <= low || high - low <= SPIKE * (most - low)) return null;
  const top = most + 0.1 * (most - low);
  return { range: [low - 0.05 * (most - low), top], above: finite.filter((value) => value > top).length, high };
}

/** The same for several lines together: what is usual in any of them stays in sight, however short that one is. */
export function withoutSpikesOf(lines) {
  const found = lines.map(withoutSpikes);
  if (found.every((each) => each === null)) return null;
  const finite = lines.map((values) => values.filter((value) => value !== null && Number.isFinite(value)));
  const all = finite.flat();
  const low = Math.min(...all);
  const top = Math.max(...found.map((each, place) => each?.range[1] ?? Math.max(...finite[place])));
  const above = all.filter((value) => value > top).length;
  return above ? { range: [low - 0.05 * (top - low), top + 0.05 * (top - low)], above, high: Math.max(...all) } : null;
}

/** What is not seen of spikes, and the control that shows it. */
export function ofSpikes({ above, high }, control) {
  const [values, are, them] = above === 1 ? ["1 value", "is", "it"] : [`${count(above)} values`, "are", "them"];
  return `${values} up to ${number(high)} ${are} above the chart: ${control} shows ${them}`;
}
