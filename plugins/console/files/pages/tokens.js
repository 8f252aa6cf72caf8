// Tokens: who may use the gateway's API, and for what.

import { get, post, remove, seg } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { moment, when } from "../lib/format.js";
import { live } from "../lib/live.js";
import { text } from "../text.js";
import { ask, open, show as showDialog } from "../ui/dialog.js";
import { action, badge, block, copy, field, head, tags } from "../ui/parts.js";
import { pager, table } from "../ui/table.js";

const words = text.tokens;
const LIMIT = 50;
const SCOPES = [
  "sessions:read", "sessions:write", "channels:read", "channels:write", "hooks:read", "hooks:write", "mcp:read", "mcp:write", "plugins:read",
  "plugins:write", "skills:read", "tools:read", "tools:write", "jobs:read", "jobs:write", "memory:read", "memory:write", "status:read",
  "config:read", "config:write", "logs:read", "events:read", "audit:read",
];

export function show(context) {
  let offset = 0;
  const part = live(context, {
    load: (signal) => get("auth/tokens", { limit: LIMIT, offset }, { signal }),
    draw: ({ tokens, total }) => [
      table(words.title, columns(() => part.refresh()), tokens),
      pager({ offset, limit: LIMIT, total, onPage: (next) => ((offset = next), part.refresh()) }),
    ],
  });
  const create = action(words.create, async () => {
    const said = await createToken();
    part.refresh();
    return said;
  }, { kind: "primary" });
  return [head(words.title, { about: words.about, actions: [create] }), part.element];
}

function columns(refresh) {
  return [
    { label: words.name, cell: ({ id, name }) => [h("b", {}, name || words.noName), h("div", {}, h("code", { class: "faint" }, id))] },
    { label: words.state, cell: (token) => badge(stateOf(token), words.states[stateOf(token)]) },
    { label: words.scopes, wide: true, cell: ({ scopes }) => tags(scopes) },
    { label: words.used, cell: (token) => when(token.last_used_at) },
    { label: words.ends, cell: (token) => token.expires_at ? h("span", { title: moment(token.expires_at) }, when(token.expires_at)) : words.noEnd },
    { label: words.created, cell: (token) => when(token.created_at) },
    { label: words.revoke, actions: true, cell: (token) => stateOf(token) === "active" && action(words.revoke, async () => {
      if (!(await ask({ title: words.revokeAsk(token.name || token.id), body: words.revokeAbout, confirm: words.revoke }))) return null;
      await remove(`auth/tokens/${seg(token.id)}`);
      refresh();
      return words.revoked;
    }, { kind: "danger", key: `revoke-${token.id}` }) },
  ];
}

function stateOf({ revoked_at: revoked, expires_at: expires }) {
  if (revoked) return "revoked";
  return expires && new Date(expires) < new Date() ? "expired" : "active";
}

async function createToken() {
  const name = h("input", { type: "text", autocomplete: "off", placeholder: words.nameHint });
  const ends = h("input", { type: "text", autocomplete: "off", value: "30d" });
  const boxes = SCOPES.map((scope) => [scope, h("input", { type: "checkbox" })]);
  const admin = h("input", { type: "checkbox", onchange: () => boxes.forEach(([, box]) => (box.disabled = admin.checked)) });
  const made = await open({
    title: words.create,
    wide: true,
    confirm: words.make,
    body: [
      h("div", { class: "fields two" }, field(words.name, name), field(words.ends, ends, words.endsHint)),
      h("fieldset", {}, h("legend", {}, words.scopes), h("label", { class: "check" }, admin, words.all),
        h("div", { class: "checks" }, boxes.map(([scope, box]) => h("label", { class: "check" }, box, h("code", {}, scope))))),
    ],
    submit: async () => {
      const scopes = admin.checked ? ["admin"] : boxes.filter(([, box]) => box.checked).map(([scope]) => scope);
      if (scopes.length === 0) throw new Error(words.noScope);
      return post("auth/tokens", { name: name.value.trim(), scopes, ...(ends.value.trim() ? { expires_in: ends.value.trim() } : {}) });
    },
  });
  if (!made) return null;
  await showDialog(words.made, [h("p", {}, words.madeAbout), block(made.token), h("div", { class: "actions" }, copy(made.token))], { wide: false });
  return words.madeDone;
}
