// Plugins: those there are, and the way in for others.

import { get } from "../lib/api.js";
import { may } from "../lib/auth.js";
import { h } from "../lib/dom.js";
import { bytes } from "../lib/format.js";
import { live } from "../lib/live.js";
import { go, to } from "../lib/router.js";
import { text } from "../text.js";
import { install } from "../ui/install.js";
import { badge, button, head, run, tags } from "../ui/parts.js";
import { icon } from "../ui/icons.js";
import { table } from "../ui/table.js";

const words = text.plugins;
/** Capabilities that a row shows. */
const SHOWN = 4;

export function show(context) {
  const part = live(context, {
    load: (signal) => get("plugins", null, { signal }),
    draw: ({ plugins }) => table(words.title, COLUMNS, plugins),
    on: ["plugin.", "config."],
  });
  return [head(words.title, { about: words.about }), may("plugins:write") && dropZone(part.refresh), part.element];
}

const COLUMNS = [
  { label: words.name, wide: true, cell: ({ name }) => h("a", { href: to("plugins", name), "data-key": name }, name) },
  { label: words.version, cell: ({ version }) => version },
  { label: words.state, cell: ({ status }) => badge(status) },
  { label: words.gives, wide: true, cell: ({ capabilities, error }) => error
    ? h("span", { class: "wrong clip" }, error)
    : tags(capabilities.length > SHOWN ? [...capabilities.slice(0, SHOWN), words.further(capabilities.length - SHOWN)] : capabilities) },
  { label: words.memory, num: true, cell: (plugin) => bytes(plugin.memory_usage_bytes) },
];

/** Where a plugin's file is dropped, or chosen. */
function dropZone(refresh) {
  const input = h("input", { type: "file", accept: ".wasm,application/wasm", class: "unseen", tabindex: "-1", "aria-hidden": "true", onchange: () => take(input.files) });
  const choose = button([icon("upload"), words.choose], { onclick: () => input.click() });
  const zone = h("div", { class: "drop" }, h("p", {}, words.drop), choose, input);

  function take(files) {
    const [file] = files;
    if (!file) return;
    run(choose, async () => {
      const name = await install(file);
      input.value = "";
      if (!name) return null;
      refresh();
      go("plugins", name);
      return words.installed(name);
    });
  }

  const over = (is) => (event) => (event.preventDefault(), zone.classList.toggle("over", is));
  zone.addEventListener("dragover", over(true));
  zone.addEventListener("dragleave", over(false));
  zone.addEventListener("drop", (event) => (over(false)(event), take(event.dataTransfer.files)));
  return zone;
}
