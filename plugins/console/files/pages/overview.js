// How the gateway is: what is wrong and what mends it, its figures, and what happened in the last hours.

import { get } from "../lib/api.js";
import { may } from "../lib/auth.js";
import { fill, h } from "../lib/dom.js";
import { day, duration, hour, milliseconds, moment, number, short } from "../lib/format.js";
import { live } from "../lib/live.js";
import { to } from "../lib/router.js";
import { text } from "../text.js";
import { chart } from "../ui/chart.js";
import { badge, button, card, code, empty, head, link, section, tag, ticked } from "../ui/parts.js";

const words = text.overview;
/** What a chart can reach back to: the step that it is in, and how many of them. */
const REACHES = { hour: ["minute", 60], day: ["hour", 24], week: ["hour", 168], month: ["hour", 744] };
/** Where what is wrong can be looked at. */
const PLACES = {
  configuration: "config", provider: "agents", plugin: "plugins", agent: "agents", channel: "channels", hook: "hooks", mcp_server: "mcp",
  tool: "tools", skill: "skills", job: "jobs", observer: "plugins", filter: "plugins",
};
const LENGTHS = { minute: 60_000, hour: 3_600_000 };

export function show(context) {
  const status = live(context, {
    load: (signal) => get("status", null, { signal }),
    draw: drawStatus,
    on: ["channel.", "plugin.", "config.", "error.", "session."],
  });
  const channels = may("channels:read") && live(context, {
    load: (signal) => get("channels", null, { signal }),
    draw: drawChannels,
    on: ["channel."],
  });
  return [head(words.title), status.element, charts(context), channels && section(text.nav.pages.channels, channels.element)];
}

function drawStatus(status) {
  const { usage, memory, provider, channels, plugins } = status;
  const most = usage.max_tokens_per_day;
  const spent = usage.today.input + usage.today.output;
  return [
    h("div", { class: "tiles" },
      tile(words.state, badge(status.status), words.version(status.version, duration(status.uptime_secs))),
      tile(words.sessions, number(status.active_sessions), words.active, to("sessions")),
      tile(words.channels, `${channels.connected} / ${channels.total}`, words.connected, to("channels")),
      tile(words.plugins, `${plugins.loaded} / ${plugins.total}`, words.loaded, to("plugins")),
      tile(words.tokens, short(spent), most ? words.ofTokens(number(most)) : words.today),
      tile(words.model, h("span", { class: "small-figure" }, provider.model), provider.name, to("agents")),
      tile(words.memories, number(memory.entries), words.kept),
    ),
    (status.restart_due ?? []).length > 0 && card({ class: "advice" },
      h("p", { class: "advice-title" }, words.restartDue), h("p", {}, status.restart_due.map((key) => [code(key), " "]))),
    issues(status.issue_details ?? []),
  ];
}

function tile(label, figure, about, href) {
  const inside = [h("span", { class: "tile-label" }, label), h("span", { class: "tile-figure" }, figure), h("span", { class: "tile-about" }, about)];
  return href ? h("a", { class: "tile", href }, inside) : h("div", { class: "tile" }, inside);
}

function issues(found) {
  if (found.length === 0) return h("p", { class: "all-well" }, words.allWell);
  return section(words.issues(found.length), h("ul", { class: "advice-list" }, found.map(({ kind, problem, fix }) =>
    h("li", { class: "card advice" },
      h("p", { class: "advice-title" }, tag(kind.replaceAll("_", " ")), " ", ticked(problem)),
      h("p", { class: "advice-fix" }, h("span", { class: "faint" }, words.fix), " ", ticked(fix), PLACES[kind] && [" ", link(words.there, to(PLACES[kind]))])))));
}

function charts(context) {
  let reach = "day";
  const area = live(context, {
    load: (signal) => get("stats", { step: REACHES[reach][0] }, { signal }),
    draw: (stats) => drawCharts(stats.points, reach),
    every: 60,
  });
  const choices = h("div", { class: "segmented", role: "group", "aria-label": words.reach });
  const choose = () => fill(choices, Object.keys(REACHES).map((name) => button(words.reaches[name], {
    key: `reach-${name}`, "aria-pressed": String(name === reach), onclick: () => ((reach = name), choose(), area.refresh()),
  })));
  choose();
  return h("section", { class: "section" }, h("div", { class: "head-row" }, h("h2", {}, words.activity), choices), area.element);
}

function drawCharts(given, reach) {
  const points = filled(given, ...REACHES[reach]);
  const isQuiet = given.every((point) => point.messages_received + point.messages_sent + point.turns === 0);
  if (isQuiet) return empty(words.quiet, words.quietAbout, may("sessions:write") && h("a", { class: "button primary", href: to("chat") }, words.sayHello));
  const named = points.map((point, at) => ({ label: mark(points, at, reach), name: moment(point.at) }));
  const values = (name) => points.map((point) => point[name] ?? 0);
  const latency = (name) => points.map(({ latency_ms: all }) => all?.[name] ?? null);
  const median = (all) => { const known = all.filter((one) => one !== null).sort((a, b) => a - b); return known[known.length >> 1] ?? null; };
  return h("div", { class: "charts" },
    chart({ title: words.messages, points: named, format: short, kind: "pairs", series: [
      { name: words.received, values: values("messages_received") }, { name: words.sent, values: values("messages_sent") }] }),
    chart({ title: words.tokens, points: named, format: short, series: [
      { name: words.input, values: values("input_tokens") }, { name: words.output, values: values("output_tokens") }] }),
    chart({ title: words.turns, points: named, format: short, series: [
      { name: words.answered, values: points.map(({ turns = 0, turns_failed: failed = 0 }) => Math.max(turns - failed, 0)) },
      { name: words.failed, values: values("turns_failed") }] }),
    chart({ title: words.latency, points: named, format: milliseconds, kind: "lines", series: [
      { name: words.half, values: latency("p50"), total: median }, { name: words.most, values: latency("p90"), total: median }] }),
  );
}

/** As many points as were asked for, up to now: those before anything happened are empty. */
function filled(given, step, count) {
  const length = LENGTHS[step];
  const last = Math.floor(Date.now() / length) * length;
  const known = new Map(given.map((point) => [Math.floor(new Date(point.at).getTime() / length) * length, point]));
  return Array.from({ length: count }, (_, at) => {
    const moment = last - (count - 1 - at) * length;
    return known.get(moment) ?? { at: new Date(moment).toISOString(), latency_ms: null };
  });
}

/** What stands below a point: not so often that it would run together. */
function mark(points, at, reach) {
  const every = { hour: 10, day: 4, week: 24, month: 120 }[reach];
  if (at % every !== Math.floor(every / 2)) return "";
  return reach === "hour" || reach === "day" ? hour(points[at].at) : day(points[at].at);
}

function drawChannels({ channels }) {
  if (channels.length === 0) return empty(text.channels.none, text.channels.noneAbout);
  return h("ul", { class: "rows" }, channels.map((channel) => h("li", {},
    h("a", { href: to("channels", channel.name) }, channel.name), badge(channel.status), h("span", { class: "faint" }, channel.error ?? words.sessionsOf(channel.active_sessions ?? 0)))));
}
