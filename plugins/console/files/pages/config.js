// The configuration: each key with what it takes, what it is, and who has set it.

import { get, request } from "../lib/api.js";
import { may } from "../lib/auth.js";
import { h, redraw } from "../lib/dom.js";
import { pretty } from "../lib/format.js";
import { live } from "../lib/live.js";
import { note } from "../lib/router.js";
import { text } from "../text.js";
import { editKey, editOther } from "../ui/settings.js";
import { action, badge, card, code, empty, field, head, section, tag } from "../ui/parts.js";

const words = text.config;
/** Tables whose keys belong to plugins, servers and agents. */
const TABLES = ["channels_config", "providers_config", "plugins_config", "mcp_servers", "agents", "grants", "filters"];

export function show(context) {
  let known = null;
  const list = h("div");
  const find = h("input", { type: "search", value: context.query.find ?? "", placeholder: words.findHint, oninput: () => (noteQuery(), draw()) });
  const changed = h("input", { type: "checkbox", checked: context.query.changed === "1", onchange: () => (noteQuery(), draw()) });
  const noteQuery = () => note("config", { find: find.value, changed: changed.checked ? "1" : "" });
  const draw = () => known && redraw(list, drawAll(known, find.value.trim().toLowerCase(), changed.checked, part.refresh));
  const part = live(context, {
    load: async (signal) => {
      const [config, { keys }] = await Promise.all([request("GET", "config", { signal }), get("config/keys", null, { signal })]);
      return { config: config.data, keys, due: (config.headers.get("x-restart-due") ?? "").split(", ").filter(Boolean) };
    },
    draw: (loaded) => {
      known = loaded;
      draw();
      return list;
    },
    on: ["config."],
  });
  const other = may("config:write") && editing(words.setOther, () => editOther(), part.refresh);
  return [
    head(words.title, { about: words.about, actions: [other].filter(Boolean) }),
    h("div", { class: "filters" }, field(words.find, find), h("label", { class: "check" }, changed, words.onlyChanged)),
    part.element,
  ];
}

function drawAll({ config, keys, due }, wanted, onlyChanged, refresh) {
  const fits = (...texts) => texts.join(" ").toLowerCase().includes(wanted);
  const rows = keys.filter(({ key, about, set_by: by }) => fits(key, about) && (!onlyChanged || by !== "default"));
  const sections = grouped(rows);
  const tables = TABLES.flatMap((name) => Object.entries(config[name] ?? {}).map(([of, value]) => ({ name: `${name}.${of}`, value })))
    .filter(({ name, value }) => fits(name, JSON.stringify(value)));
  if (sections.size === 0 && tables.length === 0) return empty(words.noneLike);
  return [
    due.length > 0 && card({ class: "advice" }, h("p", { class: "advice-title" }, words.due), h("p", {}, due.map((key) => [code(key), " "]))),
    [...sections].map(([name, members]) => section(name, h("ul", { class: "settings" }, members.map((row) => drawKey(row, valueOf(config, row.key), refresh))))),
    tables.length > 0 && section(words.tables, h("p", { class: "about" }, words.tablesAbout), tables.map((one) => drawTable(one, refresh))),
  ];
}

/** A button that opens a dialog, after which the page shows what was changed. */
function editing(label, edit, refresh, props) {
  return action(label, async () => {
    const done = await edit();
    if (done) refresh();
    return done;
  }, props);
}

const sectionOf = ({ key }) => key.split(".")[0];

function grouped(rows) {
  const sections = new Map();
  for (const row of rows) sections.set(sectionOf(row), [...(sections.get(sectionOf(row)) ?? []), row]);
  return sections;
}

function valueOf(config, key) {
  return key.split(".").reduce((value, part) => value?.[part], config);
}

function drawKey(row, value, refresh) {
  const { key, about, takes, change, scope, set_by: by } = row;
  const mayChange = may(scope);
  const edit = mayChange && editing(words.change, () => editKey(row, value), refresh, { key: `edit-${key}`, "aria-label": words.changeKey(key) });
  return h("li", {},
    h("div", { class: "setting-name" }, code(key), h("p", {}, about),
      h("p", { class: "faint" }, words.takes(takes), change === "restart" && [" ", tag(words.restart)], scope === "admin" && [" ", tag(words.admin, words.adminAbout)])),
    h("div", { class: "setting-value" }, shown(value), h("p", { class: "faint" }, by === "default" ? words.isDefault : [badge("on", words.setBy[by]), ` ${words.defaultIs(brief(row.default))}`])),
    edit,
  );
}

function shown(value) {
  if (value === "" || value === undefined) return h("span", { class: "faint" }, words.empty);
  if (Array.isArray(value) && value.length === 0) return h("span", { class: "faint" }, words.emptyList);
  if (typeof value === "object") return h("pre", { tabindex: "0" }, pretty(value));
  return h("code", { class: "plain-text" }, String(value));
}

function brief(value) {
  return value === "" ? words.empty : typeof value === "string" ? value : JSON.stringify(value);
}

function drawTable({ name, value }, refresh) {
  const rows = typeof value === "object" && value !== null && !Array.isArray(value) ? Object.entries(value) : null;
  const fields = rows ?? [["", value]];
  const path = (key) => (key ? `${name}.${key}` : name);
  return h("div", { class: "card settings-table" },
    h("div", { class: "head-row" }, h("h3", {}, `[${name}]`), may("config:write") && h("div", { class: "actions" },
      editing(words.addKey, () => editOther(`${name}.`), refresh, { key: `add-${name}` }))),
    fields.length === 0 ? h("p", { class: "faint" }, words.emptyTable) : h("ul", { class: "settings" }, fields.map(([key, is]) => h("li", {},
      h("div", { class: "setting-name" }, code(key || name)), h("div", { class: "setting-value" }, shown(is)),
      may("config:write") && editing(words.change, () => editOther(path(key), is), refresh, { key: `edit-${path(key)}`, "aria-label": words.changeKey(path(key)) })))));
}
