#!/bin/sh
# Has the official clients of OpenAI, in Python and in Node, talk to the agent at /v1: models, answers whole and as events, tools of
# their own, pictures, errors.
# Usage: tests/openai_api.sh [--short] [path to prx]
# PYTHON names a python that has `openai`, NODE_PATH leads to a folder with the one for Node; otherwise they are installed into a
# folder of their own, with --short never.
set -eu
. "$(dirname "$0")/common.sh"

read_arguments "$@"
gateway=
model=
trap '[ -z "$gateway" ] || kill "$gateway"; [ -z "$model" ] || kill "$model"; rm -rf "$home"' EXIT
cd "$home"

python_with 'from openai import OpenAI, NotFoundError' 'openai>=2,<3'
if ! node -e 'require("openai")' 2>/dev/null; then
    [ -z "$short" ] || not_tested "node has no openai"
    command -v npm >/dev/null || not_tested "there is no npm"
    npm install --silent --no-fund --no-audit --prefix "$home" 'openai@6' >npm.log 2>&1 || not_tested "openai can't be installed: $(tail -n 3 npm.log)"
    export NODE_PATH="$home/node_modules"
fi

# A model that says what it was told, and calls the tool `look` when it is asked to.
cat >model.py <<'PYTHON'
import http.server, json

class Model(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        last = body["messages"][-1]
        content = last["content"] if isinstance(last["content"], str) else " ".join(
            part.get("text", "[picture]") for part in last["content"])
        names = [tool["function"]["name"] for tool in body.get("tools", [])]
        if last["role"] == "tool":
            deltas = [{"content": "There is "}, {"content": content}]
        elif "look" in names and "look" in content:
            function = {"name": "look", "arguments": json.dumps({"at": "it"})}
            deltas = [{"tool_calls": [{"index": 0, "id": "call_7", "type": "function", "function": function}]}]
        else:
            deltas = [{"content": "You said: "}, {"content": content}]
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        reason = "tool_calls" if "tool_calls" in deltas[0] else "stop"
        chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        chunks.append({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})
        for chunk in chunks:
            self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model)
print(server.server_port, flush=True)
server.serve_forever()
PYTHON
"$python" model.py >port 2>model.log &
model=$!
until [ -s port ]; do sleep 0.1; done

cat >prx.toml <<TOML
[provider]
name = "openai"
model = "any"
[providers_config.openai]
base_url = "http://127.0.0.1:$(cat port)/v1"
[rate_limits]
sessions_write = 1000
TOML
start_gateway

BASE="$url/v1" TOKEN="$token" "$python" - <<'PYTHON'
import json, os
from openai import AuthenticationError, BadRequestError, NotFoundError, OpenAI

client = OpenAI(base_url=os.environ["BASE"], api_key=os.environ["TOKEN"], max_retries=0)
assert [model.id for model in client.models.list()] == ["default"]
assert client.models.retrieve("default").object == "model"

def ask(messages, **more):
    return client.chat.completions.create(model="default", messages=messages, **more)

hi = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
answer = ask(hi, temperature=0.5, max_tokens=100)
assert answer.choices[0].message.content == "You said: Hi", answer
assert answer.choices[0].finish_reason == "stop" and answer.usage.total_tokens == 10, answer

chunks = list(ask(hi, stream=True, stream_options={"include_usage": True}))
said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
assert said == "You said: Hi" and chunks[-1].usage.completion_tokens == 3, chunks
with client.chat.completions.stream(model="default", messages=hi) as stream:
    assert stream.get_final_completion().choices[0].message.content == "You said: Hi"

tools = [{"type": "function", "function": {"name": "look", "parameters": {
    "type": "object", "properties": {"at": {"type": "string"}}}}}]
for streams in (False, True):
    messages = [{"role": "user", "content": "look"}]
    if streams:
        with client.chat.completions.stream(model="default", messages=messages, tools=tools) as stream:
            message = stream.get_final_completion().choices[0].message
    else:
        message = ask(messages, tools=tools).choices[0].message
    [call] = message.tool_calls
    assert call.function.name == "look" and json.loads(call.function.arguments) == {"at": "it"}, call
    call = {"id": call.id, "type": "function",
            "function": {"name": call.function.name, "arguments": call.function.arguments}}
    messages += [{"role": "assistant", "content": message.content, "tool_calls": [call]},
                 {"role": "tool", "tool_call_id": call["id"], "content": "a dot"}]
    assert ask(messages, tools=tools).choices[0].message.content == "There is a dot"

dot = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
picture = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": dot}}]
answer = ask([{"role": "user", "content": picture}]).choices[0].message.content
assert "[picture]" in answer and "What is it?" in answer, answer

first = ask([{"role": "user", "content": "A"}], user="ada")
raw = client.chat.completions.with_raw_response.create(
    model="default", messages=[{"role": "user", "content": "B"}], user="ada")
assert raw.headers["x-session-id"].startswith("sess_") and raw.parse().choices[0].message.content == "You said: B"

def fails(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise SystemExit(f"no {kind.__name__}")

error = fails(NotFoundError, lambda: client.chat.completions.create(model="gpt-5", messages=hi))
assert error.code == "model_not_found" and error.param == "model", error
error = fails(BadRequestError, lambda: ask(hi, n=2))
assert error.param == "n", error
wrong = OpenAI(base_url=os.environ["BASE"], api_key="wrong", max_retries=0)
fails(AuthenticationError, wrong.models.list)
print("the client in Python: models, answers, events, tools, pictures, sessions, errors")
PYTHON

cat >client.cjs <<'NODE'
const assert = require("assert");
const OpenAI = require("openai");
const client = new OpenAI({ baseURL: process.env.BASE, apiKey: process.env.TOKEN });

(async () => {
  const models = [];
  for await (const model of client.models.list()) models.push(model.id);
  assert.deepStrictEqual(models, ["default"]);
  const ask = (messages, more) => client.chat.completions.create({ model: "default", messages, ...more });
  const hi = [{ role: "user", content: "Hi" }];
  const answer = await ask(hi);
  assert.strictEqual(answer.choices[0].message.content, "You said: Hi");
  let said = "";
  let usage;
  for await (const chunk of await ask(hi, { stream: true, stream_options: { include_usage: true } })) {
    said += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.deepStrictEqual([said, usage.total_tokens], ["You said: Hi", 10]);
  // It calls the tool by itself, and sends what came of it.
  const look = { name: "look", parameters: { type: "object", properties: {} }, parse: JSON.parse, function: () => "a dot" };
  const runner = client.chat.completions.runTools({
    model: "default", messages: [{ role: "user", content: "look" }], tools: [{ type: "function", function: look }],
  });
  assert.strictEqual(await runner.finalContent(), "There is a dot");
  await assert.rejects(ask(hi, { model: "gpt-5" }), (error) => error.status === 404 && error.code === "model_not_found");
  console.log("the client in Node: models, answers, events, tools, errors");
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
NODE
BASE="$url/v1" TOKEN="$token" node client.cjs
