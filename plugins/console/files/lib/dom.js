// Elements made from data. What is shown is always a text node or an attribute: nothing is ever read as HTML, so what people,
// models and plugins say stays text.

const SVG = "http://www.w3.org/2000/svg";
/** Properties of elements that are set as such. The rest are attributes. */
const PROPERTIES = new Set(["checked", "disabled", "value", "selected", "hidden", "indeterminate", "open", "multiple", "readOnly"]);

/** An element: `h("a", { href, class: "x", onclick }, "text", other, [more])`. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name)) element[name] = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false) element.setAttribute(name, name === "href" ? safe(value) : String(value));
  }
  return add(element, children);
}

/** An element of a picture. */
export function svg(tag, props = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) element.setAttribute(name, String(value));
  }
  return add(element, children);
}

/** Adds children: elements, texts, numbers, lists of them; nothing for null, undefined and false. */
export function add(parent, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === true) continue;
    parent.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return parent;
}

/** Puts other children in the place of those that are there. */
export function fill(parent, ...children) {
  parent.replaceChildren();
  return add(parent, children);
}

/** The same for what is drawn anew from time to time: focus, open details and the place that was scrolled to stay. */
export function redraw(parent, ...children) {
  const focused = parent.contains(document.activeElement) && document.activeElement !== parent ? document.activeElement : null;
  const open = new Set([...parent.querySelectorAll("details[data-key]")].filter((one) => one.open).map(keyOf));
  fill(parent, ...children);
  for (const details of parent.querySelectorAll("details[data-key]")) {
    if (open.has(keyOf(details))) details.open = true;
  }
  if (!focused || parent.contains(focused)) return;
  const key = keyOf(focused);
  [...parent.querySelectorAll(focused.tagName)].find((other) => keyOf(other) === key)?.focus({ preventScroll: true });
}

/** What tells an element from the others of its kind: its key, where it leads, or what it says. */
function keyOf(element) {
  return element.dataset.key ?? element.getAttribute("href") ?? element.getAttribute("aria-label") ?? element.textContent;
}

/** An address that a person may follow: of the page, of the web, or a file made here. Anything else leads nowhere. */
function safe(address) {
  const text = String(address);
  if (text.startsWith("#")) return text;
  try {
    return ["http:", "https:", "blob:"].includes(new URL(text, location.href).protocol) ? text : "#";
  } catch {
    return "#";
  }
}

let ids = 0;

/** An id that no other element has. */
export function newId(prefix = "id") {
  ids += 1;
  return `${prefix}-${ids}`;
}
