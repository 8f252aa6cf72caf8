// What happens at the gateway, told to whoever shows it. One stream serves the whole page.

import { auth, isSignedIn, may } from "./auth.js";
import { follow } from "./stream.js";

const listeners = new Set();
let current = null;

/** Calls `listener` with each event until `signal` ends it. */
export function onEvents(listener, signal) {
  listeners.add(listener);
  signal.addEventListener("abort", () => listeners.delete(listener), { once: true });
}

/** Whether events come: a token may not be good for them, and then pages ask from time to time. */
export function hearsEvents() {
  return current !== null;
}

function begin() {
  current?.abort();
  current = null;
  if (!isSignedIn() || !may("events:read")) return;
  current = new AbortController();
  const { signal } = current;
  const tell = ({ name, data }) => {
    // A gap says that some were missed: whoever listens looks again.
    const event = name === "gap" ? { type: "*", data: {} } : data;
    for (const listener of listeners) listener(event);
  };
  follow("events", { onEvent: tell, signal });
}

auth.addEventListener("change", begin);
// By now somebody has signed in: this is loaded with the first page.
begin();
