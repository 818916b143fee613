// What the columns of a row say about its label: pure functions of rows, which hold their columns by name.

const LEAST = 5; // rows of a class from which on its values say something
const MARKED = 1; // natural logarithm of a likelihood ratio from which on a value is marked: e to 1
const SIMILAR = 4;

/**
 * What is usual in each class, by column: mean and variance of numbers, frequencies of texts. Only rows whose label the
 * models share count, so that wrong labels do not blur it.
 */
export function usual(rows, columns) {
  const agreed = Map.groupBy(
    rows.filter(({ label, predicted }) => label === predicted),
    ({ label }) => label,
  );
  return new Map(columns.map((name) => [name, new Map([...agreed].filter(([, some]) => some.length >= LEAST).map(([label, some]) => [label, described(some.map((row) => row[name]))]))]));
}

const WORD = /[\p{L}\p{N}_]{2,}/gu;
const LEAST_WORDS = 3; // of a text, on average
const wordsOf = (value) => new Set(value.toLowerCase().match(WORD) ?? []);

function described(values) {
  const known = values.filter((value) => (value ?? null) !== null);
  if (known.length && known.every((value) => typeof value === "number")) {
    const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
    const variance = known.reduce((sum, value) => sum + (value - mean) ** 2, 0) / known.length;
    return { mean, variance };
  }
  const counts = counted(known);
  const found = known.filter((value) => typeof value === "string").map(wordsOf);
  const words = counts.size > known.length / 2 && found.reduce((sum, each) => sum + each.size, 0) >= LEAST_WORDS * known.length ? counted(found.flatMap((each) => [...each])) : null;
  return { counts, words, total: known.length };
}

function counted(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

/**
 * A free text in pieces `{ text, marked }`, marked the words that are more usual among texts of the opinion than of the
 * label; null where the column holds no free text, or nothing is known of both classes.
 */
export function speaking(row, name, known) {
  const [there, here] = [known.get(name)?.get(row.predicted), known.get(name)?.get(row.label)];
  if (!there?.words || !here?.words || typeof row[name] !== "string") return null;
  const share = ({ words, total }, word) => ((words.get(word) ?? 0) + 1) / (total + 2);
  const marked = (word) => (there.words.get(word) ?? 0) > 1 && Math.log(share(there, word) / share(here, word)) >= MARKED;
  const pieces = [];
  let end = 0;
  for (const found of row[name].matchAll(WORD)) {
    if (!marked(found[0].toLowerCase())) continue;
    pieces.push({ text: row[name].slice(end, found.index), marked: false }, { text: found[0], marked: true });
    end = found.index + found[0].length;
  }
  return [...pieces, { text: row[name].slice(end), marked: false }];
}

/** How much more usual the value is in one class than in another, as a logarithm; 0 where nothing is known. */
function ratio(value, there, here) {
  if (!there || !here || (value ?? null) === null) return 0;
  if (there.counts || here.counts) {
    if (!there.counts || !here.counts) return 0;
    if (there.words && here.words) return 0; // its words are marked
    const kinds = new Set([...there.counts.keys(), ...here.counts.keys()]).size + 1;
    const share = ({ counts, total }) => ((counts.get(value) ?? 0) + 1) / (total + kinds);
    return Math.log(share(there) / share(here));
  }
  const floor = 1e-9 + 1e-3 * Math.max(there.variance, here.variance);
  const log = ({ mean, variance }) => -0.5 * Math.log(variance + floor) - (value - mean) ** 2 / (2 * (variance + floor));
  return log(there) - log(here);
}

/** The columns whose value is more usual among rows of the opinion than of the label, the clearest first. */
export function against(row, columns, known) {
  return columns
    .map((name) => [name, ratio(row[name], known.get(name)?.get(row.predicted), known.get(name)?.get(row.label))])
    .filter(([, weight]) => weight >= MARKED)
    .sort((a, b) => b[1] - a[1])
    .map(([name]) => name);
}

/** The standard deviation of every column of numbers; of others, whether their texts are compared by their words. */
export function scalesOf(rows, columns) {
  return new Map(
    columns.map((name) => {
      const { variance, words } = described(rows.map((row) => row[name]));
      return [name, words ? "words" : Math.sqrt(variance ?? 0)];
    }),
  );
}

/**
 * The rows of `checked` nearest to `row`: squared differences of numbers in standard deviations, the share of words that
 * free texts do not have in common, twice, and 1 for other texts that differ.
 */
export function similar(row, checked, columns, scales) {
  const mine = new Map(columns.filter((name) => scales.get(name) === "words").map((name) => [name, wordsOf(String(row[name] ?? ""))]));
  const apart = (other, name) => {
    const [a, b] = [row[name] ?? null, other[name] ?? null];
    if (a === b) return 0;
    if (mine.has(name)) {
      const theirs = wordsOf(String(b ?? ""));
      const shared = mine.get(name).intersection(theirs).size;
      return 2 * (1 - shared / Math.max(1, mine.get(name).size + theirs.size - shared));
    }
    if (typeof a !== "number" || typeof b !== "number") return 1;
    return scales.get(name) ? Math.min(4, ((a - b) / scales.get(name)) ** 2) : 0;
  };
  return checked
    .filter(({ row_id: id }) => id !== row.row_id)
    .map((other) => [other, columns.reduce((sum, name) => sum + apart(other, name), 0)])
    .sort((a, b) => a[1] - b[1])
    .slice(0, SIMILAR)
    .map(([other]) => other);
}
