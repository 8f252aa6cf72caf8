// One tool, with a form to call it by.

import { get, post, seg } from "../lib/api.js";
import { may } from "../lib/auth.js";
import { fill, h } from "../lib/dom.js";
import { milliseconds, pretty } from "../lib/format.js";
import { live } from "../lib/live.js";
import { to } from "../lib/router.js";
import { text } from "../text.js";
import { schemaForm } from "../ui/form.js";
import { badge, block, empty, facts, head, lacking, run, section } from "../ui/parts.js";
import { attachment } from "../ui/transcript.js";

const words = text.tool;

export function show(context) {
  const { name } = context.params;
  const caller = h("div");
  let schema = null;
  const part = live(context, {
    load: async (signal) => (await get("tools", null, { signal })).tools.find((tool) => tool.name === name),
    draw: (tool) => {
      if (!tool) return empty(words.gone, words.goneAbout);
      // The form stays as it is while something is typed, unless the tool takes something else by now.
      const now = JSON.stringify(tool.parameters);
      if (now !== schema) fill(caller, drawCaller(tool));
      schema = now;
      return [drawTool(tool), caller];
    },
    on: ["plugin."],
  });
  return [head(name, { back: { href: to("tools"), label: text.tools.title } }), part.element];
}

function drawTool({ description, source, policy, read_only: readOnly, problem, parameters }) {
  return [
    h("p", { class: "about plain-text" }, description),
    facts([
      [words.source, source],
      [words.policy, [badge(policy, text.tools.policies[policy])]],
      [words.effect, readOnly ? words.reads : words.changes],
      [words.problem, problem && h("span", { class: "wrong" }, problem)],
    ]),
    h("details", { class: "quiet", "data-key": "schema" }, h("summary", {}, words.schema), block(pretty(parameters))),
  ];
}

function drawCaller({ name, parameters }) {
  if (!may("tools:write")) return section(words.call, lacking(text.lacksScope("tools:write")));
  const form = schemaForm(parameters);
  const result = h("div", { class: "result", "aria-live": "polite" });
  const send = h("button", { type: "submit", class: "primary" }, words.run);
  const onsubmit = (event) => {
    event.preventDefault();
    run(send, async () => {
      const given = form.read();
      fill(result, h("p", { class: "waiting" }, words.running));
      const began = performance.now();
      try {
        const answer = await post(`tools/${seg(name)}/call`, { arguments: given });
        fill(result, drawResult(answer, performance.now() - began));
        return answer.is_error ? null : words.done;
      } catch (error) {
        fill(result, h("p", { class: "wrong", role: "alert" }, error.message));
        return null;
      }
    });
  };
  return section(words.call, h("form", { class: "card fields", onsubmit, novalidate: true }, form.element, h("div", { class: "actions" }, send), result));
}

function drawResult({ content, structured, is_error: isError, attachments = [] }, ms) {
  return [
    h("p", {}, badge(isError ? "failed" : "done", isError ? words.failed : words.done), h("span", { class: "faint" }, ` ${milliseconds(ms)}`)),
    content && block(content),
    structured && h("details", { class: "quiet" }, h("summary", {}, words.structured), block(pretty(structured))),
    attachments.map(attachment),
  ];
}
