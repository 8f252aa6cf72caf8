// Files that the page gives to whoever looks at it.

import { h } from "./dom.js";

/** How long a browser may take to begin with it. */
const KEPT_MS = 60_000;

/** Has the browser save bytes under a name. */
export function save(bytes, name) {
  const address = URL.createObjectURL(bytes);
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), KEPT_MS);
}
