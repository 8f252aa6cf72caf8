// Jobs: what plugins do at set times.

import { get, post, seg } from "../lib/api.js";
import { may } from "../lib/auth.js";
import { h } from "../lib/dom.js";
import { number, when } from "../lib/format.js";
import { live } from "../lib/live.js";
import { to } from "../lib/router.js";
import { text } from "../text.js";
import { action, badge, code, empty, head, link } from "../ui/parts.js";
import { table } from "../ui/table.js";

const words = text.jobs;

export function show(context) {
  const part = live(context, {
    load: (signal) => get("jobs", null, { signal }),
    draw: ({ jobs, time_zone: zone }) => jobs.length === 0 ? empty(words.none, words.noneAbout)
      : [table(words.title, columns(() => part.refresh()), jobs), h("p", { class: "faint" }, words.zone(zone))],
    on: ["plugin.", "config.", "message."],
    every: 10,
  });
  return [head(words.title, { about: words.about }), part.element];
}

function columns(refresh) {
  const all = [
    { label: words.name, cell: ({ name }) => h("b", {}, name) },
    { label: words.plugin, cell: ({ plugin }) => may("plugins:read") ? link(plugin, to("plugins", plugin)) : plugin },
    { label: words.times, cell: ({ cron }) => code(cron) },
    { label: words.next, cell: (job) => when(job.next_run_at) },
    { label: words.last, wide: true, cell: ({ last_run: last, running }) => running
      ? [badge("running"), " ", when(running.started_at)]
      : last ? [badge(last.status), " ", when(last.ended_at), last.problem ? h("p", { class: "wrong" }, last.problem) : h("span", { class: "faint" }, ` ${words.did(last.actions)}`)] : when(null) },
  ];
  if (!may("jobs:write")) return all;
  return [...all, { label: words.run, actions: true, cell: ({ plugin, name }) => action(words.run, async () => {
    try {
      const end = await post(`jobs/${seg(plugin)}/${seg(name)}/run`);
      if (end.status === "failed") throw new Error(words.failed(name, end.problem));
      return words.ran(name, number(end.actions));
    } finally {
      refresh();
    }
  }, { key: `run-${plugin}-${name}` }) }];
}
