// Where a token is typed: as the first page, or above the page that was being looked at.

import { isSignedIn, signIn } from "../lib/auth.js";
import { h } from "../lib/dom.js";
import { text } from "../text.js";
import { open } from "./dialog.js";
import { field, run } from "./parts.js";

function tokenInput() {
  return h("input", { type: "password", name: "token", autocomplete: "off", spellcheck: "false", autofocus: true, "aria-required": "true" });
}

/** The page before the first one. `words` say why it is shown; `begin` is called when somebody has signed in. */
export function signInPage(words, begin) {
  document.title = `${text.signIn.title} · ${text.product}`;
  const input = tokenInput();
  const wrong = h("p", { class: "wrong", role: "alert", hidden: !words }, words);
  const send = h("button", { type: "submit", class: "primary" }, text.signIn.confirm);
  const onsubmit = (event) => {
    event.preventDefault();
    wrong.hidden = true;
    run(send, async () => {
      try {
        await signIn(input.value);
        begin();
      } catch (error) {
        wrong.textContent = error.message;
        wrong.hidden = false;
        input.select();
      }
    });
  };
  const page = h("main", { class: "gate" },
    h("form", { class: "card sign-in", onsubmit, novalidate: true },
      h("p", { class: "brand" }, text.brand), h("h1", {}, text.signIn.title),
      h("p", {}, text.signIn.how), h("pre", { tabindex: "0" }, "prx console"),
      h("p", {}, text.signIn.orToken), h("pre", { tabindex: "0" }, "prx auth token --expires 12h"),
      field(text.signIn.token, input, text.signIn.kept), wrong, h("div", { class: "actions" }, send)));
  requestAnimationFrame(() => input.focus());
  return page;
}

/** Asks for another token without leaving the page: what was typed there stays, and what was to be done goes on. */
export async function askForToken() {
  const input = tokenInput();
  await open({
    title: text.signIn.again,
    body: [h("p", {}, text.signIn.expired), field(text.signIn.token, input, text.signIn.kept)],
    confirm: text.signIn.confirm,
    submit: async () => {
      await signIn(input.value);
      return true;
    },
  });
  // Closed without a token: there is nothing that can be shown.
  if (!isSignedIn()) location.reload();
}
