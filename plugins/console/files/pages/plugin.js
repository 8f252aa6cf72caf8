// One plugin: how it stands, what it may do, and what can be done with it.

import { get, post, put, remove, respond, seg } from "../lib/api.js";
import { may } from "../lib/auth.js";
import { h } from "../lib/dom.js";
import { bytes, number } from "../lib/format.js";
import { live } from "../lib/live.js";
import { go, to } from "../lib/router.js";
import { text } from "../text.js";
import { ask, open } from "../ui/dialog.js";
import { differences, grantForm, granting } from "../ui/grants.js";
import { replace } from "../ui/install.js";
import { action, badge, button, card, facts, head, link, run, section, tag, tags } from "../ui/parts.js";

const words = text.plugin;
const METRICS = "../../metrics";

export function show(context) {
  const { name } = context.params;
  const path = `plugins/${seg(name)}`;
  const part = live(context, {
    load: async (signal) => {
      const [plugin, review, counters] = await Promise.all([
        get(path, null, { signal }), get(`${path}/grants`, null, { signal }), loadCounters(name, signal)]);
      return { plugin, review, counters };
    },
    draw: ({ plugin, review, counters }) => [
      drawPlugin(plugin, path, () => part.refresh()),
      section(words.permissions, drawGrants(review, path, () => part.refresh())),
      section(words.counters, drawCounters(plugin, counters)),
    ],
    on: ["plugin.", "config."],
  });
  return [head(name, { back: { href: to("plugins"), label: text.plugins.title } }), part.element];
}

function drawPlugin(plugin, path, refresh) {
  return [
    h("p", { class: "about" }, plugin.description),
    plugin.error && card({ class: "advice" }, h("p", { class: "advice-title" }, words.wrong), h("p", { class: "plain-text" }, plugin.error)),
    facts([
      [words.state, badge(plugin.status)],
      [words.version, plugin.version],
      [words.from, plugin.bundled ? words.bundled : words.file],
      [words.gives, tags(plugin.capabilities)],
    ]),
    may("plugins:write") && h("div", { class: "actions" }, actions(plugin, path, refresh)),
    may("config:read") && h("p", {}, link(words.settings, to("config", { find: plugin.name }))),
  ];
}

function actions(plugin, path, refresh) {
  const { name, status } = plugin;
  const act = (label, work, props) => action(label, async () => {
    try {
      return await work();
    } finally {
      refresh();
    }
  }, props);
  const input = h("input", { type: "file", accept: ".wasm,application/wasm", class: "unseen", tabindex: "-1", "aria-hidden": "true" });
  const exchange = button(words.replace, { key: "replace", onclick: () => input.click() });
  input.addEventListener("change", () => run(exchange, async () => {
    const done = await replace(name, input.files[0]);
    input.value = "";
    refresh();
    return done && words.replaced(name);
  }));
  return [
    act(words.reload, async () => swapped(await post(`${path}/reload`)), { key: "reload" }),
    exchange, input,
    act(words.rollback, async () => {
      if (!(await ask({ title: words.rollbackAsk(name), body: words.rollbackAbout, confirm: words.rollback, danger: false }))) return null;
      return swapped(await post(`${path}/rollback`), words.rolledBack);
    }, { key: "rollback" }),
    status === "loaded"
      ? act(words.disable, async () => {
        const self = name === "console" ? [words.disableSelf] : [];
        if (!(await ask({ title: words.disableAsk(name), body: [words.disableAbout, ...self], confirm: words.disable }))) return null;
        await post(`${path}/disable`);
        return words.disabled(name);
      }, { key: "switch" })
      : act(words.enable, async () => {
        await post(`${path}/enable`);
        return words.enabled(name);
      }, { kind: "primary", key: "switch" }),
    !plugin.bundled && act(words.remove, async () => {
      if (!(await ask({ title: words.removeAsk(name), body: words.removeAbout, confirm: words.remove }))) return null;
      await remove(path);
      go("plugins");
      return words.removed(name);
    }, { kind: "danger", key: "remove" }),
  ];
}

/** What came of other code, in a sentence. */
function swapped(report, say = words.reloaded) {
  const { name, version, generation, compile_ms: compile, pause_ms: pause, connections_kept: kept } = report;
  return say(name, version, generation, number(compile)) + (pause === undefined ? "" : ` ${words.swap(pause.toFixed(1), kept)}`);
}

function drawGrants(review, path, refresh) {
  const { requested, granted, missing } = review;
  const asks = requested ?? {};
  const grantMissing = missing && may("config:write") && action(words.grantMissing, async () => {
    const body = [h("p", {}, words.grantAbout), differences({ ...review, requested: null })];
    const done = await open({ title: words.grantMissing, body, confirm: words.grant, grave: true, wide: true, submit: () => put(`${path}/grants`, granting(granted, missing)) });
    refresh();
    return done && words.granted;
  }, { kind: "primary", key: "grant-missing" });
  const edit = may("config:write") && action(words.edit, async () => {
    const form = grantForm(granted);
    const done = await open({ title: words.edit, body: [h("p", {}, words.editAbout), form.element], confirm: words.save, wide: true, submit: () => put(`${path}/grants`, form.read()) });
    refresh();
    return done && words.saved;
  }, { key: "edit-grants" });
  return [
    missing && h("p", { class: "wrong" }, words.lacks),
    differences({ ...review, requested: asks }),
    h("div", { class: "actions" }, grantMissing, edit),
  ];
}

/** The lines of the metrics that are about this plugin. */
async function loadCounters(name, signal) {
  if (!may("status:read")) return [];
  const answer = await respond("GET", METRICS, { headers: { accept: "text/plain" }, signal });
  const lines = (await answer.text()).split("\n").filter((line) => line.includes(`plugin=${JSON.stringify(name)}`));
  return lines.map((line) => line.match(/^(\w+)\{(.*)\} (.+)$/)).filter(Boolean).map(([, family, labels, value]) => ({
    family, value, labels: [...labels.matchAll(/(\w+)="([^"]*)"/g)].filter(([, label]) => label !== "plugin").map(([, label, is]) => `${label}: ${is}`),
  }));
}

function drawCounters(plugin, counters) {
  const rest = counters.filter(({ family }) => family !== "prx_plugin_memory_bytes");
  return facts([
    [words.generation, number(plugin.generation)],
    [words.memory, bytes(plugin.memory_usage_bytes)],
    ...rest.map(({ family, labels, value }) => [family.replace(/^prx_(plugin_)?/, "").replaceAll("_", " "), [value, " ", labels.map((label) => tag(label))]]),
  ]);
}
