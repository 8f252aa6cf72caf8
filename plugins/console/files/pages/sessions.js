// Sessions: those that are active, idle or over.

import { get } from "../lib/api.js";
import { may } from "../lib/auth.js";
import { h } from "../lib/dom.js";
import { when } from "../lib/format.js";
import { live } from "../lib/live.js";
import { note, to } from "../lib/router.js";
import { text } from "../text.js";
import { badge, empty, field, head, link, select } from "../ui/parts.js";
import { pager, table } from "../ui/table.js";

const words = text.sessions;
const LIMIT = 50;

export function show(context) {
  const asked = { status: context.query.status ?? "active", channel: context.query.channel ?? "", offset: Number(context.query.offset) || 0 };
  const look = (changes) => {
    Object.assign(asked, { offset: 0 }, changes);
    note("sessions", asked);
    part.refresh();
  };
  const status = select(["active", "idle", "terminated"].map((one) => [one, words.states[one]]), asked.status, { onchange: () => look({ status: status.value }) });
  const channel = h("input", { type: "search", value: asked.channel, placeholder: words.anyChannel, onchange: () => look({ channel: channel.value.trim() }) });
  const part = live(context, {
    load: (signal) => get("sessions", { ...asked, limit: LIMIT }, { signal }),
    draw: ({ sessions, total }) => sessions.length === 0 ? none(asked) : [
      table(words.title, COLUMNS, sessions),
      pager({ offset: asked.offset, limit: LIMIT, total, onPage: (offset) => look({ offset }) }),
    ],
    on: ["session.", "message."],
  });
  const begin = may("sessions:write") && link(words.begin, to("chat"), { class: "button primary" });
  return [
    head(words.title, { about: words.about, actions: [begin].filter(Boolean) }),
    h("div", { class: "filters" }, field(words.state, status), field(words.channel, channel)),
    part.element,
  ];
}

const COLUMNS = [
  { label: words.user, wide: true, cell: (session) => h("a", { href: to("sessions", session.id), "data-key": session.id }, session.user_id) },
  { label: words.channel, cell: ({ channel }) => channel },
  { label: words.state, cell: ({ status }) => badge(status) },
  { label: words.activity, cell: (session) => when(session.last_activity) },
  { label: words.created, cell: (session) => when(session.created_at) },
  { label: words.id, cell: ({ id }) => h("code", { class: "faint" }, id) },
];

function none({ status, channel }) {
  if (status !== "active" || channel) return empty(words.noneLike, words.noneLikeAbout);
  return empty(words.none, words.noneAbout, may("sessions:write") && link(words.begin, to("chat"), { class: "button primary" }));
}
