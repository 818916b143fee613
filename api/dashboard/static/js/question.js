// What an experiment asks, in words.

const OVER = { split: "other splits", seed: "other seeds", both: "other splits and seeds" };
const SAMPLERS = { tpe: "TPE", random: "random" };

/** What is asked, in a few words. */
export function question({ spec: { plan } }) {
  if (plan.type === "repeat") return `${plan.repeats} repeats, ${OVER[plan.over]}`;
  const settings = Object.keys(plan.parameters).length;
  const over = settings === 1 ? "1 setting" : `${settings} settings`;
  return plan.type === "grid" ? `Grid over ${over}` : `Search over ${over} (${SAMPLERS[plan.sampler]})`;
}

/** The last part of a path, or two of them where `others` end alike; the whole is the title of a head. */
export function short(path, others = []) {
  const last = (of, parts) => of.split(".").slice(-parts).join(" ").replaceAll("_", " ");
  const isClear = others.filter((other) => last(other, 1) === last(path, 1)).length < 2;
  return last(path, isClear ? 1 : 2);
}

/** A value of a setting as text. */
export function value(setting) {
  if (typeof setting === "number") return Number.isInteger(setting) ? String(setting) : setting.toPrecision(3).replace(/\.?0+(e|$)/, "$1");
  if (setting !== null && typeof setting === "object" && !Array.isArray(setting)) {
    const { type, ...parts } = setting; // the database keeps no order
    return [...(type ? [type] : []), ...Object.entries(parts).map(([name, part]) => `${name} ${value(part)}`)].join(", ");
  }
  return Array.isArray(setting) ? setting.map(value).join("–") : String(setting);
}
