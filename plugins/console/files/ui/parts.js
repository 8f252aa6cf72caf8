// What pages are put together from.

import { h } from "../lib/dom.js";
import { text } from "../text.js";
import { say } from "./notice.js";

/** The head of a page: its name, what it is about, what can be done. */
export function head(title, { about, actions = [], back } = {}) {
  document.title = `${title} · ${text.product}`;
  return h("header", { class: "head" },
    back && h("a", { class: "back", href: back.href }, `‹ ${back.label}`),
    h("div", { class: "head-row" }, h("h1", { tabindex: "-1" }, title), actions.length > 0 && h("div", { class: "actions" }, actions)),
    about && h("p", { class: "about" }, about),
  );
}

/** A part of a page with a name. */
export function section(title, ...children) {
  return h("section", { class: "section" }, title && h("h2", {}, title), children);
}

export function card(props, ...children) {
  return h("div", { ...props, class: `card ${props?.class ?? ""}` }, children);
}

/** Which colour a state has. Its word always stands beside it. */
const TONES = {
  healthy: "good", connected: "good", loaded: "good", active: "good", delivered: "good", done: "good", allow: "good", on: "good",
  degraded: "warn", reconnecting: "warn", connecting: "warn", idle: "calm", pending: "warn", ask: "warn", warn: "warn", running: "warn",
  unhealthy: "bad", disconnected: "bad", failed: "bad", error: "bad", deny: "bad", lacks: "bad",
  disabled: "calm", terminated: "calm", off: "calm", revoked: "calm", expired: "calm",
};

/** A state, as a word with a dot. */
export function badge(state, label = state) {
  return h("span", { class: `badge ${TONES[state] ?? "calm"}` }, label);
}

export function tag(label, title) {
  return h("span", { class: "tag", title }, label);
}

export function tags(labels) {
  return labels.length === 0 ? h("span", { class: "faint" }, text.none) : h("span", { class: "tags" }, labels.map((label) => tag(label)));
}

/** Names and what belongs to them; those without anything are left out. */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false);
  return h("dl", { class: "facts" }, shown.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** Nothing is here, and what to do about it. */
export function empty(title, what, ...actions) {
  return h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), what && h("p", {}, what), actions.length > 0 && h("div", { class: "actions" }, actions));
}

export function waiting() {
  return h("p", { class: "waiting", role: "status" }, text.loading);
}

/** What went wrong with a part of a page. */
export function problem(error, again) {
  if (error.status === 403) return lacking(error.message);
  return h("div", { class: "problem", role: "alert" },
    h("p", {}, error.message),
    error.requestId && h("p", { class: "faint" }, text.errors.request(error.requestId)),
    again && button(text.again, { onclick: again }),
  );
}

/** The token may not see this. */
export function lacking(message) {
  return h("div", { class: "problem calm", role: "status" }, h("p", {}, message));
}

/** A button. `kind` is primary, danger, plain or nothing. */
export function button(label, { kind = "", key, ...props } = {}) {
  return h("button", { type: "button", class: kind, "data-key": key, ...props }, label);
}

/**
 * A button that does something: it can't be pressed again meanwhile, and what came of it is said. `work` gives the sentence to
 * say, or nothing when it was not done after all.
 */
export function action(label, work, props = {}) {
  const element = button(label, { ...props, onclick: (event) => (event.stopPropagation(), run(element, work)) });
  return element;
}

/** Does something for a button, and says what came of it. */
export async function run(element, work) {
  if (element.getAttribute("aria-busy") === "true") return;
  element.setAttribute("aria-busy", "true");
  try {
    const done = await work();
    if (done) say(done);
  } catch (error) {
    if (error.name !== "AbortError") say(error.message, "bad");
  } finally {
    element.removeAttribute("aria-busy");
  }
}

export function link(label, href, props = {}) {
  return h("a", { href, ...props }, label);
}

export function code(value) {
  return h("code", {}, value);
}

/** Words in which commands and names stand between backticks. */
export function ticked(words) {
  return words.split("`").map((part, at) => (at % 2 === 1 ? code(part) : part));
}

/** Text of several lines, as it is. */
export function block(value, props = {}) {
  return h("pre", { tabindex: "0", ...props }, value);
}

/** A field with its label. `hint` stands below it. */
export function field(label, control, hint) {
  return h("label", { class: "field" }, h("span", { class: "label" }, label), control, hint && h("span", { class: "hint" }, hint));
}

export function select(options, value, props = {}) {
  return h("select", props, options.map(([id, label = id]) => h("option", { value: id, selected: id === value }, label)));
}

/** A button that copies a text. */
export function copy(value) {
  return action(text.copy, async () => {
    await navigator.clipboard.writeText(value);
    return text.copied;
  });
}
