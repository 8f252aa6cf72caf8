// One session: what was said, as it is said, and what waits for a person.

import { get, post, remove, seg } from "../lib/api.js";
import { may } from "../lib/auth.js";
import { add, h, redraw } from "../lib/dom.js";
import { onEvents } from "../lib/events.js";
import { number, pretty, when } from "../lib/format.js";
import { live } from "../lib/live.js";
import { to } from "../lib/router.js";
import { text } from "../text.js";
import { ask } from "../ui/dialog.js";
import { action, badge, block, empty, facts, head, link, problem, section } from "../ui/parts.js";
import { question, transcript } from "../ui/transcript.js";

const words = text.session;

export function show(context) {
  const { params: { id }, signal } = context;
  const path = `sessions/${seg(id)}`;
  const said = transcript(id, signal);
  const asks = h("div", { class: "questions" });
  const summary = live(context, {
    load: (signal) => get(path, null, { signal }),
    draw: (session) => drawSession(session, path, () => summary.refresh()),
    on: ["session.", "message."],
  });

  async function look() {
    try {
      const fresh = await said.refresh();
      if (said.list.children.length === 0) said.list.append(empty(words.silent));
      else said.list.querySelector(".empty")?.remove();
      // Who reads the end wants to go on reading there.
      if (fresh.length > 0 && isAtEnd()) said.list.lastElementChild.scrollIntoView({ block: "nearest" });
      const { approvals } = await get(`${path}/approvals`, null, { signal });
      const known = [...asks.children].map((one) => one.dataset.approval).join();
      if (known !== approvals.map((one) => one.id).join()) redraw(asks, approvals.map((one) => question(one, decide(path))));
    } catch (error) {
      if (!signal.aborted && said.list.children.length === 0) add(said.list, problem(error));
    }
  }

  onEvents(({ type, data }) => (type === "*" || data?.session_id === id || data?.id === id) && look(), signal);
  const timer = setInterval(look, 2500);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  look();
  return [
    head(words.title, { back: { href: to("sessions"), label: text.sessions.title } }),
    h("div", { class: "split" }, h("div", {}, said.element, asks), h("aside", {}, summary.element)),
  ];
}

function isAtEnd() {
  return innerHeight + scrollY >= document.documentElement.scrollHeight - 200;
}

/** Answers a question of a session's turn. */
export function decide(path) {
  return async (approval, decision) => {
    await post(`${path}/approvals/${seg(approval)}`, decision);
  };
}

function drawSession(session, path, refresh) {
  const isOver = session.status === "terminated";
  const write = may("sessions:write") && !isOver;
  return section("",
    facts([
      [words.state, badge(session.status)],
      [words.user, session.user_id],
      [words.channel, session.channel],
      [words.agent, session.agent],
      [words.model, session.model],
      [words.language, session.language],
      [words.turns, number(session.turn_count)],
      [words.tokens, words.inAndOut(number(session.token_usage.input), number(session.token_usage.output))],
      [words.left, session.tokens_left !== undefined && number(session.tokens_left)],
      [words.activity, when(session.last_activity)],
      [words.created, when(session.created_at)],
      [words.id, h("code", {}, session.id)],
    ]),
    Object.keys(session.metadata ?? {}).length > 0 && h("details", { class: "quiet", "data-key": "metadata" }, h("summary", {}, words.metadata), block(pretty(session.metadata))),
    write && h("div", { class: "actions" },
      link(words.write, to("chat", session.id), { class: "button primary" }),
      action(words.cancel, async () => {
        const { cancelled } = await post(`${path}/cancel`);
        return cancelled ? words.cancelled : words.nothingToCancel;
      }),
      action(words.end, async () => {
        if (!(await ask({ title: words.endAsk, body: words.endAbout, confirm: words.end }))) return null;
        await remove(path);
        refresh();
        return words.ended;
      }, { kind: "danger" })),
    may("admin") && h("p", {}, link(words.erase, to("users", { channel: session.channel, user: session.user_id }))),
  );
}
