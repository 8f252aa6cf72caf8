// One hook: how its deliveries go, and what can be mended.

import { get, patch, post, remove, seg } from "../lib/api.js";
import { may } from "../lib/auth.js";
import { h } from "../lib/dom.js";
import { number, when } from "../lib/format.js";
import { live } from "../lib/live.js";
import { newest } from "../lib/newest.js";
import { go, to } from "../lib/router.js";
import { text } from "../text.js";
import { ask, open } from "../ui/dialog.js";
import { eventChoice, showSecret } from "../ui/hooks.js";
import { action, badge, card, empty, facts, field, head, section, tags } from "../ui/parts.js";
import { more, table } from "../ui/table.js";

const words = text.hook;

export function show(context) {
  const { id } = context.params;
  const path = `hooks/${seg(id)}`;
  const refresh = () => (state.refresh(), deliveries.refresh());
  const state = live(context, {
    load: (signal) => get(path, null, { signal }),
    draw: (hook) => drawHook(hook, path, refresh),
    on: ["error."],
    every: 5,
  });
  let pages = 1;
  const deliveries = live(context, {
    load: (signal) => newest(`${path}/deliveries`, "deliveries", pages, signal),
    draw: ({ found, isMore }) => drawDeliveries(found, path, refresh, isMore && (async () => { pages += 1; await deliveries.refresh(); })),
    on: ["error."],
    every: 5,
  });
  return [head(words.title, { back: { href: to("hooks"), label: text.hooks.title } }), state.element, section(words.deliveries, deliveries.element)];
}

function drawHook(hook, path, refresh) {
  return [
    hook.problems.map(({ problem, fix }) => card({ class: "advice" }, h("p", { class: "advice-title" }, problem), h("p", {}, fix))),
    facts([
      [words.url, hook.url],
      [words.state, badge(hook.active ? "on" : "off", hook.active ? text.hooks.active : text.hooks.inactive)],
      [words.events, tags(hook.events)],
      [words.counts, words.counted(number(hook.delivered), number(hook.waiting), number(hook.given_up), number(hook.lost))],
      [words.failing, hook.failing_since && when(hook.failing_since)],
      [words.lastError, hook.last_error],
      [words.before, hook.previous_secret_until && when(hook.previous_secret_until)],
      [words.created, when(hook.created_at)],
    ]),
    may("hooks:write") && h("div", { class: "actions" }, actions(hook, path, refresh)),
  ];
}

function actions(hook, path, refresh) {
  const change = async (fields, said) => {
    const { secret } = await patch(path, fields);
    refresh();
    if (secret) await showSecret(secret);
    return said;
  };
  return [
    hook.active
      ? action(words.pause, () => change({ active: false }, words.paused), { key: "switch" })
      : action(words.resume, () => change({ active: true }, words.resumed), { kind: "primary", key: "switch" }),
    action(words.edit, () => edit(hook, change), { key: "edit" }),
    action(words.test, async () => {
      const { id } = await post(`${path}/test`);
      refresh();
      return words.tested(id);
    }, { key: "test" }),
    action(words.rotate, async () => {
      if (!(await ask({ title: words.rotateAsk, body: words.rotateAbout, confirm: words.rotate, danger: false }))) return null;
      return change({ rotate_secret: true }, words.rotated);
    }, { key: "rotate" }),
    action(words.remove, async () => {
      if (!(await ask({ title: words.removeAsk, body: words.removeAbout, confirm: words.remove }))) return null;
      await remove(path);
      go("hooks");
      return words.removed;
    }, { kind: "danger", key: "remove" }),
  ];
}

async function edit(hook, change) {
  const url = h("input", { type: "url", value: hook.url, autocomplete: "off" });
  const events = eventChoice(hook.events);
  return open({
    title: words.edit,
    body: [field(text.hooks.url, url), events.element],
    confirm: text.hooks.save,
    wide: true,
    submit: () => change({ url: url.value.trim(), events: events.read() }, words.edited),
  });
}

function drawDeliveries(found, path, refresh, back) {
  if (found.length === 0) return empty(words.none, words.noneAbout);
  const columns = [
    { label: words.event, cell: ({ event }) => h("code", {}, event) },
    { label: words.state, cell: ({ status }) => badge(status) },
    { label: words.attempts, num: true, cell: ({ attempts }) => number(attempts) },
    { label: words.last, wide: true, cell: ({ last_attempt: last }) => last && [when(last.at), " ", last.error ? h("span", { class: "wrong" }, last.error) : words.status(last.status_code)] },
    { label: words.next, cell: (delivery) => delivery.next_attempt_at && when(delivery.next_attempt_at) },
    { label: words.made, cell: (delivery) => when(delivery.created_at) },
  ];
  if (may("hooks:write")) {
    columns.push({ label: words.replay, actions: true, cell: ({ id }) => action(words.replay, async () => {
      await post(`${path}/deliveries/${seg(id)}/replay`);
      refresh();
      return words.replayed;
    }, { key: `replay-${id}` }) });
  }
  return [table(words.deliveries, columns, found), back && more(words.older, back)];
}
