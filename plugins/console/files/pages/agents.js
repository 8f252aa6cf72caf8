// Agents: who answers where, and by which model.

import { get, seg } from "../lib/api.js";
import { may } from "../lib/auth.js";
import { fill, h } from "../lib/dom.js";
import { live } from "../lib/live.js";
import { to } from "../lib/router.js";
import { text } from "../text.js";
import { badge, button, code, empty, head, link, problem, section, tags, waiting } from "../ui/parts.js";
import { show as showDialog } from "../ui/dialog.js";
import { number } from "../lib/format.js";
import { table } from "../ui/table.js";

const words = text.agents;

export function show(context) {
  const agents = live(context, {
    load: (signal) => get("agents", null, { signal }),
    draw: ({ agents }) => table(words.title, AGENTS, agents),
    on: ["plugin.", "config."],
  });
  const providers = live(context, {
    load: (signal) => get("providers", null, { signal }),
    draw: ({ providers }) => providers.length === 0 ? empty(words.noProviders) : table(words.providers, PROVIDERS, providers),
    on: ["plugin.", "config.", "message.sent"],
  });
  const settings = may("config:read") && link(words.settings, to("config", { find: "agents" }), { class: "button" });
  return [
    head(words.title, { about: words.about, actions: [settings].filter(Boolean) }),
    agents.element,
    section(words.providers, providers.element),
  ];
}

const AGENTS = [
  { label: words.name, cell: ({ name }) => h("b", {}, name) },
  { label: words.plugin, cell: ({ plugin }) => may("plugins:read") ? link(plugin, to("plugins", plugin)) : plugin },
  { label: words.model, cell: ({ model }) => code(model) },
  { label: words.models, wide: true, cell: ({ models }) => tags(models) },
  { label: words.answers, wide: true, cell: ({ answers, name }) => name === "default" && answers.length === 0 ? words.allOthers : tags(answers) },
  { label: words.state, wide: true, cell: ({ problem: down, problems = [] }) => down || problems.length > 0
    ? [badge(down ? "failed" : "degraded"), h("ul", { class: "plain-list" }, problems.map((one) => h("li", { class: "wrong" }, one)))]
    : badge("healthy") },
];

const PROVIDERS = [
  { label: words.name, cell: ({ name }) => h("b", {}, name) },
  { label: words.plugin, cell: ({ plugin }) => may("plugins:read") ? link(plugin, to("plugins", plugin)) : plugin },
  { label: words.used, cell: ({ in_use: used }) => used ? badge("on", words.inUse) : h("span", { class: "faint" }, words.notInUse) },
  { label: words.last, wide: true, cell: ({ problem: said }) => said ? h("span", { class: "wrong" }, said) : h("span", { class: "faint" }, words.noProblem) },
  { label: words.models, actions: true, cell: ({ name }) => button(words.showModels, { key: `models-${name}`, onclick: () => showModels(name) }) },
];

/** The models that a provider's server has, as it says now. */
function showModels(name) {
  const body = h("div", {}, waiting());
  const load = async () => {
    try {
      const { models } = await get(`providers/${seg(name)}/models`);
      fill(body, models.length === 0 ? empty(words.noModels) : table(words.modelsOf(name), MODELS, models));
    } catch (error) {
      fill(body, problem(error, load));
    }
  };
  load();
  return showDialog(words.modelsOf(name), body);
}

const MODELS = [
  { label: words.model, wide: true, cell: ({ id }) => code(id) },
  { label: words.window, num: true, cell: ({ window }) => window === null ? "" : number(window) },
  { label: words.longest, num: true, cell: (model) => model.max_output === null ? "" : number(model.max_output) },
  { label: words.used, cell: ({ in_use: used }) => used && badge("on", words.inUse) },
];
