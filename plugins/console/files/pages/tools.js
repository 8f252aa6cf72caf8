// Tools, wherever they come from.

import { get } from "../lib/api.js";
import { h, redraw } from "../lib/dom.js";
import { live } from "../lib/live.js";
import { note, to } from "../lib/router.js";
import { text } from "../text.js";
import { badge, empty, field, head, tag } from "../ui/parts.js";
import { table } from "../ui/table.js";

const words = text.tools;

export function show(context) {
  let all = [];
  const list = h("div");
  const find = h("input", { type: "search", value: context.query.find ?? "", placeholder: words.findHint, oninput: () => (note("tools", { find: find.value }), draw()) });
  const draw = () => redraw(list, drawTools(all, find.value.trim().toLowerCase()));
  const part = live(context, {
    load: (signal) => get("tools", null, { signal }),
    draw: ({ tools }) => {
      all = tools;
      draw();
      return list;
    },
    on: ["plugin.", "config."],
  });
  return [head(words.title, { about: words.about }), h("div", { class: "filters" }, field(words.find, find)), part.element];
}

function drawTools(all, wanted) {
  if (all.length === 0) return empty(words.none, words.noneAbout);
  const found = all.filter(({ name, description, source }) => `${name} ${description} ${source}`.toLowerCase().includes(wanted));
  if (found.length === 0) return empty(words.noneLike);
  return table(words.title, COLUMNS, found);
}

const COLUMNS = [
  { label: words.name, cell: ({ name }) => h("a", { href: to("tools", name), "data-key": name }, name) },
  { label: words.does, wide: true, cell: ({ description, problem }) => [h("div", { class: "clip" }, description), problem && h("p", { class: "wrong" }, problem)] },
  { label: words.source, cell: ({ source }) => tag(source) },
  { label: words.policy, cell: ({ policy, read_only: readOnly }) => [badge(policy, words.policies[policy]), readOnly && [" ", tag(words.reads)]] },
];
