// What happened, told in a corner of the page and to who has it read aloud.

import { h } from "../lib/dom.js";
import { text } from "../text.js";
import { icon } from "./icons.js";

const SHOWN_MS = 6000;
const MOST = 4;

const region = h("div", { id: "notices", role: "status", "aria-live": "polite" });

/** The place where notices are. */
export function notices() {
  return region;
}

/** Says a sentence. What went wrong stays until it is closed. */
export function say(words, kind = "good") {
  const close = () => notice.remove();
  const notice = h("div", { class: `notice ${kind}` },
    h("p", {}, words),
    h("button", { type: "button", class: "plain", "aria-label": text.close, onclick: close }, icon("close")),
  );
  region.append(notice);
  while (region.children.length > MOST) region.firstChild.remove();
  // A dialog lies above everything: what is said while it is open is said in it.
  (document.querySelector("dialog[open]:last-of-type") ?? document.body).append(region);
  if (kind === "good") setTimeout(close, SHOWN_MS);
}
