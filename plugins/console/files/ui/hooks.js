// What forms about hooks share: the choice of events, and a secret that is shown once.

import { h } from "../lib/dom.js";
import { text } from "../text.js";
import { show } from "./dialog.js";
import { block, copy } from "./parts.js";

const words = text.hooks;
/** What the gateway tells by itself; plugins have events of their own besides, which come with all. */
const EVENTS = [
  "session.created", "session.terminated", "message.received", "message.sent", "tool.executed", "channel.connected", "channel.disconnected",
  "plugin.loaded", "plugin.reloaded", "plugin.disabled", "plugin.failed", "config.updated", "error.occurred",
];

/** A choice of events: its `element`, and `read`, which gives their names. */
export function eventChoice(chosen) {
  const isAll = chosen.includes("*");
  const all = h("input", { type: "checkbox", checked: isAll, onchange: () => boxes.forEach(([, box]) => (box.disabled = all.checked)) });
  // Those of plugins that were chosen otherwise are kept.
  const names = [...EVENTS, ...chosen.filter((name) => name !== "*" && !EVENTS.includes(name))];
  const boxes = names.map((name) => [name, h("input", { type: "checkbox", checked: chosen.includes(name), disabled: isAll })]);
  const element = h("fieldset", {}, h("legend", {}, words.events),
    h("label", { class: "check" }, all, words.allEvents),
    h("div", { class: "checks" }, boxes.map(([name, box]) => h("label", { class: "check" }, box, h("code", {}, name)))));
  return { element, read: () => all.checked ? ["*"] : boxes.filter(([, box]) => box.checked).map(([name]) => name) };
}

/** Shows a secret, for the only time. */
export function showSecret(secret) {
  return show(words.newSecret, [h("p", {}, words.newSecretAbout), block(secret), h("div", { class: "actions" }, copy(secret))], { wide: false });
}
