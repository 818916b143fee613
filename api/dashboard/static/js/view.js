// The view of a page, in its address: everybody who opens the link sees the same.

const address = new URLSearchParams(location.search);

/** A part of the view as text; null if the address does not name it. */
export const chosen = (name) => address.get(name);

/** Writes a part of the view to the address; null for the default. */
export function choose(name, value) {
  if (value === null) address.delete(name);
  else address.set(name, value);
  history.replaceState(null, "", address.size ? `?${address}` : location.pathname);
}
