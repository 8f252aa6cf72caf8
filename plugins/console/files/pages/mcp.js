// MCP servers: how they stand, what they give, and logging in to those that want it.

import { get, post, remove, seg } from "../lib/api.js";
import { may } from "../lib/auth.js";
import { h } from "../lib/dom.js";
import { when } from "../lib/format.js";
import { live } from "../lib/live.js";
import { redirectUri, whenEnded } from "../lib/login.js";
import { to } from "../lib/router.js";
import { text } from "../text.js";
import { ask, open } from "../ui/dialog.js";
import { action, badge, empty, field, head, link, tag } from "../ui/parts.js";
import { table } from "../ui/table.js";

const words = text.mcp;
/** Tools that a row names. */
const SHOWN = 6;

export function show(context) {
  const part = live(context, {
    load: (signal) => get("mcp", null, { signal }),
    draw: ({ servers }) => servers.length === 0 ? empty(words.none, words.noneAbout) : table(words.title, columns(() => part.refresh()), servers),
    on: ["config."],
    every: 10,
  });
  return [head(words.title, { about: words.about }), part.element];
}

function columns(refresh) {
  const all = [
    { label: words.name, cell: ({ name }) => h("b", {}, name) },
    { label: words.state, cell: ({ status, connected_at: since }) => [badge(status), " ", since && when(since)] },
    { label: words.transport, cell: ({ transport }) => transport },
    { label: words.tools, wide: true, cell: ({ tools, error, problem }) => [
      h("span", { class: "tags" }, tools.slice(0, SHOWN).map((name) => tag(name)), tools.length > SHOWN && link(words.further(tools.length - SHOWN), to("tools"))),
      error && h("p", { class: "wrong" }, error), problem && h("p", { class: "wrong" }, problem)] },
  ];
  return may("mcp:write") ? [...all, { label: words.actions, actions: true, cell: (server) => actions(server, refresh) }] : all;
}

function actions({ name, transport }, refresh) {
  const path = `mcp/${seg(name)}`;
  return h("div", { class: "actions" },
    action(words.reconnect, async () => {
      await post(`${path}/reconnect`);
      refresh();
      return words.reconnecting(name);
    }, { key: `reconnect-${name}` }),
    transport !== "stdio" && action(words.login, () => login(name, path, refresh), { key: `login-${name}` }),
    transport !== "stdio" && action(words.logout, async () => {
      if (!(await ask({ title: words.logoutAsk(name), body: words.logoutAbout, confirm: words.logout }))) return null;
      await remove(`${path}/login`);
      refresh();
      return words.loggedOut(name);
    }, { key: `logout-${name}` }));
}

/** A login in another tab, which tells this one the address at which it ends; otherwise that is pasted here. */
async function login(name, path, refresh) {
  const redirect = redirectUri();
  const { url } = await post(`${path}/login`, { redirect_uri: redirect });
  const pasted = h("input", { type: "url", autocomplete: "off", placeholder: `${redirect}?…` });
  const stop = whenEnded(url, (address) => {
    pasted.value = address;
    pasted.form?.requestSubmit();
  });
  const done = await open({
    title: words.loginTo(name),
    body: [
      h("p", {}, words.loginFirst), h("p", {}, link(words.loginLink, url, { target: "_blank", rel: "noopener noreferrer", class: "button" })),
      h("p", {}, words.loginThen), field(words.loginAddress, pasted),
    ],
    confirm: words.loginDone,
    submit: () => post(`${path}/login/complete`, { redirect: pasted.value.trim() }),
  }).finally(stop);
  refresh();
  return done && words.loggedIn(name);
}
