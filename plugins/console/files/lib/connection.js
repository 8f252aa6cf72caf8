// Whether the gateway answers. Who finds out that it does not says so here; from then on it is asked until it does.

import { text } from "../text.js";

/** `change` when the state is another one, `back` when the gateway answers again. */
export const connection = new EventTarget();

const READY = new URL("../readyz", document.baseURI);
const FIRST_WAIT = 500;
const LONGEST_WAIT = 5000;

/** `online`, `starting` or `lost`. */
let state = "online";
/** How far a start has got, in the gateway's words. */
let progress = "";
let wait = FIRST_WAIT;
let timer = null;

/** What is wrong, in a sentence; nothing while the gateway answers. */
export function trouble() {
  if (state === "lost") return text.connection.lost;
  if (state === "starting") return text.connection.starting(progress);
  return "";
}

/** The gateway gave no answer. */
export function lost() {
  begin("lost");
}

/** The gateway answers that it starts. */
export function starting(message) {
  progress = message;
  begin("starting");
}

/** Resolves once the gateway answers; at once while it does. */
export function online(signal) {
  if (state === "online") return Promise.resolve();
  return new Promise((resolve, reject) => {
    connection.addEventListener("back", resolve, { once: true, signal });
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/** Asks now and not only after the next wait. */
export function tryNow() {
  if (state === "online") return;
  clearTimeout(timer);
  probe();
}

function begin(other) {
  const isNew = state === "online";
  if (state !== other || other === "starting") {
    state = other;
    connection.dispatchEvent(new Event("change"));
  }
  if (isNew) {
    wait = FIRST_WAIT;
    timer = setTimeout(probe, wait);
  }
}

async function probe() {
  const next = await ask();
  if (next !== "online") {
    wait = Math.min(wait * 1.5, LONGEST_WAIT);
    timer = setTimeout(probe, wait);
  }
  if (next !== state || next === "starting") {
    state = next;
    connection.dispatchEvent(new Event("change"));
    if (next === "online") connection.dispatchEvent(new Event("back"));
  }
}

async function ask() {
  try {
    const answer = await fetch(READY, { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (answer.ok) return "online";
    const body = await answer.json().catch(() => ({}));
    progress = body.error?.message ?? text.connection.notReady;
    return "starting";
  } catch {
    return "lost";
  }
}

addEventListener("online", tryNow);
document.addEventListener("visibilitychange", () => document.hidden || tryNow());
