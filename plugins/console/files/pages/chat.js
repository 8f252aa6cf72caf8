// A talk with an agent: replies as they are written, the tools that it calls, and its questions.

import { ApiError, get, pause, post, respond, seg } from "../lib/api.js";
import { may, whoIsSignedIn } from "../lib/auth.js";
import { connection } from "../lib/connection.js";
import { add, fill, h } from "../lib/dom.js";
import { onEvents } from "../lib/events.js";
import { note, to } from "../lib/router.js";
import { read } from "../lib/stream.js";
import { text } from "../text.js";
import { action, button, empty, field, head, link, select } from "../ui/parts.js";
import { say } from "../ui/notice.js";
import { message, question, transcript, turn } from "../ui/transcript.js";
import { decide } from "./session.js";

const words = text.chat;
/** Who sessions of this page come by. */
const CHANNEL = "console";
/** How often it is looked whether a turn has ended that nothing is heard of: at first, and after a while. */
const FIRST_LOOK_MS = 1000;
const LONGEST_LOOK_MS = 10000;
/** How long further messages are waited for. */
const COLLECT_MS = 300;

export function show(context) {
  return new Chat(context).element;
}

class Chat {
  constructor({ params, signal }) {
    this.signal = signal;
    this.session = params.id ?? null;
    this.agent = "";
    this.model = "";
    this.isBusy = false;
    this.isWatching = false;
    this.isCutOff = false;
    this.isNext = false;
    this.choices = h("div", { class: "filters" });
    this.talk = h("div", { class: "talk" });
    this.asks = h("div", { class: "questions" });
    this.links = h("div", { class: "actions" });
    this.element = [
      h("div", { class: "chat-head" }, head(words.title), this.links),
      this.choices, this.talk, this.asks, this.composer()];
    connection.addEventListener("back", () => this.session && this.watch(), { signal });
    onEvents((event) => this.heard(event), signal);
    if (this.session) this.resume();
    else this.offer();
  }

  composer() {
    this.input = h("textarea", { rows: "1", placeholder: words.placeholder, "aria-label": words.message, onkeydown: (event) => this.key(event), oninput: () => this.grow() });
    this.sendButton = button(words.send, { kind: "primary", onclick: () => this.send() });
    this.stopButton = action(words.stop, () => this.stop(), { hidden: true });
    requestAnimationFrame(() => this.input.focus());
    return h("div", { class: "composer" }, this.input, this.stopButton, this.sendButton);
  }

  key(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.send();
  }

  grow() {
    this.input.style.height = "auto";
    this.input.style.height = `${Math.min(this.input.scrollHeight + 2, 240)}px`;
  }

  /** Before the first message: who is to answer. */
  async offer() {
    fill(this.talk, empty(words.begin, words.beginAbout));
    if (!may("status:read")) return;
    try {
      const { agents } = await get("agents", null, { signal: this.signal });
      const agent = select(agents.map(({ name, problem }) => [name, problem ? words.down(name) : name]), "default", { onchange: () => this.choose(agents, agent.value) });
      this.modelChoice = h("span");
      fill(this.choices, field(words.answers, agent), this.modelChoice);
      this.choose(agents, "default");
    } catch (error) {
      if (!this.signal.aborted) say(error.message, "bad");
    }
  }

  choose(agents, name) {
    const chosen = agents.find((one) => one.name === name);
    this.agent = name;
    this.model = "";
    if (!chosen) return;
    const model = select([["", words.asConfigured(chosen.model)], ...chosen.models.filter((one) => one !== chosen.model).map((one) => [one])], "", { onchange: () => (this.model = model.value) });
    fill(this.modelChoice, field(words.model, model));
  }

  async resume() {
    try {
      await this.list();
      const session = await get(`sessions/${seg(this.session)}`, null, { signal: this.signal });
      this.showLinks();
      if (session.status === "terminated") return this.over();
      await this.watch();
    } catch (error) {
      if (!this.signal.aborted) fill(this.talk, empty(error.message, "", link(words.another, to("chat"), { class: "button" })));
    }
  }

  showLinks() {
    fill(this.links,
      may("sessions:read") && link(words.details, to("sessions", this.session), { class: "button" }),
      link(words.another, to("chat"), { class: "button" }));
  }

  /** The session has ended: nothing can be said in it. */
  over() {
    this.input.disabled = true;
    this.sendButton.disabled = true;
    add(this.talk, empty(words.over, words.overAbout, link(words.another, to("chat"), { class: "button primary" })));
  }

  async send() {
    const content = this.input.value.trim();
    if (content === "") return;
    if (this.isBusy) {
      // One thing after the other: what is typed by then is sent.
      this.isNext = true;
      say(words.next);
      return;
    }
    this.busy(true);
    try {
      if (!this.session) await this.open();
      this.input.value = "";
      this.grow();
      await this.talkTo(content);
    } catch (error) {
      // What was not taken is still there to be sent.
      if (!this.input.value) this.input.value = content;
      this.isNext = false;
      this.grow();
      if (!this.signal.aborted) say(error.message, "bad");
      if (error.details?.next_session) add(this.talk, empty(words.over, words.nextAbout, link(words.onward, to("chat", error.details.next_session), { class: "button primary" })));
    } finally {
      this.busy(false);
      // The button that was pressed is gone; who is elsewhere by now stays there.
      if (document.activeElement === document.body) this.input.focus();
      const isNext = this.isNext;
      this.isNext = false;
      if (this.isCutOff) this.watch();
      else if (isNext && !this.signal.aborted) this.send();
    }
  }

  async open() {
    const asked = { channel: CHANNEL, user_id: whoIsSignedIn()?.name || "operator" };
    if (this.agent) asked.agent = this.agent;
    if (this.model) asked.model = this.model;
    this.session = (await post("sessions", asked)).id;
    note("chat", this.session);
    fill(this.choices);
    this.listing = transcript(this.session, this.signal, words.you);
    fill(this.talk, this.listing.element);
    this.showLinks();
  }

  /** Says something, and shows the turn as it comes. Throws when it was not taken. */
  async talkTo(content) {
    const path = `sessions/${seg(this.session)}/messages`;
    const said = message({ role: "user", content, created_at: new Date().toISOString(), sender: words.you });
    this.listing.list.append(said);
    const under = turn({ decide: decide(`sessions/${seg(this.session)}`) });
    this.listing.list.append(under.element);
    this.end();
    let answer;
    try {
      answer = await respond("POST", path, { body: { content }, headers: { accept: "text/event-stream" }, signal: this.signal });
    } catch (error) {
      said.remove();
      under.element.remove();
      throw error;
    }
    await this.hear(answer, under);
  }

  /** The message is taken; whatever goes wrong from here on, the turn goes on at the gateway. */
  async hear(answer, under) {
    try {
      for await (const event of read(answer, this.signal)) {
        const isAtEnd = this.isAtEnd();
        if (event.name === "error") return under.fail(event.data.error.message);
        const done = under.take(event);
        if (done) {
          // Its message stands in the place of what was shown while it was under way.
          this.known = done.id;
          under.element.replaceWith(under.settle(done));
        }
        if (isAtEnd) this.end();
        if (done) return;
      }
      throw new ApiError({ message: text.errors.unreachable });
    } catch (error) {
      if (this.signal.aborted) return;
      under.fail(words.cutOff);
      this.isCutOff = true;
    }
  }

  /** Looks what becomes of a turn that nothing is heard of, and answers its questions, until it has ended. */
  async watch() {
    if (this.isWatching || this.isBusy) return;
    this.isWatching = true;
    const path = `sessions/${seg(this.session)}`;
    let [before, wait] = [null, FIRST_LOOK_MS];
    try {
      while (!this.signal.aborted && !this.isBusy) {
        const { messages: [last] } = await get(`${path}/messages`, { limit: 1 }, { signal: this.signal });
        const { approvals } = await get(`${path}/approvals`, null, { signal: this.signal });
        fill(this.asks, approvals.map((one) => question(one, decide(path))));
        // Between two calls of tools, what was said before them is the last.
        const hasEnded = approvals.length === 0 && (!last || (last.role === "assistant" && (last.id === before || !this.isCutOff)));
        if (hasEnded) {
          if (this.isCutOff) await this.list();
          return;
        }
        this.isCutOff = true;
        before = last?.id;
        await pause(wait, this.signal);
        wait = Math.min(wait * 1.3, LONGEST_LOOK_MS);
      }
    } catch (error) {
      // The gateway is away: it is looked again when it is back.
      if (!this.signal.aborted && error.code !== "unreachable") say(error.message, "bad");
    } finally {
      this.isWatching = false;
    }
  }

  /** Shows what was said, as the gateway has it. */
  async list() {
    const listing = transcript(this.session, this.signal, words.you);
    await listing.refresh();
    this.isCutOff = false;
    this.listing = listing;
    fill(this.talk, listing.element);
    this.end();
  }

  /** Somebody else has said something in this session, or a turn has gone on that nothing was heard of. */
  heard({ type, data }) {
    const isOurs = data?.session_id === this.session && data?.message_id !== this.known;
    const mayBeNew = type === "*" || (isOurs && (type === "message.sent" || type === "message.received"));
    if (this.session && !this.isBusy && mayBeNew) {
      clearTimeout(this.relisting);
      this.relisting = setTimeout(() => this.isBusy || this.list().then(() => this.watch()).catch(() => {}), COLLECT_MS);
    }
  }

  async stop() {
    const { cancelled } = await post(`sessions/${seg(this.session)}/cancel`);
    return cancelled ? text.session.cancelled : text.session.nothingToCancel;
  }

  busy(is) {
    this.isBusy = is;
    this.stopButton.hidden = !is;
    this.sendButton.hidden = is;
  }

  isAtEnd() {
    return innerHeight + scrollY >= document.documentElement.scrollHeight - 120;
  }

  end() {
    requestAnimationFrame(() => scrollTo(0, document.documentElement.scrollHeight));
  }
}
