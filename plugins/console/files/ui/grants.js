// What a plugin asks for against what it is granted, as a difference that can be read, and a form for grants.

import { h } from "../lib/dom.js";
import { bytes } from "../lib/format.js";
import { text } from "../text.js";
import { badge, field, select } from "./parts.js";

const words = text.grants;
const LISTS = ["http", "secrets", "send", "routes", "reveal"];
const SIZES = ["kv", "files"];
const SWITCHES = ["turns", "public"];

/** What is granted, and what is missing. */
export function granting(granted, missing) {
  return { ...granted, ...missing };
}

/** The rows of the difference: each thing that is asked for, and whether it is granted. */
export function differences({ requested, effective, granted, missing }) {
  const rows = requested ? ofRequest(requested, effective ?? {}, granted) : ofMissing(granted, missing);
  if (rows.length === 0) return h("p", { class: "faint" }, words.asksNothing);
  return h("ul", { class: "differences" }, rows.map(({ kind, what, has }) => h("li", { class: has ? "has" : "lacks" },
    h("span", { class: "sign", "aria-hidden": "true" }, has ? "✓" : "+"),
    h("span", {}, h("b", {}, words.kinds[kind] ?? kind), what && [" ", h("code", {}, what)], h("span", { class: "faint" }, ` ${words.means[kind] ?? ""}`)),
    badge(has ? "on" : "lacks", has ? words.has : words.lacks))));
}

/** All that is asked for, by what takes effect. */
function ofRequest(requested, effective) {
  const rows = [];
  const list = (kind, asked, has) => rows.push(...asked.map((what) => ({ kind, what, has: has.includes(what) })));
  for (const kind of ["http", "secrets", "send", "routes"]) list(kind, requested[kind] ?? [], effective[kind] ?? []);
  list("publish", requested.events?.publish ?? [], effective.events?.publish ?? []);
  list("subscribe", requested.events?.subscribe ?? [], effective.events?.subscribe ?? []);
  for (const kind of SIZES) if (requested[kind]) rows.push({ kind, what: bytes(requested[kind]), has: (effective[kind] ?? 0) >= requested[kind] });
  if (requested.memory) rows.push({ kind: "memory", what: requested.memory, has: effective.memory === requested.memory });
  for (const kind of SWITCHES) if (requested[kind]) rows.push({ kind, what: "", has: effective[kind] === true });
  return rows;
}

/** What is missing of a plugin that is not here yet. */
function ofMissing(granted, missing) {
  const rows = [];
  const list = (kind, wanted, had) => rows.push(...(wanted ?? []).map((what) => ({ kind, what, has: (had ?? []).includes(what) })));
  for (const kind of LISTS) list(kind, missing[kind], granted[kind]);
  list("publish", missing.events?.publish, granted.events?.publish);
  list("subscribe", missing.events?.subscribe, granted.events?.subscribe);
  for (const kind of [...SIZES, "memory"]) if (missing[kind]) rows.push({ kind, what: missing[kind], has: false });
  for (const kind of SWITCHES) if (missing[kind]) rows.push({ kind, what: "", has: false });
  return rows;
}

/** A form of a grant: its `element`, and `read`, which gives the grant. Nothing typed means nothing granted of that kind. */
export function grantForm(granted) {
  const fields = [];
  const add = (label, control, hint, read) => fields.push({ element: field(label, control, hint), read });
  const lines = (label, hint, value, put) => {
    const control = h("textarea", { rows: "2", class: "mono", spellcheck: "false", value: (value ?? []).join("\n") });
    // An empty list that was granted is kept: it is another thing than nothing said.
    add(label, control, hint, (grant) => {
      const given = control.value.split("\n").map((line) => line.trim()).filter(Boolean);
      if (given.length > 0 || value?.length === 0) put(grant, given);
    });
  };
  for (const kind of LISTS) lines(words.kinds[kind], `${words.hints[kind]} ${words.oneALine}`, granted[kind], (grant, given) => (grant[kind] = given));
  lines(words.kinds.publish, words.hints.publish, granted.events?.publish, (grant, given) => ((grant.events ??= {}).publish = given));
  lines(words.kinds.subscribe, words.hints.subscribe, granted.events?.subscribe, (grant, given) => ((grant.events ??= {}).subscribe = given));
  for (const kind of [...SIZES, "approver"]) {
    const control = h("input", { type: "text", value: granted[kind] ?? "", autocomplete: "off" });
    add(words.kinds[kind], control, words.hints[kind], (grant) => control.value.trim() && (grant[kind] = control.value.trim()));
  }
  const memory = select([["", words.nothing], ["read"], ["write"]], granted.memory ?? "");
  add(words.kinds.memory, memory, words.hints.memory, (grant) => memory.value && (grant.memory = memory.value));
  for (const kind of SWITCHES) {
    const control = select([["", words.nothing], ["true", text.form.yes], ["false", text.form.no]], granted[kind] === undefined ? "" : String(granted[kind]));
    add(words.kinds[kind], control, words.hints[kind], (grant) => control.value && (grant[kind] = control.value === "true"));
  }
  const read = () => fields.reduce((grant, one) => (one.read(grant), grant), {});
  return { element: h("div", { class: "fields two" }, fields.map((one) => one.element)), read };
}
