// Streams of events. A browser's own EventSource sends no bearer token, so they are read by fetch.

import { pause, respond, unreachable } from "./api.js";
import { online } from "./connection.js";

const FIRST_WAIT = 500;
const LONGEST_WAIT = 10000;

/** Reads the events of an answer to its end: `{ name, id, data }`, with the data as JSON. */
export async function* read(answer, signal) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      let piece;
      try {
        piece = await reader.read();
      } catch (error) {
        throw unreachable(error, signal);
      }
      if (piece.done) return;
      rest += piece.value.replaceAll("\r\n", "\n");
      for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
        const event = parse(rest.slice(0, end));
        rest = rest.slice(end + 2);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parse(block) {
  const event = { name: "message", id: null, data: null };
  const data = [];
  for (const line of block.split("\n")) {
    const at = line.indexOf(":");
    const [field, value] = at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1).replace(/^ /, "")];
    if (field === "event") event.name = value;
    else if (field === "id") event.id = value;
    else if (field === "data") data.push(value);
  }
  if (data.length === 0) return null;
  try {
    return { ...event, data: JSON.parse(data.join("\n")) };
  } catch {
    return null;
  }
}

/**
 * Follows a stream until `signal` ends it: over lost connections and restarts, each time behind the last event that came.
 * `onState` is told `true` while it is connected.
 */
export async function follow(path, { query, onEvent, onState = () => {}, onError = () => {}, signal }) {
  let last = null;
  let wait = FIRST_WAIT;
  while (!signal.aborted) {
    try {
      const headers = { accept: "text/event-stream", ...(last === null ? {} : { "last-event-id": last }) };
      // What was asked for from the past is asked for once.
      const answer = await respond("GET", path, { query: last === null ? query : rest(query), headers, signal });
      onState(true);
      wait = FIRST_WAIT;
      for await (const event of read(answer, signal)) {
        if (event.id !== null) last = event.id;
        onEvent(event);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error.status >= 400 && error.status < 500) return onError(error);
    }
    onState(false);
    try {
      await pause(wait, signal);
      await online(signal);
    } catch {
      return;
    }
    wait = Math.min(wait * 2, LONGEST_WAIT);
  }
}

function rest(query = {}) {
  const { since: _since, limit: _limit, ...kept } = query;
  return kept;
}
