// Numbers, times and names as people read them.

const COUNT = new Intl.NumberFormat("en-US");
export const DASH = "–";

/** A number of the API, where NaN and infinities are strings. Null stays null. */
export function toNumber(value) {
  return value === null || value === undefined ? null : Number(value);
}

/** A loss, norm or score: with four decimals if the value has digits there, otherwise in scientific notation. */
export function number(value) {
  const x = toNumber(value);
  if (x === null) return DASH;
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  const size = Math.abs(x);
  const sign = x < 0 ? "−" : "";
  if (x !== 0 && (size < 1e-3 || size >= 1e6)) return sign + size.toExponential(2).replace("e+", "e");
  return sign + (size >= 1000 ? COUNT.format(Number(size.toPrecision(6))) : size.toFixed(4));
}

/** A capital first letter, except for symbols: Λ is not λ. */
export const sentenceCase = (text) => text.replace(/^[a-z]/, (letter) => letter.toUpperCase());

export const count = (value) => COUNT.format(value);

/** A number of things: "1 row", "2 rows". */
export const counted = (many, one) => `${count(many)} ${one}${many === 1 ? "" : "s"}`;

export function percent(value, digits = 1) {
  const x = toNumber(value);
  if (x === null || !Number.isFinite(x)) return number(value);
  const size = (100 * Math.abs(x)).toFixed(digits);
  return `${x < 0 && Number(size) ? "−" : ""}${size} %`;
}

/** A score in its own unit: accuracy in percent, R² as a number. */
export const score = (value, name) => (name === "accuracy" ? percent(value, 2) : number(value));

export const scoreName = (name) => ({ accuracy: "accuracy", r2: "R²" })[name] ?? name;

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return DASH;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

/** How long ago, in one unit. */
export function age(iso, now = Date.now()) {
  const seconds = Math.max(0, (now - Date.parse(iso)) / 1000);
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

export const bytes = (size) =>
  size < 1000 ? `${size} B` : size < 1e6 ? `${(size / 1e3).toFixed(1)} kB` : `${(size / 1e6).toFixed(1)} MB`;

export const local = (iso) => (iso ? new Date(iso).toLocaleString() : DASH);

const KINDS = { data_reweighting: "Data reweighting", regularization_tuning: "Regularization tuning", custom: "Own problem" };
export const kind = (value) => KINDS[value] ?? value;

/** What a job is about: its data set by name, or the problem that is installed on the workers. */
export const subject = ({ spec, dataset_name: name }) => spec.problem ?? name ?? spec.dataset.id;

/** The id of the data set of a job where its name is shown, as a title. */
export const subjectId = ({ spec, dataset_name: name }) => (name ? spec.dataset.id : null);

/** What to call a job that may have no name. */
export const jobName = (job) => job.name ?? (job.spec.problem ? subject(job) : `${kind(job.kind)} of ${subject(job)}`);

/** RFC 4180. */
export function csv(header, rows) {
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [header, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}
