// Hooks: addresses that are told what happens.

import { get, post } from "../lib/api.js";
import { may } from "../lib/auth.js";
import { h } from "../lib/dom.js";
import { when } from "../lib/format.js";
import { live } from "../lib/live.js";
import { go, to } from "../lib/router.js";
import { text } from "../text.js";
import { open } from "../ui/dialog.js";
import { action, badge, empty, field, head, tags } from "../ui/parts.js";
import { eventChoice, showSecret } from "../ui/hooks.js";
import { table } from "../ui/table.js";

const words = text.hooks;

export function show(context) {
  const create = may("hooks:write") && action(words.create, () => createHook(), { kind: "primary" });
  const part = live(context, {
    load: (signal) => get("hooks", null, { signal }),
    draw: ({ hooks }) => hooks.length === 0 ? empty(words.none, words.noneAbout) : table(words.title, COLUMNS, hooks),
    on: ["config.", "error."],
    every: 15,
  });
  return [head(words.title, { about: words.about, actions: [create].filter(Boolean) }), part.element];
}

const COLUMNS = [
  { label: words.url, wide: true, cell: ({ id, url }) => h("a", { href: to("hooks", id), "data-key": id }, url) },
  { label: words.state, cell: ({ active }) => badge(active ? "on" : "off", active ? words.active : words.inactive) },
  { label: words.events, wide: true, cell: ({ events }) => tags(events) },
  { label: words.created, cell: (hook) => when(hook.created_at) },
];

async function createHook() {
  const url = h("input", { type: "url", placeholder: "https://", autocomplete: "off" });
  const secret = h("input", { type: "password", autocomplete: "off" });
  const events = eventChoice(["*"]);
  const made = await open({
    title: words.create,
    body: [field(words.url, url), events.element, field(words.secret, secret, words.secretHint)],
    confirm: words.save,
    submit: () => post("hooks", { url: url.value.trim(), events: events.read(), ...(secret.value ? { secret: secret.value } : {}) }),
    wide: true,
  });
  if (!made) return null;
  if (made.secret) await showSecret(made.secret);
  go("hooks", made.id);
  return words.made;
}
