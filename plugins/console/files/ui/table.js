// Tables. On a narrow screen each row is a card, with the columns' names beside what is in them.

import { add, fill, h } from "../lib/dom.js";
import { text } from "../text.js";
import { button, run } from "./parts.js";

/** Rows of a list that come at once; the rest is asked for. */
const MOST_ROWS = 200;

/**
 * A table of rows. A column is `{ label, cell: row => content, wide, num, actions }`; `caption` says what the table has, for
 * those who don't see the heading above it.
 */
export function table(caption, columns, rows) {
  const heads = columns.map(({ label, num, actions }) =>
    h("th", { scope: "col", class: num ? "num" : "" }, actions ? h("span", { class: "unseen" }, label) : label));
  const body = h("tbody");
  let shown = 0;
  const show = () => {
    add(body, rows.slice(shown, shown + MOST_ROWS).map((row) => h("tr", {}, columns.map((column) => cell(column, row)))));
    shown += MOST_ROWS;
    fill(rest, shown < rows.length && button(text.showMore(Math.min(MOST_ROWS, rows.length - shown)), { key: "rest", onclick: show }));
  };
  const rest = h("div", { class: "pager" });
  show();
  return [h("div", { class: "table", role: "region", "aria-label": caption, tabindex: "0" },
    h("table", {}, h("caption", { class: "unseen" }, caption), h("thead", {}, h("tr", {}, heads)), body)), rest];
}

function cell({ label, cell, num, actions, wide }, row) {
  const classes = [num && "num", actions && "row-actions", wide && "wide"].filter(Boolean).join(" ");
  return h("td", { class: classes, "data-label": actions ? "" : label }, h("div", {}, cell(row)));
}

/** Which part of a list is shown, and the way to the others. */
export function pager({ offset, limit, total, onPage }) {
  if (total <= limit && offset === 0) return null;
  const last = Math.min(offset + limit, total);
  return h("nav", { class: "pager", "aria-label": text.pager.label },
    h("span", {}, text.pager.shown(Math.min(offset + 1, total), last, total)),
    button(text.pager.previous, { key: "previous", disabled: offset === 0, onclick: () => onPage(Math.max(0, offset - limit)) }),
    button(text.pager.next, { key: "next", disabled: last >= total, onclick: () => onPage(offset + limit) }),
  );
}

/** The way to what is further back, where a list is read from its newest end. */
export function more(label, work) {
  const element = button(label, { key: "more", onclick: () => run(element, work) });
  return h("div", { class: "pager" }, element);
}
