// Times, sizes and numbers as people read them.

import { h } from "./dom.js";
import { text } from "../text.js";

const LANGUAGE = "en";
const WHOLE = new Intl.NumberFormat(LANGUAGE);
const SHORT = new Intl.NumberFormat(LANGUAGE, { notation: "compact", maximumFractionDigits: 1 });
const RELATIVE = new Intl.RelativeTimeFormat(LANGUAGE, { numeric: "auto", style: "short" });
const MOMENT = new Intl.DateTimeFormat(LANGUAGE, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });
const CLOCK = new Intl.DateTimeFormat(LANGUAGE, { timeStyle: "medium", hourCycle: "h23" });
const HOUR = new Intl.DateTimeFormat(LANGUAGE, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(LANGUAGE, { month: "short", day: "numeric" });
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

export const number = (value) => WHOLE.format(value ?? 0);
export const short = (value) => ((value ?? 0) < 10000 ? WHOLE.format(value ?? 0) : SHORT.format(value));
export const moment = (iso) => (iso ? MOMENT.format(new Date(iso)) : "");
export const clock = (iso) => CLOCK.format(new Date(iso));
export const hour = (iso) => HOUR.format(new Date(iso));
export const day = (iso) => DAY.format(new Date(iso));

/** How long ago, or in how long. */
function ago(iso, now = Date.now()) {
  const seconds = (new Date(iso).getTime() - now) / 1000;
  if (Math.abs(seconds) < 5) return text.format.now;
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? UNITS.at(-1);
  return RELATIVE.format(Math.trunc(seconds / size), unit);
}

/** A moment as an element: how long ago, with the moment itself when it is pointed at. */
export function when(iso, otherwise = text.format.never) {
  if (!iso) return h("span", { class: "faint" }, otherwise);
  return h("time", { datetime: iso, title: moment(iso) }, ago(iso));
}

/** Keeps all moments on the page up to date. */
export function keepTimes() {
  setInterval(() => {
    for (const time of document.querySelectorAll("time[datetime]")) {
      if (!time.hasAttribute("data-fixed")) time.textContent = ago(time.dateTime);
    }
  }, 10000);
}

export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let value = count ?? 0;
  let at = 0;
  for (; value >= 1024 && at < units.length - 1; at += 1) value /= 1024;
  return `${at === 0 || value >= 100 ? Math.round(value) : value.toFixed(1).replace(".0", "")} ${units[at]}`;
}

export function duration(seconds) {
  const parts = [];
  let rest = Math.floor(seconds);
  for (const [unit, size] of UNITS) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0 && parts.length < 2) parts.push(`${count} ${text.format.units[unit]}`);
  }
  return parts.join(" ") || `0 ${text.format.units.second}`;
}

export function milliseconds(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 60000 ? `${(ms / 1000).toFixed(1)} s` : duration(ms / 1000);
}

/** JSON as people read it. */
export const pretty = (value) => JSON.stringify(value, null, 2);
