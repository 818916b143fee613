// The iterations of a job as the page holds them: the overview that the service returned, and the iterations since then.

import { get, jobPath } from "./api.js";
import { toNumber } from "./format.js";

export const METRICS = ["upper_loss", "hypergradient_norm", "lower_loss", "selection_loss", "fd_relative_error"];
const MAX_POINTS = 1000;

const NEGLIGIBLE = 1e-3; // a hypergradient so much smaller than the largest

// So much above its lowest value, the selection loss says that λ overfits: of its fall, and of the value itself.
const RISE_OF_FALL = 0.1;
const RISE_OF_VALUE = 0.01;

/** Columns of the API as numbers; `null` stays null, "NaN" becomes NaN. */
function decode(columns) {
  const decoded = { ...columns };
  for (const metric of METRICS) decoded[metric] = columns[metric].map(toNumber);
  for (const metric of METRICS) {
    const bucket = columns.buckets?.[metric];
    if (bucket) decoded.buckets[metric] = { ...bucket, min: bucket.min.map(toNumber), max: bucket.max.map(toNumber) };
  }
  return decoded;
}

export class Series {
  constructor(jobId) {
    this.jobId = jobId;
    this.view = null; // what is drawn: the overview, or the stretch that was zoomed into
    this.range = null; // [from, to] while zoomed
    this.seconds = null; // how long the solver took for all of it
    this.total = 0;
    this.after = 0;
    this.whole = null; // all of it, kept and continued while a stretch of it is looked at
  }

  get empty() {
    return !this.view || this.view.iteration.length === 0;
  }

  /** Whether a metric was ever measured in what is drawn. */
  has(metric) {
    const bucket = this.view.buckets?.[metric];
    return (bucket?.max ?? this.view[metric]).some((value) => value !== null) || this.view[metric].some((value) => value !== null);
  }

  /** The very first value of a metric. */
  first(metric) {
    const bucket = this.whole.buckets?.[metric];
    return toNumber(bucket?.first[0] ?? this.whole[metric][0]);
  }

  /** When the solver was at an iteration, between the points that are held. */
  secondsAt(wanted) {
    if (!this.whole?.iteration.length || !wanted) return 0;
    const { iteration, seconds } = this.whole;
    const after = iteration.findIndex((each) => each >= wanted);
    if (after < 0) return seconds.at(-1);
    const [from, began] = after ? [iteration[after - 1], seconds[after - 1]] : [0, 0];
    return began + ((seconds[after] - began) * (wanted - from)) / (iteration[after] - from);
  }

  /** The errors of the hypergradient, the largest of each bucket; in the whole run, or in a view. */
  certificates({ buckets, fd_relative_error: errors } = this.whole) {
    return (buckets?.fd_relative_error.max ?? errors).filter((value) => value !== null);
  }

  /**
   * Those of hypergradients that were not yet negligible beside the largest so far: where λ has settled, what is left of
   * them is rounding, and moves nothing.
   */
  telling() {
    const { buckets, fd_relative_error, hypergradient_norm } = this.whole;
    const errors = buckets?.fd_relative_error.max ?? fd_relative_error;
    const norms = buckets?.hypergradient_norm.max ?? hypergradient_norm;
    let largest = 0;
    return errors.filter((error, place) => {
      if (norms[place] > largest) largest = norms[place];
      return error !== null && !(norms[place] < NEGLIGIBLE * largest);
    });
  }

  /**
   * The iteration since which λ overfits: where the selection loss was lowest, if it has clearly risen since; else null.
   * `result` is that of the job, if there is one: it knows the iteration exactly.
   */
  overfitsSince(result) {
    const found = result?.selection_loss ? { ...result.selection_loss, at: result.best_iteration } : this.#selection();
    const [first, best, last] = [found?.first, found?.best, found?.last].map(toNumber);
    if ([first, best, last].some((value) => value === null || !Number.isFinite(value))) return null;
    return last - best > Math.max(RISE_OF_FALL * (first - best), RISE_OF_VALUE * Math.abs(best)) ? found.at : null;
  }

  #selection() {
    if (this.empty) return null;
    const { iteration, buckets, selection_loss: values } = this.whole;
    const lows = buckets?.selection_loss?.min ?? values;
    const best = Math.min(...lows.filter((value) => value !== null && Number.isFinite(value)));
    return { first: this.first("selection_loss"), best, last: values.at(-1), at: iteration[lows.indexOf(best)] };
  }

  /** A new attempt may write earlier iterations again, so everything is fetched again. */
  restart() {
    this.view = null;
    this.range = null;
  }

  /** Fetches what is new. Returns whether anything was. */
  async advance() {
    if (this.view === null) {
      const { range } = this; // what the address asked for; the whole comes first, for the tail and the overview
      this.range = null;
      await this.#load();
      if (range) await this.zoom(range);
      return true;
    }
    const tail = decode(await get(jobPath(this.jobId, `/iterations?after=${this.after}&limit=${MAX_POINTS}`)));
    if (tail.iteration.length === 0) return false;
    this.total = tail.total;
    this.seconds = tail.seconds.at(-1);
    this.after = tail.next_after;
    // The range that is shown does not change.
    if (!this.range && this.whole.iteration.length + tail.iteration.length > 2 * MAX_POINTS) await this.#load();
    else this.#append(tail);
    return true;
  }

  /** Zooms to a range of iterations, or with null to the whole run. */
  async zoom(range) {
    this.range = range;
    await this.#load();
  }

  async #load() {
    const stretch = this.range ? `&from=${this.range[0]}&to=${this.range[1]}` : "";
    const view = decode(await get(jobPath(this.jobId, `/iterations?max_points=${MAX_POINTS}${stretch}`)));
    this.view = view;
    this.total = view.total;
    if (this.range) return;
    this.after = view.next_after;
    this.whole = view;
    this.seconds = view.seconds.at(-1) ?? null;
  }

  #append(tail) {
    this.whole.iteration.push(...tail.iteration);
    this.whole.seconds.push(...tail.seconds);
    for (const metric of METRICS) {
      this.whole[metric].push(...tail[metric]);
      const bucket = this.whole.buckets?.[metric];
      if (!bucket) continue;
      bucket.min.push(...tail[metric]);
      bucket.max.push(...tail[metric]);
      bucket.nonfinite.push(...tail[metric].map((value) => (Number.isNaN(value) || Math.abs(value) === Infinity ? 1 : 0)));
    }
  }

  /** Where a metric was NaN or infinite: iterations (of the drawn points), and how many there were in all. */
  nonFinite(metric) {
    if (this.empty) return { at: [], count: 0 };
    const { iteration, buckets } = this.view;
    const flags =
      buckets?.[metric]?.nonfinite ??
      this.view[metric].map((value) => (value !== null && !Number.isFinite(value) ? 1 : 0));
    return { at: iteration.filter((_, index) => flags[index]), count: flags.reduce((sum, flag) => sum + flag, 0) };
  }
}
