// A form made from a JSON Schema. What a schema says that no field can, is typed as JSON.

import { h, newId } from "../lib/dom.js";
import { pretty } from "../lib/format.js";
import { text } from "../text.js";

/** Objects lie in one another as deep as this; deeper ones are typed as JSON. */
const DEEPEST = 3;
const MOST_FIELDS = 60;

/** A form for a schema: its `element`, and `read`, which gives what was typed or throws an error that names the field. */
export function schemaForm(schema, value = {}) {
  const properties = schema?.properties;
  if (!isPlainObject(schema) || !properties || Object.keys(properties).length > MOST_FIELDS) {
    const whole = jsonField(text.form.json, schema ?? {}, value, true);
    return { element: whole.element, read: () => whole.read() ?? {} };
  }
  return objectFields(schema, value, 0);
}

function isPlainObject(schema) {
  return schema && ["anyOf", "oneOf", "allOf", "$ref", "not"].every((key) => !(key in schema));
}

function objectFields(schema, value, depth) {
  const required = new Set(schema.required ?? []);
  const fields = Object.entries(schema.properties ?? {}).map(([name, part]) => {
    return [name, makeField(name, part ?? {}, value?.[name], required.has(name), depth)];
  });
  const none = fields.length === 0 && h("p", { class: "faint" }, text.form.nothing);
  const read = () => {
    const out = {};
    for (const [name, field] of fields) {
      const given = field.read();
      if (given !== undefined) out[name] = given;
    }
    return out;
  };
  return { element: h("div", { class: "fields" }, none, fields.map(([, field]) => field.element)), read };
}

function makeField(name, schema, value, required, depth) {
  const type = typeOf(schema);
  const initial = value ?? schema.default;
  if (!isPlainObject(schema)) return jsonField(name, schema, initial, required);
  if (Array.isArray(schema.enum)) return choiceField(name, schema, initial, required);
  if (type === "boolean") return switchField(name, schema, initial, required);
  if (type === "integer" || type === "number") return numberField(name, schema, initial, required, type);
  if (type === "string") return textField(name, schema, initial, required);
  if (type === "array" && typeOf(schema.items ?? {}) === "string" && !schema.items.enum) return linesField(name, schema, initial, required);
  if (type === "object" && schema.properties && depth < DEEPEST) return groupField(name, schema, initial, required, depth);
  return jsonField(name, schema, initial, required);
}

function typeOf(schema) {
  const types = [schema.type].flat().filter((type) => type !== "null");
  return types.length === 1 ? types[0] : null;
}

function labelled(name, schema, required, control) {
  const id = newId("field");
  control.id = id;
  const hint = schema.description && h("span", { class: "hint", id: `${id}-hint` }, schema.description);
  if (hint) control.setAttribute("aria-describedby", `${id}-hint`);
  if (required) control.setAttribute("aria-required", "true");
  return h("div", { class: "field" },
    h("label", { class: "label", for: id }, schema.title ?? name, required && h("span", { class: "needed" }, ` ${text.form.needed}`)), control, hint);
}

/** An error that names a field, which is where the keyboard is then. */
function wrong(control, name, what) {
  control.focus();
  control.setAttribute("aria-invalid", "true");
  control.addEventListener("input", () => control.removeAttribute("aria-invalid"), { once: true });
  return new Error(text.form.wrong(name, what));
}

function textField(name, schema, value, required) {
  const isLong = (schema.maxLength ?? 0) > 200 || ["textarea", "markdown"].includes(schema.format) || /\n/.test(String(value ?? ""));
  const control = isLong ? h("textarea", { rows: "4", value: value ?? "" }) : h("input", { type: "text", value: value ?? "", autocomplete: "off" });
  const read = () => {
    if (control.value === "" && !required) return undefined;
    if (control.value === "" && (schema.minLength ?? 1) > 0) throw wrong(control, name, text.form.missing);
    return control.value;
  };
  return { element: labelled(name, schema, required, control), read };
}

function numberField(name, schema, value, required, type) {
  const control = h("input", { type: "text", inputmode: type === "integer" ? "numeric" : "decimal", value: value ?? "", autocomplete: "off" });
  const read = () => {
    const typed = control.value.trim();
    if (typed === "" && !required) return undefined;
    const parsed = Number(typed);
    if (typed === "" || !Number.isFinite(parsed)) throw wrong(control, name, text.form.noNumber);
    if (type === "integer" && !Number.isInteger(parsed)) throw wrong(control, name, text.form.noInteger);
    return parsed;
  };
  return { element: labelled(name, schema, required, control), read };
}

function switchField(name, schema, value, required) {
  const options = [["", text.form.unsaid], ["true", text.form.yes], ["false", text.form.no]];
  return choice(name, schema, required, required ? options.slice(1) : options, value === undefined ? "" : String(value), (id) => id === "true");
}

function choiceField(name, schema, value, required) {
  const options = schema.enum.map((one, at) => [String(at), typeof one === "string" ? one : JSON.stringify(one)]);
  const at = schema.enum.findIndex((one) => one === value);
  const all = required && at >= 0 ? options : [["", required ? text.form.choose : text.form.unsaid], ...options];
  return choice(name, schema, required, all, at < 0 ? "" : String(at), (id) => schema.enum[Number(id)]);
}

function choice(name, schema, required, options, chosen, meaning) {
  const control = h("select", {}, options.map(([id, label]) => h("option", { value: id, selected: id === chosen }, label)));
  const read = () => {
    if (control.value !== "") return meaning(control.value);
    if (required) throw wrong(control, name, text.form.missing);
    return undefined;
  };
  return { element: labelled(name, schema, required, control), read };
}

function linesField(name, schema, value, required) {
  const control = h("textarea", { rows: "3", value: (value ?? []).join("\n") });
  const described = { ...schema, description: [schema.description, text.form.lines].filter(Boolean).join(" ") };
  const read = () => {
    const lines = control.value.split("\n").map((line) => line.trim()).filter(Boolean);
    if (lines.length === 0 && !required) return undefined;
    return lines;
  };
  return { element: labelled(name, described, required, control), read };
}

function groupField(name, schema, value, required, depth) {
  const inner = objectFields(schema, value, depth + 1);
  const element = h("fieldset", {}, h("legend", {}, schema.title ?? name), schema.description && h("p", { class: "hint" }, schema.description), inner.element);
  const read = () => {
    const given = inner.read();
    return Object.keys(given).length === 0 && !required ? undefined : given;
  };
  return { element, read };
}

function jsonField(name, schema, value, required) {
  const control = h("textarea", { rows: "4", class: "mono", spellcheck: "false", value: value === undefined ? "" : pretty(value) });
  const described = { ...schema, description: [schema.description, text.form.asJson].filter(Boolean).join(" ") };
  const read = () => {
    const typed = control.value.trim();
    if (typed === "" && !required) return undefined;
    try {
      return JSON.parse(typed);
    } catch {
      throw wrong(control, name, text.form.noJson);
    }
  };
  return { element: labelled(name, described, required, control), read };
}
