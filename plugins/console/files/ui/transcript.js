// What was said in a session, and a turn while it is under way.

import { h, fill } from "../lib/dom.js";
import { request, respond, seg } from "../lib/api.js";
import { bytes, pretty, when } from "../lib/format.js";
import { save } from "../lib/save.js";
import { text } from "../text.js";
import { markdown } from "./markdown.js";
import { action, block, button } from "./parts.js";

/** Pictures that are shown as such. Others could hold scripts. */
const PICTURES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);
const MOST_PICTURE_BYTES = 8 << 20;
const MOST_RESULT = 20_000;

/** A message that was said. `person` is what somebody is called whom the gateway has no name for. */
export function message(said, person = text.chat.person) {
  const who = said.role === "user" ? said.sender ?? person : said.role === "assistant" ? text.chat.agent : text.chat.tool;
  return h("article", { class: `message ${said.role}`, "data-id": said.id },
    heading(who, said),
    said.reply_to && quoted(text.chat.inReply, said.reply_to),
    (said.forwarded ?? []).map((one) => quoted(text.chat.passesOn, one)),
    body(said),
    (said.attachments ?? []).map(attachment),
  );
}

function heading(who, { created_at: at, stopped }) {
  return h("header", {}, h("span", { class: "who" }, who), when(at), stopped && h("span", { class: "tag" }, text.chat.stopped));
}

function body({ role, content }) {
  if (!content) return null;
  if (role === "assistant") return markdown(content);
  if (role === "tool") return h("details", { class: "quiet" }, h("summary", {}, text.chat.result), block(cut(content)));
  return h("div", { class: "prose plain-text" }, content);
}

function quoted(label, { author, text: words, from_agent: fromAgent }) {
  const who = fromAgent ? text.chat.agent : author;
  return h("blockquote", { class: "quoted" }, h("span", { class: "faint" }, who ? `${label} ${who}` : label), h("div", { class: "plain-text" }, words));
}

/** A file of a message: its picture, or how to get it. */
export function attachment({ blob, kind, name, mime, size }) {
  const label = `${name ?? kind} · ${bytes(size)}`;
  const element = h("div", { class: "attachment" }, action(text.chat.save(label), async () => {
    save(await file(blob), name ?? blob);
    return text.chat.saved(name ?? blob);
  }));
  if (PICTURES.has(mime) && size <= MOST_PICTURE_BYTES) picture(element, blob, name ?? kind);
  return element;
}

async function picture(element, blob, name) {
  try {
    const address = URL.createObjectURL(await file(blob));
    const shown = h("img", { src: address, alt: name, onload: () => URL.revokeObjectURL(address), onerror: () => shown.remove() });
    element.prepend(shown);
  } catch {
    // It is kept for a while only; the button says what is wrong.
  }
}

async function file(blob) {
  const answer = await respond("GET", `blobs/${seg(blob)}`, { headers: { accept: "*/*" } });
  return answer.blob();
}

function cut(content) {
  return content.length > MOST_RESULT ? `${content.slice(0, MOST_RESULT)}\n… ${text.chat.cut(content.length - MOST_RESULT)}` : content;
}

/**
 * A turn as it comes. `take` is given each event of its stream, and gives the message that it ended with, once it has.
 * `decide` answers its questions.
 */
export function turn({ decide }) {
  const pieces = h("div", { class: "pieces" });
  const status = h("p", { class: "thinking-now", role: "status" }, text.chat.thinking);
  const element = h("article", { class: "message assistant under-way" }, h("header", {}, h("span", { class: "who" }, text.chat.agent)), pieces, status);
  const calls = new Map();
  let said = null;
  /** What was said last: the message that a turn ends with says it, too. */
  let last = null;
  let thought = null;
  let due = false;

  /** Draws what was said so far, at most once for each frame. */
  function speak(piece) {
    if (!said) {
      said = { words: "", element: h("div") };
      pieces.append(said.element);
      last = said.element;
    }
    said.words += piece;
    if (due) return;
    due = true;
    const shown = said;
    requestAnimationFrame(() => {
      due = false;
      fill(shown.element, markdown(shown.words));
      if (shown !== said && said) fill(said.element, markdown(said.words));
    });
  }

  function think(piece) {
    if (!thought) {
      thought = h("pre");
      pieces.append(h("details", { class: "quiet" }, h("summary", {}, text.chat.thoughts), thought));
    }
    thought.append(document.createTextNode(piece));
  }

  function begin(id, name) {
    if (calls.has(id)) return calls.get(id);
    finish();
    last = null;
    const state = h("span", { class: "badge warn" }, text.chat.calling);
    const inside = h("div");
    const call = { state, inside, element: h("details", { class: "call" }, h("summary", {}, h("code", {}, name), state), inside) };
    calls.set(id, call);
    pieces.append(call.element);
    return call;
  }

  function end({ id, content, is_error: isError }) {
    const call = begin(id, id);
    call.state.className = `badge ${isError ? "bad" : "good"}`;
    call.state.textContent = isError ? text.chat.callFailed : text.chat.called;
    call.inside.append(h("p", { class: "label" }, text.chat.result), block(cut(content)));
  }

  /** What is said next stands below what has come between. */
  function finish() {
    if (said) fill(said.element, markdown(said.words));
    said = null;
    thought = null;
  }

  const handlers = {
    token: ({ text: piece }) => (status.hidden = true, thought = null, speak(piece)),
    thinking: ({ text: piece }) => think(piece),
    tool_call_started: ({ id, name }) => begin(id, name),
    tool_call: ({ id, name, arguments: given }) => {
      const call = begin(id, name);
      call.inside.append(h("p", { class: "label" }, text.chat.given), block(pretty(given)));
    },
    tool_result: (result) => (end(result), status.hidden = false, status.textContent = text.chat.thinking),
    approval: (asked) => (finish(), pieces.append(question(asked, decide)), status.hidden = false, status.textContent = text.chat.waits),
    restart: ({ reason }) => (finish(), pieces.append(h("p", { class: "faint" }, text.chat.restarted(reason)))),
    gap: () => pieces.append(h("p", { class: "faint" }, text.chat.gap)),
  };

  function take({ name, data }) {
    if (name === "done") return finish(), data;
    handlers[name]?.(data);
    return null;
  }

  /** It has ended otherwise than with a message. */
  function fail(words) {
    finish();
    status.remove();
    pieces.append(h("p", { class: "wrong", role: "alert" }, words));
  }

  /** The message that it ended with, below the calls that led to it and what was said before them. */
  function settle(done) {
    pieces.querySelectorAll(".question").forEach((asked) => asked.remove());
    last?.remove();
    return h("article", { class: "message assistant", "data-id": done.id },
      heading(text.chat.agent, done), pieces.children.length > 0 && pieces, body(done), (done.attachments ?? []).map(attachment));
  }

  return { element, take, fail, settle };
}

/** Something that a turn asks a person. */
export function question(asked, decide) {
  const { id, tool, arguments: given, elicitation, question: own, expires_at: expires } = asked;
  const element = h("div", { class: "question", role: "group", "aria-label": text.chat.asks, "data-approval": id });
  const answer = (label, decision, kind) => action(label, async () => {
    await decide(id, decision);
    element.classList.add("answered");
    fill(element, h("p", { role: "status" }, text.chat.answered(label)));
  }, { kind });
  const yesNo = [answer(text.chat.allow, { decision: "allow" }, "primary"), answer(text.chat.deny, { decision: "deny" })];
  const parts = own
    ? [markdown(own.text), h("div", { class: "actions" }, own.choices.map((one) => answer(one.label, { choice: one.id })))]
    : elicitation
      ? [h("p", {}, text.chat.serverAsks(tool)), h("div", { class: "plain-text" }, elicitation.message), elicitation.url && h("p", {}, h("a", { href: elicitation.url, target: "_blank", rel: "noopener noreferrer" }, elicitation.url)), elicitation.content && block(pretty(elicitation.content)), h("div", { class: "actions" }, yesNo)]
      : [h("p", {}, text.chat.wantsToCall, " ", h("code", {}, tool)), block(pretty(given)), h("div", { class: "actions" }, yesNo)];
  return fill(element, parts, h("p", { class: "faint" }, text.chat.until, " ", when(expires)));
}

/** A list of messages that grows: those before are asked for by a button, new ones come below. */
export function transcript(session, signal, person) {
  const list = h("div", { class: "messages", role: "log", "aria-label": text.chat.log });
  const earlier = h("div", { class: "pager" });
  let oldest = null;
  const seen = new Set();

  const page = async (before) => {
    return (await request("GET", `sessions/${seg(session)}/messages`, { query: { limit: 50, before }, signal })).data;
  };

  function show(messages, put) {
    const fresh = messages.filter(({ id }) => !seen.has(id));
    fresh.forEach(({ id }) => seen.add(id));
    put(fresh.map((said) => message(said, person)));
    return fresh;
  }

  /** What has come since the last look; at first, the newest. */
  async function refresh() {
    const { messages, total } = await page();
    if (oldest === null && messages.length > 0) {
      oldest = messages[0].id;
      offer(total > messages.length);
    }
    return show(messages, (elements) => list.append(...elements));
  }

  function offer(isMore) {
    fill(earlier, isMore && button(text.chat.earlier, { onclick: back }));
  }

  async function back() {
    const height = list.scrollHeight;
    const { messages } = await page(oldest);
    if (messages.length > 0) oldest = messages[0].id;
    show(messages, (elements) => list.prepend(...elements));
    offer(messages.length === 50);
    scrollBy(0, list.scrollHeight - height);
  }

  return { element: h("div", { class: "transcript" }, earlier, list), list, refresh };
}
