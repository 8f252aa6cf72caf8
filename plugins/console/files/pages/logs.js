// The log, as it is written.

import { get } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { clock, moment } from "../lib/format.js";
import { note, to } from "../lib/router.js";
import { save } from "../lib/save.js";
import { follow } from "../lib/stream.js";
import { text } from "../text.js";
import { action, button, field, head, link, problem, select } from "../ui/parts.js";

const words = text.logs;
const LEVELS = ["trace", "debug", "info", "warn", "error"];
/** Lines that are kept on the page. */
const MOST = 1500;
/** Lines that are shown at first. */
const FIRST = 200;

export function show(context) {
  return new Log(context).element;
}

class Log {
  constructor({ query, signal }) {
    this.signal = signal;
    this.asked = { level: LEVELS.includes(query.level) ? query.level : "info", module: query.module ?? "" };
    this.wanted = query.find ?? "";
    this.lines = h("div", { class: "log", role: "log", "aria-label": words.title, "aria-live": "off", tabindex: "0" });
    this.state = h("span", { class: "live-mark", role: "status" });
    this.pauseButton = button(words.pause, { "aria-pressed": "false", onclick: () => this.pause() });
    this.level = select(LEVELS.map((one) => [one, words.levels[one]]), this.asked.level, { onchange: () => this.look() });
    this.module = h("input", { type: "search", value: this.asked.module, placeholder: words.moduleHint, onchange: () => this.look() });
    this.find = h("input", { type: "search", value: this.wanted, placeholder: words.findHint, oninput: () => this.sift() });
    this.requests = h("input", { type: "checkbox", checked: query.requests === "1", onchange: () => this.sift() });
    this.held = null;
    this.element = [
      head(words.title, { about: words.about, actions: [this.pauseButton, action(words.save, () => this.save())] }),
      h("div", { class: "filters" }, field(words.level, this.level), field(words.module, this.module), h("div", { class: "field grow" },
        h("label", { class: "field" }, h("span", { class: "label" }, words.find), this.find)),
        h("label", { class: "check" }, this.requests, words.requests), this.state),
      this.lines,
    ];
    signal.addEventListener("abort", () => this.following?.abort(), { once: true });
    this.begin();
  }

  /** Other filters: the log is read anew. */
  look() {
    this.asked = { level: this.level.value, module: this.module.value.trim() };
    this.noteQuery();
    this.begin();
  }

  noteQuery() {
    note("logs", { ...this.asked, find: this.wanted, requests: this.requests.checked ? "1" : "" });
  }

  begin() {
    this.following?.abort();
    this.following = new AbortController();
    fill(this.lines);
    follow("logs/stream", {
      query: { ...this.asked, since: "1h", limit: FIRST },
      signal: this.following.signal,
      onEvent: (event) => this.take(event),
      onState: (is) => fill(this.state, is ? words.following : words.waiting),
      onError: (error) => fill(this.lines, problem(error, () => this.begin())),
    });
  }

  take(event) {
    if (this.held) {
      this.held.push(event);
      if (this.held.length > MOST) this.held.shift();
      fill(this.state, words.paused(this.held.length));
      return;
    }
    this.write([event]);
  }

  write(events) {
    const isAtEnd = this.lines.scrollHeight - this.lines.scrollTop - this.lines.clientHeight < 60;
    this.lines.append(...events.map(({ name, data }) => name === "gap" ? marker(words.gap(data.missed)) : this.sifted(line(data))));
    while (this.lines.children.length > MOST) this.lines.firstChild.remove();
    if (isAtEnd) this.lines.scrollTop = this.lines.scrollHeight;
  }

  pause() {
    const held = this.held;
    this.held = held ? null : [];
    this.pauseButton.textContent = held ? words.pause : words.goOn;
    this.pauseButton.setAttribute("aria-pressed", String(!held));
    fill(this.state, held ? words.following : words.paused(0));
    if (held) this.write(held);
  }

  sift() {
    this.wanted = this.find.value.trim();
    this.noteQuery();
    for (const entry of this.lines.children) this.sifted(entry);
    this.lines.scrollTop = this.lines.scrollHeight;
  }

  sifted(entry) {
    const isOther = this.wanted !== "" && !entry.textContent.toLowerCase().includes(this.wanted.toLowerCase());
    // This page's own requests would fill it.
    entry.hidden = isOther || (entry.dataset.module === "http" && !this.requests.checked);
    return entry;
  }

  /** What the gateway still has of it, as a file. */
  async save() {
    const { entries } = await get("logs", { ...this.asked, since: "1d", limit: 1000 }, { signal: this.signal });
    const lines = entries.map((entry) => JSON.stringify(entry)).join("\n");
    save(new Blob([`${lines}\n`], { type: "application/x-ndjson" }), "prx-log.ndjson");
    return words.saved(entries.length);
  }
}

function line({ timestamp, level, module, message, session_id: session, fields = {} }) {
  const rest = Object.entries(fields).map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`).join(" ");
  return h("div", { class: "entry", "data-module": module },
    h("time", { datetime: timestamp, title: moment(timestamp), "data-fixed": true, class: "faint" }, clock(timestamp)),
    h("span", { class: `level ${level}` }, level),
    h("span", { class: "faint" }, module),
    h("span", { class: "said" }, message, rest && h("span", { class: "faint" }, ` ${rest}`), session && [" ", link(words.session, to("sessions", session))]),
  );
}

function marker(label) {
  return h("div", { class: "entry marker" }, label);
}
