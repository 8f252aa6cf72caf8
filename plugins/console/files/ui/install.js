// Brings a plugin's file in: what it asks for is shown and granted before, and one that is there is replaced only if it is meant.

import { get, post, put, seg } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { text } from "../text.js";
import { ask, open } from "./dialog.js";
import { differences, granting } from "./grants.js";

const words = text.install;
const WASM = { headers: { "content-type": "application/wasm" } };
/** What every component begins with. */
const MAGIC = [0x00, 0x61, 0x73, 0x6d];

/** Installs a file; gives the plugin's name, or null when it was not to be done after all. */
export async function install(file) {
  const bytes = await file.arrayBuffer();
  const begins = new Uint8Array(bytes.slice(0, MAGIC.length));
  if (!MAGIC.every((byte, at) => begins[at] === byte)) throw new Error(words.noComponent(file.name));
  return place(bytes, () => post("plugins", bytes, WASM));
}

/** Puts a file in the place of a plugin. */
export async function replace(name, file) {
  const bytes = await file.arrayBuffer();
  return place(bytes, () => put(`plugins/${seg(name)}`, bytes, WASM));
}

async function place(bytes, send) {
  try {
    return (await send()).name;
  } catch (error) {
    const { plugin, missing } = error.details ?? {};
    if (error.status !== 409 || !plugin) throw error;
    const again = () => put(`plugins/${seg(plugin)}`, bytes, WASM);
    if (missing) return (await grantFirst(plugin, missing)) ? place(bytes, send) : null;
    const isMeant = await ask({ title: words.replaceAsk(plugin), body: words.replaceAbout, confirm: words.replace, danger: false });
    return isMeant ? place(bytes, again) : null;
  }
}

/** Shows what a plugin that is to come in asks for; says whether it was granted. */
async function grantFirst(plugin, missing) {
  const granted = await get(`plugins/${seg(plugin)}/grants`).then((review) => review.granted, () => ({}));
  const done = await open({
    title: words.grantAsk(plugin),
    body: [h("p", {}, words.grantAbout), differences({ requested: null, granted, missing })],
    confirm: words.grant,
    grave: true,
    wide: true,
    submit: async () => {
      await put(`plugins/${seg(plugin)}/grants`, granting(granted, missing));
      return true;
    },
  });
  return done === true;
}
