// Requests to the gateway's API. Every failure is an ApiError whose message is a sentence for people.

import { lost, starting } from "./connection.js";
import { text } from "../text.js";

const BASE = new URL("../api/v1/", document.baseURI);
/** How often a request is made again that was refused because there were too many. */
const MAX_PATIENCE = 5;

/** A request that did not do what it was to do. */
export class ApiError extends Error {
  constructor({ message, status = 0, code = "", details = null, requestId = "" }) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
    this.requestId = requestId;
  }
}

let credentials = { token: () => null, refused: () => Promise.reject(new Error("nobody signs in")) };

/** Where the token comes from, and what is done when it is refused: a promise of another one. */
export function setCredentials(given) {
  credentials = given;
}

export const get = (path, query, options) => json("GET", path, { query, ...options });
export const post = (path, body = {}, options) => json("POST", path, { body, ...options });
export const put = (path, body, options) => json("PUT", path, { body, ...options });
export const patch = (path, body, options) => json("PATCH", path, { body, ...options });
export const remove = (path, options) => json("DELETE", path, options);

async function json(method, path, options) {
  return (await request(method, path, options)).data;
}

/** Sends a request: its answer as `{ data, headers, status }`. */
export async function request(method, path, options = {}) {
  const answer = await respond(method, path, options);
  const isJson = (answer.headers.get("content-type") ?? "").startsWith("application/json");
  let data = null;
  try {
    if (isJson) data = await answer.json();
    else if (answer.status !== 204) data = await answer.text();
  } catch (error) {
    throw unreachable(error, options.signal);
  }
  return { data, headers: answer.headers, status: answer.status };
}

/**
 * Sends a request: the answer before its body is read. Options: `query`, `body` (an object, or a file), `headers`, `signal`;
 * `open` sends no token, `own` leaves a refused one to the caller.
 */
export async function respond(method, path, options = {}) {
  for (let attempt = 0; ; attempt += 1) {
    const answer = await send(method, path, options);
    if (answer.ok) return answer;
    const error = await failure(answer);
    if (answer.status === 429 && attempt < MAX_PATIENCE) {
      await pause((Number(answer.headers.get("retry-after")) || 1) * 1000, options.signal);
    } else if (answer.status === 401 && !options.own && !options.open) {
      // Nothing was done. Whoever signs in again goes on where it was.
      await credentials.refused();
    } else {
      if (answer.status === 503 && error.code === "unavailable" && error.message.startsWith("starting")) starting(error.message);
      throw error;
    }
  }
}

async function send(method, path, { query, body, headers = {}, signal, open } = {}) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  }
  const all = { accept: "application/json", ...headers };
  const token = credentials.token();
  if (!open && token !== null) all.authorization = `Bearer ${token}`;
  const isFile = body instanceof Blob || body instanceof ArrayBuffer;
  if (body !== undefined && !isFile) all["content-type"] = "application/json";
  try {
    return await fetch(url, {
      method,
      headers: all,
      body: body === undefined || isFile ? body : JSON.stringify(body),
      signal,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });
  } catch (error) {
    throw unreachable(error, signal);
  }
}

/** What is told when no answer came, or no whole one. */
export function unreachable(error, signal) {
  if (signal?.aborted) return error;
  lost();
  return new ApiError({ code: "unreachable", message: text.errors.unreachable });
}

async function failure(answer) {
  const body = await answer.json().catch(() => null);
  const error = body?.error ?? {};
  const requestId = answer.headers.get("x-request-id") ?? "";
  const message = error.message ?? text.errors.noWords(answer.status);
  return new ApiError({ ...error, message: sentence(message), status: answer.status, requestId });
}

function sentence(words) {
  return /[.!?:;]$/.test(words.trim()) ? words.trim() : `${words.trim()}.`;
}

/** Waits for so many milliseconds, unless it is broken off. */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}

/** A segment of a path from a name. */
export const seg = encodeURIComponent;
