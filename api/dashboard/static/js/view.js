// What a page shows, in its address: whoever opens the link sees the same.

const address = new URLSearchParams(location.search);

/** A part of the view as text; null where the address does not name it. */
export const chosen = (name) => address.get(name);

/** Notes a part of the view; null for what a page shows by itself. */
export function choose(name, value) {
  if (value === null) address.delete(name);
  else address.set(name, value);
  history.replaceState(null, "", address.size ? `?${address}` : location.pathname);
}
