// Light, dark, or as the system is.

const KEY = "prx-theme";
const THEMES = ["system", "light", "dark"];

export function theme() {
  const kept = stored();
  return THEMES.includes(kept) ? kept : "system";
}

/** Takes the next theme, and says which that is. */
export function nextTheme() {
  const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length];
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // It holds until the page is left.
  }
  apply(next);
  return next;
}

export function apply(chosen = theme()) {
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
}

function stored() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}
