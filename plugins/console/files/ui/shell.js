// What is around every page: the way to all pages, and what is wrong with the connection.

import { may, signOut, whoIsSignedIn } from "../lib/auth.js";
import { connection, trouble, tryNow } from "../lib/connection.js";
import { fill, h } from "../lib/dom.js";
import { when } from "../lib/format.js";
import { to } from "../lib/router.js";
import { nextTheme, theme } from "../lib/theme.js";
import { text } from "../text.js";
import { icon } from "./icons.js";
import { notices } from "./notice.js";
import { button } from "./parts.js";

/** Pages by address: the file that draws it, what a token has to be good for, and which entry of the list it belongs to. */
export const PAGES = {
  "": { file: "overview", scope: "status:read", nav: "overview" },
  "chat": { file: "chat", scope: "sessions:write", nav: "chat" },
  "chat/:id": { file: "chat", scope: "sessions:write", nav: "chat" },
  "sessions": { file: "sessions", scope: "sessions:read", nav: "sessions" },
  "sessions/:id": { file: "session", scope: "sessions:read", nav: "sessions" },
  "agents": { file: "agents", scope: "status:read", nav: "agents" },
  "channels": { file: "channels", scope: "channels:read", nav: "channels" },
  "channels/:name": { file: "channel", scope: "channels:read", nav: "channels" },
  "users": { file: "users", scope: "admin", nav: "users" },
  "plugins": { file: "plugins", scope: "plugins:read", nav: "plugins" },
  "plugins/:name": { file: "plugin", scope: "plugins:read", nav: "plugins" },
  "tools": { file: "tools", scope: "tools:read", nav: "tools" },
  "tools/:name": { file: "tool", scope: "tools:read", nav: "tools" },
  "skills": { file: "skills", scope: "skills:read", nav: "skills" },
  "mcp": { file: "mcp", scope: "mcp:read", nav: "mcp" },
  "hooks": { file: "hooks", scope: "hooks:read", nav: "hooks" },
  "hooks/:id": { file: "hook", scope: "hooks:read", nav: "hooks" },
  "jobs": { file: "jobs", scope: "jobs:read", nav: "jobs" },
  "logs": { file: "logs", scope: "logs:read", nav: "logs" },
  "config": { file: "config", scope: "config:read", nav: "config" },
  "tokens": { file: "tokens", scope: "admin", nav: "tokens" },
  "audit": { file: "audit", scope: "audit:read", nav: "audit" },
};

const GROUPS = [
  ["", ["overview"]],
  [text.nav.groups.talk, ["chat", "sessions", "channels", "agents", "users"]],
  [text.nav.groups.extend, ["plugins", "tools", "skills", "mcp", "hooks", "jobs"]],
  [text.nav.groups.operate, ["logs", "config", "tokens", "audit"]],
];

const area = h("main", { id: "main", tabindex: "-1" });
const banner = h("div", { id: "banner", role: "status", "aria-live": "polite", hidden: true });
let nav = null;

/** Where pages are. */
export function main() {
  return area;
}

/** Puts everything around the page anew, for whoever is signed in now. */
export function drawShell() {
  nav = h("nav", { id: "nav", "aria-label": text.nav.label }, GROUPS.map(group));
  const toggle = h("button", { type: "button", class: "plain menu", "aria-expanded": "false", "aria-controls": "side", "aria-label": text.nav.menu }, icon("menu"));
  const side = h("div", { id: "side", class: "side" }, nav, foot());
  const close = () => (side.classList.remove("open"), toggle.setAttribute("aria-expanded", "false"));
  toggle.addEventListener("click", () => toggle.setAttribute("aria-expanded", String(side.classList.toggle("open"))));
  nav.addEventListener("click", (event) => event.target.closest("a") && close());
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && side.classList.contains("open")) (close(), toggle.focus());
  });
  fill(document.body,
    button(text.nav.skip, { class: "skip", onclick: () => area.focus() }),
    h("header", { class: "top" }, h("a", { class: "brand", href: to() }, text.brand), toggle),
    side, h("div", { class: "content" }, banner, area), notices());
  drawBanner();
}

/** Says which entry of the list is the present one. */
export function markCurrent(name) {
  for (const entry of nav?.querySelectorAll("a") ?? []) {
    if (entry.dataset.nav === name) entry.setAttribute("aria-current", "page");
    else entry.removeAttribute("aria-current");
  }
}

function group([label, names]) {
  const offered = names.filter((name) => may(Object.values(PAGES).find((page) => page.nav === name).scope));
  if (offered.length === 0) return null;
  return h("div", { class: "nav-group" }, label && h("p", { class: "nav-label" }, label),
    h("ul", {}, offered.map((name) => h("li", {},
      h("a", { href: name === "overview" ? to() : to(name), "data-nav": name }, icon(name), text.nav.pages[name])))));
}

function foot() {
  const self = whoIsSignedIn();
  const themes = button([icon("light"), h("span", {}, text.theme[theme()])], {
    kind: "plain", title: text.theme.change,
    onclick: () => (themes.querySelector("span").textContent = text.theme[nextTheme()]),
  });
  return h("div", { class: "side-foot" },
    h("p", { class: "faint" }, text.signedInAs(self?.name), self?.expires_at && [text.ends, when(self.expires_at)]),
    themes, button([icon("leave"), text.signOut], { kind: "plain", onclick: signOut }));
}

function drawBanner() {
  const words = trouble();
  banner.hidden = words === "";
  fill(banner, words && [h("p", {}, words), button(text.connection.now, { onclick: tryNow })]);
}

connection.addEventListener("change", drawBanner);
