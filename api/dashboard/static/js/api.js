// The public HTTP interface. The dashboard uses nothing else.

import { at, here } from "./place.js";

const TIMEOUT = 15_000;

/** The service returned a problem document. */
export class ApiProblem extends Error {
  constructor(problem) {
    super(problem.detail ?? problem.title);
    this.problem = problem;
  }
}

/** No response: network, time-out, or a gateway without a service behind it. */
export class Unreachable extends Error {}

let turn = Promise.resolve();

/** One read after the other, even if a person clicks while the page reads by itself. */
function inTurn(work) {
  const answer = turn.then(work);
  turn = answer.then(
    () => {},
    () => {},
  );
  return answer;
}

/**
 * One call. Returns `{ status, data, etag }`; `data` is a value from JSON, a string from any other text, null for 304.
 * Raises ApiProblem or Unreachable.
 */
export function call(path, options = {}) {
  return (options.method ?? "GET") === "GET" ? inTurn(() => send(path, options)) : send(path, options);
}

async function send(path, { method = "GET", headers = {}, body, etag, keepalive = false } = {}) {
  let response;
  let data = null;
  try {
    response = await fetch(at(path), {
      method,
      body,
      keepalive,
      headers: { Accept: "application/json", ...(etag ? { "If-None-Match": etag } : {}), ...headers },
      cache: "no-store",
      signal: AbortSignal.timeout(TIMEOUT),
    });
    const type = response.headers.get("Content-Type") ?? "";
    if (/json/.test(type)) data = await response.json();
    else if (/yaml|text/.test(type)) data = await response.text();
  } catch (error) {
    throw new Unreachable(error.message);
  }
  if (response.status === 401 && here() !== "/login") {
    // The session is over, or the service needs a key from now on.
    location.assign(at(`/login?next=${encodeURIComponent(here() + location.search)}`));
    await new Promise(() => {}); // this page is being left: nobody who waits for the answer needs it any more
  }
  if (response.status >= 502 && response.status <= 504) throw new Unreachable(`status ${response.status}`);
  if (response.status >= 400) throw new ApiProblem(data?.title ? data : { title: `Status ${response.status}`, status: response.status });
  return { status: response.status, data, etag: response.headers.get("ETag"), headers: response.headers };
}

/** Who is signed in, or null. Unlike with `call`, it is no error that nobody is. */
export function session() {
  return inTurn(async () => {
    try {
      const response = await fetch(at("/v1/session"), { headers: { Accept: "application/json" }, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) });
      return response.ok ? await response.json() : null;
    } catch {
      return null; // the page says itself that the service does not respond
    }
  });
}

const held = new Map(); // path → the newest answer, by its entity tag

/** The data of a repeated GET. If nothing changed, the service sends no body, and the data of the last time are returned. */
export async function getAgain(path) {
  const before = held.get(path);
  const answer = await call(path, { etag: before?.etag });
  if (answer.status === 304) return before.data;
  if (held.size > 100) held.clear(); // filters that are looked at no more
  held.set(path, answer);
  return answer.data;
}

/** The data of a GET. */
export const get = async (path) => (await call(path)).data;

export const jobPath = (id, rest = "") => `/v1/jobs/${encodeURIComponent(id)}${rest}`;
