// The console: signs in, and shows the page that the address names.

import { auth, exchange, isSignedIn, may, resume } from "./lib/auth.js";
import { online } from "./lib/connection.js";
import { fill, h } from "./lib/dom.js";
import { keepTimes } from "./lib/format.js";
import { endsHere } from "./lib/login.js";
import { match, place } from "./lib/router.js";
import { apply } from "./lib/theme.js";
import { text } from "./text.js";
import { lacking, problem, waiting } from "./ui/parts.js";
import { PAGES, drawShell, main, markCurrent } from "./ui/shell.js";
import { askForToken, signInPage } from "./ui/sign_in.js";

let leaving = new AbortController();
let shown = null;

/** Shows the page of the present address. */
async function show() {
  const { segments, query } = place();
  // Only what is looked for on the page has changed, which the page itself has said.
  const path = segments.join("/");
  leaving.abort(new DOMException("another page is shown", "AbortError"));
  leaving = new AbortController();
  const { signal } = leaving;
  const found = match(PAGES, segments);
  const area = main();
  if (!found) {
    fill(area, problem(new Error(text.noPage)));
    return;
  }
  const { page, params } = found;
  markCurrent(page.nav);
  if (!may(page.scope)) {
    fill(area, lacking(text.lacksScope(page.scope)));
    return;
  }
  fill(area, waiting());
  try {
    const module = await import(`./pages/${page.file}.js`);
    if (signal.aborted) return;
    fill(area, module.show({ params, query, signal }));
  } catch (error) {
    if (signal.aborted) return;
    // The files of this release are gone: the gateway has another one now.
    fill(area, error instanceof TypeError ? problem(new Error(text.outdated), () => location.reload()) : problem(error));
    console.warn(error);
  }
  if (shown !== null && shown !== path) area.querySelector("h1")?.focus({ preventScroll: true });
  if (shown !== path) scrollTo(0, 0);
  shown = path;
}

/** The page for whoever is signed in. */
function begin() {
  shown = null;
  drawShell();
  show();
}

/** Signs in by what there is: a code that was in the address, or what the tab has kept. */
async function enter(code) {
  fill(document.body, h("div", { class: "gate" }, waiting()));
  try {
    if (code) await exchange(code);
    if (code || (await resume())) return begin();
    signIn("");
  } catch (error) {
    const isAway = error.status === 0 || error.status === 503;
    if (!isAway || code) return signIn(error.message);
    fill(document.body, h("div", { class: "gate" }, h("p", { class: "waiting", role: "status" }, error.message)));
    await online();
    enter(null);
  }
}

function signIn(words) {
  shown = null;
  leaving.abort(new DOMException("nobody is signed in", "AbortError"));
  fill(document.body, signInPage(words, begin));
}

/** Takes a code out of the address, so that it is seen by nobody and kept by no history. */
function takeCode() {
  const found = location.hash.match(/^#code=([^&]+)/);
  if (!found) return null;
  history.replaceState(null, "", location.pathname);
  return found[1];
}

addEventListener("hashchange", () => {
  const code = takeCode();
  if (code) enter(code);
  else if (isSignedIn()) show();
});
auth.addEventListener("change", () => isSignedIn() || signIn(""));
auth.addEventListener("expired", askForToken);
apply();
keepTimes();
if (endsHere()) fill(document.body, h("div", { class: "gate" }, h("p", { role: "status" }, text.mcp.loginEnded)));
else enter(takeCode());
