// Parallel coordinates: an axis for each setting and one for the loss, a line for each trial. Plotly's basic bundle has none.

import { h, svg } from "./dom.js";
import { number, toNumber } from "./format.js";
import { short, value } from "./question.js";

const STEP = 150; // between two axes
const HEIGHT = 260;
const [LEFT, TOP, BOTTOM] = [70, 34, 26];
const GOOD = 0.1; // the share of the trials that stands out

/** An element with the drawing, and what it shows in words. `log(path)` says which axes are logarithmic. */
export function parallel(trials, paths, log) {
  const drawn = trials.filter(({ value: loss }) => loss !== null && Number.isFinite(toNumber(loss)));
  const axes = [
    ...paths.map((path) => axis(short(path, paths), path, drawn.map(({ parameters }) => parameters[path]), log(path), value)),
    axis("loss", "loss", drawn.map(({ value: loss }) => toNumber(loss)), false, number),
  ];
  const width = 2 * LEFT + STEP * (axes.length - 1);
  const x = (place) => LEFT + STEP * place;
  const y = (share) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - share);
  const byLoss = [...drawn].sort((one, other) => toNumber(other.value) - toNumber(one.value)); // the best are drawn last, on top
  const good = Math.max(1, Math.round(GOOD * drawn.length));
  const lines = byLoss.map((trial, place) => {
    const points = axes.map((each, at) => `${x(at)},${y(each.share(at < paths.length ? trial.parameters[paths[at]] : toNumber(trial.value))).toFixed(1)}`);
    const line = svg("polyline", { points: points.join(" "), class: place >= byLoss.length - good ? "good" : "other" });
    line.append(svg("title", {}, `Trial ${trial.number}: loss ${number(trial.value)}`));
    return line;
  });
  const marks = axes.flatMap((each, place) => [
    svg("line", { x1: x(place), x2: x(place), y1: y(0), y2: y(1) }),
    svg("text", { x: x(place), y: 14, class: "head" }, each.label),
    ...each.ticks.map(([share, text]) => svg("text", { x: x(place), y: each.ticks.length > 2 ? y(share) + 4 : y(share) + (share ? -6 : 16), dx: each.ticks.length > 2 ? 6 : 0, class: each.ticks.length > 2 ? "beside" : "tick" }, text)),
  ]);
  const label = `${drawn.length} trials over ${axes.map((each) => each.path).join(", ")}; the table of trials has the same numbers`;
  const drawing = svg("svg", { class: "parallel", viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": label }, ...lines, ...marks);
  drawing.style.minWidth = `${Math.round(width * 0.8)}px`;
  const best = good === 1 ? "The best trial stands out" : `The best ${good} trials stand out`;
  return { drawing: h("div", {}, drawing), caption: `${best}. Lower losses are lower on the last axis.` };
}

/** Where a value stands on an axis, from 0 below to 1 above; values that are no numbers stand in their order. */
function axis(label, path, values, log, text) {
  const isNumeric = values.every((each) => typeof each === "number");
  if (isNumeric) {
    const scale = log && values.every((each) => each > 0) ? Math.log : (each) => each;
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const span = scale(high) - scale(low);
    return { label, path, share: (each) => (span ? (scale(each) - scale(low)) / span : 0.5), ticks: values.length ? [[0, text(low)], [1, text(high)]] : [] };
  }
  const kinds = [...new Set(values.map(text))].sort();
  const at = new Map(kinds.map((kind, place) => [kind, kinds.length > 1 ? place / (kinds.length - 1) : 0.5]));
  return { label, path, share: (each) => at.get(text(each)), ticks: kinds.length < 9 ? [...kinds.map((kind) => [at.get(kind), kind]), ...(kinds.length < 3 ? [[2, ""]] : [])] : [] };
}
