// A little of Markdown, made into elements: headings, lists, code, quotes, emphasis, links. The rest stays as it was written.

import { h } from "../lib/dom.js";

// Each piece has a bound, so that no text takes long to read.
const INLINE = /`([^`\n]{1,1000})`|\*\*([^*\n]{1,1000})\*\*|(?<![\w*])\*([^*\n]{1,1000})\*(?![\w*])|\[([^[\]\n]{1,300})\]\((https?:\/\/[^\s)]{1,2000})\)|(https?:\/\/[^\s<>"')\]]{1,2000}[^\s<>"')\].,;:!?*_])/g;
/** Quotes and lists lie in one another as deep as this. */
const DEEPEST = 4;
const QUOTE = /^\s{0,3}>\s?/;
const BULLET = /^\s{0,3}[-*+]\s+/;
const NUMBER = /^\s{0,3}\d{1,9}[.)]\s+/;
/** Longer texts are shown as they are. */
const LONGEST = 100_000;

/** A text as elements. */
export function markdown(source) {
  if (source.length > LONGEST) return h("div", { class: "prose plain-text" }, source);
  return h("div", { class: "prose" }, blocks(source.replaceAll("\r\n", "\n").split("\n")));
}

function blocks(lines, depth = 0) {
  const out = [];
  for (let at = 0; at < lines.length; ) {
    const [element, next] = block(lines, at, depth);
    if (element) out.push(element);
    at = next;
  }
  return out;
}

function block(lines, at, depth) {
  const line = lines[at];
  const fence = line.match(/^\s{0,3}(```+|~~~+)\s*(\S*)/);
  if (fence) return fenced(lines, at, fence[1]);
  if (line.trim() === "") return [null, at + 1];
  const heading = line.match(/^(#{1,6})\s+(.*)/);
  if (heading) return [h("p", { class: "prose-heading" }, inline(heading[2])), at + 1];
  if (/^\s{0,3}([-*_])(\s*\1){2,}\s*$/.test(line)) return [h("hr"), at + 1];
  if (depth < DEEPEST) {
    const nested = (inner) => blocks(inner, depth + 1);
    if (QUOTE.test(line)) return quote(lines, at, nested);
    if (BULLET.test(line)) return list(lines, at, BULLET, "ul", nested);
    if (NUMBER.test(line)) return list(lines, at, NUMBER, "ol", nested);
  }
  let end = at + 1;
  while (end < lines.length && lines[end].trim() !== "" && !/^\s{0,3}(```|~~~|#{1,6}\s|>|[-*+]\s|\d{1,9}[.)]\s)/.test(lines[end])) end += 1;
  const said = lines.slice(at, end).flatMap((part, number) => [number > 0 && h("br"), inline(part)]);
  return [h("p", {}, said), end];
}

function fenced(lines, at, fence) {
  let end = at + 1;
  while (end < lines.length && !lines[end].trim().startsWith(fence)) end += 1;
  return [h("pre", { tabindex: "0" }, lines.slice(at + 1, end).join("\n")), end + 1];
}

function quote(lines, at, nested) {
  let end = at;
  const inner = [];
  for (; end < lines.length && QUOTE.test(lines[end]); end += 1) inner.push(lines[end].replace(QUOTE, ""));
  return [h("blockquote", {}, nested(inner)), end];
}

function list(lines, at, mark, kind, nested) {
  const items = [];
  let end = at;
  for (; end < lines.length; end += 1) {
    if (mark.test(lines[end])) items.push([lines[end].replace(mark, "")]);
    else if (/^\s{2,}\S/.test(lines[end])) items.at(-1).push(lines[end].replace(/^\s{2,4}/, ""));
    else break;
  }
  return [h(kind, {}, items.map((item) => h("li", {}, item.length === 1 ? inline(item[0]) : nested(item)))), end];
}

function inline(source) {
  const out = [];
  let done = 0;
  for (const found of source.matchAll(INLINE)) {
    out.push(source.slice(done, found.index));
    const [whole, code, strong, emphasis, label, target, bare] = found;
    if (code !== undefined) out.push(h("code", {}, code));
    else if (strong !== undefined) out.push(h("strong", {}, strong));
    else if (emphasis !== undefined) out.push(h("em", {}, emphasis));
    else out.push(h("a", { href: target ?? bare, target: "_blank", rel: "noopener noreferrer" }, label ?? bare));
    done = found.index + whole.length;
  }
  out.push(source.slice(done));
  return out;
}
