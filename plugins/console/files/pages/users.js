// People: everything that is kept of one, erased.

import { get, remove, seg } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { number } from "../lib/format.js";
import { text } from "../text.js";
import { ask, open } from "../ui/dialog.js";
import { facts, field, head, run, section } from "../ui/parts.js";

const words = text.users;

export function show(context) {
  const names = h("datalist", { id: "channel-names" });
  const channel = h("input", { type: "text", value: context.query.channel ?? "", list: "channel-names", autocomplete: "off", placeholder: "telegram" });
  const user = h("input", { type: "text", value: context.query.user ?? "", autocomplete: "off" });
  const result = h("div", { "aria-live": "polite" });
  const send = h("button", { type: "submit", class: "danger" }, words.erase);
  const onsubmit = (event) => {
    event.preventDefault();
    run(send, async () => {
      const [where, who] = [channel.value.trim(), user.value.trim()];
      if (!where || !who) throw new Error(words.both);
      if (!(await ask({ title: words.eraseAsk(who, where), body: words.eraseAbout, confirm: words.goOn })) || !(await isMeant(who))) return null;
      const { erased } = await remove(`users/${seg(where)}/${seg(who)}`);
      const counts = Object.entries(erased).filter(([, count]) => count > 0);
      fill(result, section(words.done(who), counts.length === 0 ? h("p", {}, words.nothing)
        : facts(counts.map(([kind, count]) => [words.kinds[kind] ?? kind.replaceAll("_", " "), number(count)]))));
      return words.done(who);
    });
  };
  get("channels", null, { signal: context.signal })
    .then(({ channels }) => fill(names, [...channels.map(({ name }) => name), "api", "console"].map((value) => h("option", { value }))))
    .catch(() => {});
  return [
    head(words.title, { about: words.about }),
    h("form", { class: "card fields narrow", onsubmit, novalidate: true }, names,
      field(words.channel, channel, words.channelHint), field(words.user, user, words.userHint), h("div", { class: "actions" }, send)),
    result,
  ];
}

/** The second question: who erases types whom. */
async function isMeant(who) {
  const typed = h("input", { type: "text", autocomplete: "off" });
  return (await open({
    title: words.secondAsk,
    body: [h("p", {}, words.secondAbout), h("pre", {}, who), field(words.user, typed)],
    confirm: words.erase,
    danger: true,
    submit: async () => {
      if (typed.value.trim() !== who) throw new Error(words.notTheSame);
      return true;
    },
  })) === true;
}
