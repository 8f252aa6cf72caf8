// Dialogs that change the configuration. A value that is refused stays as it was typed, with the reason beside it.

import { patch } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { pretty } from "../lib/format.js";
import { text } from "../text.js";
import { open } from "./dialog.js";
import { code, field, select } from "./parts.js";

const words = text.config;
const REDACTED = "***REDACTED***";

/** Changes a key of the gateway's; gives the sentence to say, or null. */
export async function editKey(row, value) {
  const { key, about, takes, default: usual } = row;
  const control = controlOf(row, value);
  const reset = h("input", { type: "checkbox", onchange: () => (control.element.disabled = reset.checked) });
  const done = await open({
    title: words.changeKey(key),
    body: [
      h("p", {}, about), field(words.value, control.element, words.takes(takes)),
      h("label", { class: "check" }, reset, h("span", {}, words.reset, " ", code(typeof usual === "string" && usual !== "" ? usual : JSON.stringify(usual)))),
    ],
    confirm: words.save,
    submit: () => patch("config", { [key]: reset.checked ? null : control.read() }),
  });
  return done ? changed(done) : null;
}

/** Changes a key that a plugin, a server or an agent has; gives the sentence to say, or null. */
export async function editOther(path = "", value) {
  const name = h("input", { type: "text", value: path, autocomplete: "off", spellcheck: "false", placeholder: "plugins_config.weather.units" });
  const isSecret = value === REDACTED;
  const typed = value === undefined || isSecret ? "" : typeof value === "string" ? value : pretty(value);
  const control = h("textarea", { rows: "4", class: "mono", spellcheck: "false", value: typed });
  const isText = h("input", { type: "checkbox", checked: typeof value === "string" });
  const reset = h("input", { type: "checkbox", onchange: () => (control.disabled = reset.checked) });
  const done = await open({
    title: path && value !== undefined ? words.changeKey(path) : words.setOther,
    body: [
      field(words.key, name, words.keyHint),
      field(words.value, control, isSecret ? words.secretHint : words.valueHint),
      h("label", { class: "check" }, isText, words.asText),
      value !== undefined && h("label", { class: "check" }, reset, words.takeOut),
    ],
    confirm: words.save,
    submit: () => patch("config", { [name.value.trim()]: reset.checked ? null : isText.checked ? control.value : parsed(control.value) }),
  });
  return done ? changed(done) : null;
}

/** JSON where it is JSON, and text otherwise. */
function parsed(typed) {
  try {
    return JSON.parse(typed);
  } catch {
    return typed;
  }
}

function changed({ updated, reload_required: restart }) {
  return `${words.changed(updated.join(", "))}${restart ? ` ${words.afterRestart}` : ""}`;
}

/** What a key is typed in, and how it is read. */
function controlOf({ kind, words: choices }, value) {
  if (kind === "bool") {
    const element = select([["true", text.form.yes], ["false", text.form.no]], String(value));
    return { element, read: () => element.value === "true" };
  }
  if (kind === "word") {
    const element = select(choices.map((one) => [one, one === "" ? words.empty : one]), value);
    return { element, read: () => element.value };
  }
  if (kind === "integer") {
    const element = h("input", { type: "text", inputmode: "numeric", value, autocomplete: "off" });
    // What is no number is for the gateway to refuse, in its words.
    const read = () => (/^\d{1,16}$/.test(element.value.trim()) ? Number(element.value.trim()) : element.value);
    return { element, read };
  }
  if (kind === "texts") {
    const element = h("textarea", { rows: "4", class: "mono", spellcheck: "false", value: (value ?? []).join("\n"), placeholder: text.form.lines });
    return { element, read: () => element.value.split("\n").map((line) => line.trim()).filter(Boolean) };
  }
  if (kind === "table") {
    const element = h("textarea", { rows: "5", class: "mono", spellcheck: "false", value: pretty(value ?? {}) });
    return { element, read: () => parsed(element.value) };
  }
  const isLong = String(value ?? "").length > 60 || String(value ?? "").includes("\n");
  const element = isLong ? h("textarea", { rows: "6", value: value ?? "" }) : h("input", { type: "text", value: value ?? "", autocomplete: "off" });
  return { element, read: () => element.value };
}
