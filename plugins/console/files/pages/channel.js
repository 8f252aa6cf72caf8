// One channel: how it stands, and what it has given up.

import { get, post, remove, seg } from "../lib/api.js";
import { may } from "../lib/auth.js";
import { h } from "../lib/dom.js";
import { moment, number, when } from "../lib/format.js";
import { live } from "../lib/live.js";
import { newest } from "../lib/newest.js";
import { to } from "../lib/router.js";
import { text } from "../text.js";
import { ask } from "../ui/dialog.js";
import { action, badge, card, empty, facts, head, section, tag } from "../ui/parts.js";
import { more } from "../ui/table.js";

const words = text.channel;

export function show(context) {
  const { name } = context.params;
  const path = `channels/${seg(name)}`;
  const state = live(context, {
    load: async (signal) => {
      const [{ channels }, health] = await Promise.all([get("channels", null, { signal }), get(`${path}/health`, null, { signal })]);
      return { channel: channels.find((one) => one.name === name), health };
    },
    draw: drawChannel,
    on: ["channel.", "message."],
    every: 10,
  });
  let pages = 1;
  const letters = live(context, {
    load: (signal) => newest(`${path}/dead-letters`, "dead_letters", pages, signal),
    draw: ({ found, isMore }) => drawLetters(found, path, () => letters.refresh(), isMore && (async () => { pages += 1; await letters.refresh(); })),
    on: ["error.", "message."],
    every: 5,
  });
  const restart = may("channels:write") && action(words.restart, async () => {
    await post(`${path}/restart`);
    state.refresh();
    return words.restarted(name);
  });
  return [
    head(name, { back: { href: to("channels"), label: text.channels.title }, actions: [restart].filter(Boolean) }),
    state.element,
    section(words.letters, h("p", { class: "about" }, words.lettersAbout), letters.element),
  ];
}

function drawChannel({ channel, health }) {
  if (!channel) return empty(words.gone);
  return [
    channel.error && card({ class: "advice" }, h("p", { class: "advice-title" }, channel.error), channel.advice && h("p", {}, channel.advice)),
    facts([
      [words.state, [badge(channel.status), " ", when(channel.since)]],
      [words.latency, health.latency_ms !== null && `${number(health.latency_ms)} ms`],
      [words.sessions, channel.active_sessions !== undefined && h("a", { href: to("sessions", { channel: channel.name }) }, number(channel.active_sessions))],
      [words.connected, channel.connected_at && moment(channel.connected_at)],
      [words.inbound, when(channel.last_inbound_at)],
      [words.outbound, when(channel.last_outbound_at)],
      [words.retry, channel.next_retry_at && when(channel.next_retry_at)],
      [words.lastError, channel.last_error && [channel.last_error, " ", when(channel.last_error_at)]],
    ]),
  ];
}

function drawLetters(found, path, refresh, back) {
  if (found.length === 0) return empty(words.noLetters, words.noLettersAbout);
  const cards = found.map((letter) => h("li", { class: "card letter" },
    h("div", { class: "head-row" },
      h("p", {}, tag(letter.operation), " ", words.toWhom(letter.conversation, letter.thread), " ", when(letter.failed_at)),
      may("channels:write") && h("div", { class: "actions" }, replay(letter, path, refresh), drop(letter, path, refresh))),
    letter.text && h("div", { class: "plain-text clip" }, letter.text),
    h("p", { class: "wrong" }, letter.reason),
    h("p", { class: "faint" }, words.attempts(letter.attempts), letter.maybe_duplicate && ` · ${words.duplicate}`)));
  return [h("ul", { class: "cards" }, cards), back && more(words.older, back)];
}

function replay(letter, path, refresh) {
  return action(words.replay, async () => {
    if (letter.maybe_duplicate && !(await ask({ title: words.replayAsk, body: words.replayAbout, confirm: words.replay, danger: false }))) return null;
    await post(`${path}/dead-letters/${seg(letter.id)}/replay`);
    refresh();
    return words.replayed;
  }, { key: `replay-${letter.id}` });
}

function drop(letter, path, refresh) {
  return action(words.drop, async () => {
    if (!(await ask({ title: words.dropAsk, body: words.dropAbout, confirm: words.drop }))) return null;
    await remove(`${path}/dead-letters/${seg(letter.id)}`);
    refresh();
    return words.dropped;
  }, { kind: "danger", key: `drop-${letter.id}` });
}
