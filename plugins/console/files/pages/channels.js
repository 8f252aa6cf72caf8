// Channels, and how they stand.

import { get } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { number, when } from "../lib/format.js";
import { live } from "../lib/live.js";
import { to } from "../lib/router.js";
import { text } from "../text.js";
import { badge, empty, head } from "../ui/parts.js";
import { table } from "../ui/table.js";

const words = text.channels;

export function show(context) {
  const part = live(context, {
    load: (signal) => get("channels", null, { signal }),
    draw: ({ channels }) => channels.length === 0 ? empty(words.none, words.noneAbout) : table(words.title, COLUMNS, channels),
    on: ["channel.", "plugin."],
    every: 15,
  });
  return [head(words.title, { about: words.about }), part.element];
}

const COLUMNS = [
  { label: words.name, wide: true, cell: ({ name }) => h("a", { href: to("channels", name), "data-key": name }, name) },
  { label: words.state, cell: ({ status }) => badge(status) },
  { label: words.sessions, num: true, cell: (channel) => number(channel.active_sessions) },
  { label: words.inbound, cell: (channel) => when(channel.last_inbound_at) },
  { label: words.outbound, cell: (channel) => when(channel.last_outbound_at) },
  { label: words.problem, wide: true, cell: ({ error }) => error ?? h("span", { class: "faint" }, text.none) },
];
