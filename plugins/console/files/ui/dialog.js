// Dialogs: what is behind them waits, the keyboard stays in them, and Escape closes them.

import { h, newId } from "../lib/dom.js";
import { text } from "../text.js";
import { notices } from "./notice.js";
import { button } from "./parts.js";

/**
 * Opens a dialog with a form. `submit` is called when it is sent off, and the dialog closes with what that gives; when it
 * throws, the dialog stays as it is and shows why. Resolves with undefined when it is closed otherwise. Where it is `grave`,
 * a key pressed without a look does nothing.
 */
export function open({ title, body = [], confirm = text.ok, cancel = text.cancel, danger = false, grave = danger, submit, wide = false }) {
  return new Promise((resolve) => {
    const label = newId("dialog");
    const wrong = h("p", { class: "wrong", role: "alert", hidden: true });
    const send = submit && h("button", { type: "submit", class: danger ? "danger" : "primary" }, confirm);
    const leave = button(cancel, { onclick: () => dialog.close() });
    const form = h("form", { method: "dialog", novalidate: true, onsubmit },
      h("h2", { id: label }, title),
      h("div", { class: "dialog-body" }, body),
      wrong,
      h("div", { class: "actions end" }, leave, send),
    );
    const dialog = h("dialog", { "aria-labelledby": label, class: wide ? "wide" : "" }, form);
    let outcome;

    async function onsubmit(event) {
      event.preventDefault();
      if (send.getAttribute("aria-busy") === "true") return;
      send.setAttribute("aria-busy", "true");
      wrong.hidden = true;
      try {
        outcome = await submit();
        dialog.close();
      } catch (error) {
        wrong.textContent = error.message;
        wrong.hidden = false;
      } finally {
        send.removeAttribute("aria-busy");
      }
    }

    // A dialog belongs to the page that opened it.
    const left = () => dialog.close();
    addEventListener("hashchange", left);
    dialog.addEventListener("close", () => {
      removeEventListener("hashchange", left);
      document.body.append(notices());
      dialog.remove();
      resolve(outcome);
    });
    document.body.append(dialog);
    dialog.showModal();
    (dialog.querySelector("[autofocus], input, select, textarea") ?? (grave ? leave : send) ?? leave).focus();
  });
}

/** Asks whether something is to be done. */
export async function ask({ title, body, confirm, danger = true }) {
  const paragraphs = [body].flat().map((words) => h("p", {}, words));
  return (await open({ title, body: paragraphs, confirm, danger, submit: () => true })) === true;
}

/** Shows something that is only read. */
export function show(title, body, { wide = true } = {}) {
  return open({ title, body, cancel: text.close, wide });
}
