// A label chosen by what is typed: the beginning of a class, its number, or a number as it is.

/** Which class is meant by what was typed so far: `{ matches, chosen }`. Classes are also numbered from 1 to 9. */
export function meant(typed, classes) {
  if (/^[1-9]$/.test(typed) && !classes.some((name) => /^\d/.test(name))) {
    const numbered = classes[Number(typed) - 1];
    return { matches: numbered ? [numbered] : [], chosen: numbered ?? null };
  }
  const matches = classes.filter((name) => name.toLowerCase().startsWith(typed.toLowerCase()));
  return { matches, chosen: matches.length === 1 ? matches[0] : null };
}

/** What to press for a class: its number or the letters that tell it from all others. */
export function shortest(name, classes) {
  for (let length = 1; length <= name.length; length += 1) {
    if (meant(name.slice(0, length), classes).chosen === name) return name.slice(0, length).toLowerCase();
  }
  return `${name.toLowerCase()} Enter`;
}
