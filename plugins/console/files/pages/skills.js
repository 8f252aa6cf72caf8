// Skills: what agents can be told how to do.

import { get } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { live } from "../lib/live.js";
import { text } from "../text.js";
import { empty, head, tag, tags } from "../ui/parts.js";
import { table } from "../ui/table.js";

const words = text.skills;

export function show(context) {
  const part = live(context, {
    load: (signal) => get("skills", null, { signal }),
    draw: ({ skills }) => skills.length === 0 ? empty(words.none, words.noneAbout) : table(words.title, COLUMNS, skills),
    on: ["plugin.", "config."],
  });
  return [head(words.title, { about: words.about }), part.element];
}

const COLUMNS = [
  { label: words.name, cell: ({ name }) => h("b", {}, name) },
  { label: words.does, wide: true, cell: ({ description }) => description },
  { label: words.triggers, cell: ({ triggers }) => tags(triggers) },
  { label: words.source, cell: ({ source }) => tag(source) },
];
