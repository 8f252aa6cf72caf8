// Parts of a page that are kept as they are at the gateway.

import { h, fill, redraw } from "./dom.js";
import { connection } from "./connection.js";
import { hearsEvents, onEvents } from "./events.js";
import { problem, waiting } from "../ui/parts.js";

/** How long several events are waited for before it is looked again. */
const COLLECT_MS = 250;

/**
 * A part that shows what `load` gives as `draw` draws it. It is loaded again when the gateway is back, after an event whose
 * type begins with one of `on`, and every so many seconds; when nobody may be told of events, more often. `refresh` does it at once.
 */
export function live(context, { load, draw, on = [], every = 30 }) {
  const { signal } = context;
  const element = h("div", { class: "live" }, waiting());
  let timer = null;
  let running = null;
  let again = false;
  let isShown = false;
  let drawn = null;

  async function once() {
    try {
      const data = await load(signal);
      if (signal.aborted) return;
      // What is the same stays, with what somebody has marked or opened in it.
      const now = JSON.stringify(data) ?? null;
      if (!isShown || drawn === null || now !== drawn) redraw(element, draw(data));
      drawn = now;
      isShown = true;
    } catch (error) {
      if (signal.aborted) return;
      // What was shown stays while the gateway is away: the banner says so.
      if ((error.code === "unreachable" || error.code === "unavailable") && isShown) return;
      fill(element, problem(error, refresh));
      isShown = false;
    }
  }

  /** Somebody has done something, or looks for something else: what is shown may be another even where the data is the same. */
  function refresh() {
    drawn = null;
    return look();
  }

  async function look() {
    if (running) {
      again = true;
      return running;
    }
    clearTimeout(timer);
    running = once();
    await running;
    running = null;
    if (signal.aborted) return;
    if (again) {
      again = false;
      return look();
    }
    const seconds = hearsEvents() || on.length === 0 ? every : Math.min(every, 5);
    timer = setTimeout(() => (document.hidden ? later() : look()), seconds * 1000);
  }

  function later() {
    document.addEventListener("visibilitychange", look, { once: true, signal });
  }

  let collecting = null;
  onEvents((event) => {
    if (event.type !== "*" && !on.some((prefix) => event.type.startsWith(prefix))) return;
    clearTimeout(collecting);
    collecting = setTimeout(look, COLLECT_MS);
  }, signal);
  connection.addEventListener("back", look, { signal });
  signal.addEventListener("abort", () => (clearTimeout(timer), clearTimeout(collecting)), { once: true });
  look();
  return { element, refresh };
}
