// Lists that are read from their newest end, a page at a time.

import { get } from "./api.js";

const LIMIT = 25;

/** The newest entries of a list, newest first, as many pages as were asked for; and whether there may be more. `key` is the list's name in the answer. */
export async function newest(path, key, pages, signal) {
  let found = [];
  for (let page = 0; page < pages; page += 1) {
    const { [key]: entries } = await get(path, { limit: LIMIT, before: found[0]?.id }, { signal });
    found = [...entries, ...found];
    if (entries.length < LIMIT) return { found: found.toReversed(), isMore: false };
  }
  return { found: found.toReversed(), isMore: true };
}
