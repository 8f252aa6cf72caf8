// The audit log: who changed what.

import { get } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { moment, pretty } from "../lib/format.js";
import { note } from "../lib/router.js";
import { text } from "../text.js";
import { block, empty, field, head, problem, tag, waiting } from "../ui/parts.js";
import { more, table } from "../ui/table.js";

const words = text.audit;
const LIMIT = 50;

export function show(context) {
  const names = ["action", "target", "token_id"];
  const inputs = names.map((name) => h("input", { type: "search", value: context.query[name] ?? "", placeholder: words.hints[name], onchange: () => look() }));
  const asked = () => Object.fromEntries(names.map((name, at) => [name, inputs[at].value.trim()]));
  const list = h("div", { class: "live" });
  let entries = [];

  async function load(before) {
    const page = await get("audit", { ...asked(), before, limit: LIMIT }, { signal: context.signal });
    entries = before ? [...entries, ...page.entries] : page.entries;
    const back = page.next && more(words.older, () => load(page.next));
    fill(list, entries.length === 0 ? empty(words.none, words.noneAbout) : [table(words.title, COLUMNS, entries), h("p", { class: "faint" }, words.shown(entries.length, page.total)), back]);
  }

  async function look() {
    note("audit", asked());
    fill(list, waiting());
    try {
      await load();
    } catch (error) {
      if (!context.signal.aborted) fill(list, problem(error, look));
    }
  }

  look();
  return [
    head(words.title, { about: words.about }),
    h("div", { class: "filters" }, names.map((name, at) => field(words.filters[name], inputs[at]))),
    list,
  ];
}

const COLUMNS = [
  { label: words.at, cell: ({ at }) => h("time", { datetime: at, "data-fixed": true }, moment(at)) },
  { label: words.action, cell: ({ action }) => tag(action) },
  { label: words.target, wide: true, cell: ({ target }) => h("code", {}, target) },
  { label: words.actor, wide: true, cell: ({ actor, token_id: token, address }) => [words.actors[actor] ?? actor, h("div", { class: "faint" }, [token, address].filter(Boolean).join(" · "))] },
  { label: words.details, wide: true, cell: ({ details }) => details && Object.keys(details).length > 0
    ? h("details", { class: "quiet" }, h("summary", {}, words.show), block(pretty(details))) : "" },
];
