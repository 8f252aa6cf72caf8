// Addresses of pages: what follows the # of the page's own.

/** A place as it is written: its segments, and what is looked for there. */
export function place() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const segments = path.split("/").filter(Boolean).map(decode);
  return { segments, query: Object.fromEntries(new URLSearchParams(query)) };
}

function decode(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** The address of a page: `to("sessions", id)`, `to("sessions", { status: "idle" })`. */
export function to(...parts) {
  const query = typeof parts.at(-1) === "object" ? new URLSearchParams(clean(parts.pop())).toString() : "";
  return `#/${parts.map(encodeURIComponent).join("/")}${query && `?${query}`}`;
}

/** Goes to a page. */
export function go(...parts) {
  location.hash = to(...parts);
}

/** Says in the address what is looked for now, without going anywhere. */
export function note(...parts) {
  history.replaceState(null, "", to(...parts));
}

function clean(query) {
  return Object.fromEntries(Object.entries(query).filter(([, value]) => value !== "" && value !== undefined && value !== null));
}

/** The page that a place is of: of `{ pattern: page }` the first whose pattern fits, with what stands for its parts. */
export function match(pages, segments) {
  for (const [pattern, page] of Object.entries(pages)) {
    const parts = pattern.split("/").filter(Boolean);
    if (parts.length !== segments.length) continue;
    const params = {};
    const fits = parts.every((part, at) => {
      if (!part.startsWith(":")) return part === segments[at];
      params[part.slice(1)] = segments[at];
      return true;
    });
    if (fits) return { page, params };
  }
  return null;
}
