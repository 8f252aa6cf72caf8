#!/bin/sh
# Puts `llmock`, a server that breaks model clients on purpose, behind a real gateway, and has it judge each way of asking
# a model: chat completions, the Responses API and the Messages API.
# Usage: tests/llmock.sh [--short] [path to prx]
# LLMOCK names the program; otherwise it is installed into a folder of its own, with --short never. With --short only the
# scripted faults are tried, and neither the random ones nor quotas and small windows.
set -eu
. "$(dirname "$0")/common.sh"

read_arguments "$@"
gateway=
trap '[ -z "$gateway" ] || kill "$gateway"; wait; rm -rf "$home"' EXIT

program_of "${LLMOCK:-llmock}" llmock
llmock=$program

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$home/prx.toml" <<TOML
[rate_limits]
enabled = false
[provider]
name = "openai"
model = "gpt-5.4"
# Known, so that no list of models is asked for: the faults are scripted request by request.
[providers_config.openai.models."gpt-5.4"]
window = 400000
[providers_config.openai]
base_url = "http://127.0.0.1:$port/v1"
api_key = "none"
timeout_secs = 2
[providers_config.anthropic]
base_url = "http://127.0.0.1:$port/anthropic"
api_key = "none"
timeout_secs = 2
TOML
start_gateway

SHORT="$short" LLMOCK="$llmock" PORT="$port" HOME_DIR="$home" BASE="$url" TOKEN="$token" python3 - <<'PYTHON'
import concurrent.futures, contextlib, json, os, subprocess, time, urllib.error, urllib.request

MOCK = "http://127.0.0.1:" + os.environ["PORT"]
CLIENTS = {
    "chat completions": {"provider.name": "openai", "providers_config.openai.api": "chat"},
    "responses": {"provider.name": "openai", "providers_config.openai.api": "responses"},
    "messages": {"provider.name": "anthropic"},
}

def ask(method, url, body=None, headers={}):
    body = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json", **headers}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as answer:
        return answer.code, json.load(answer)

def api(method, path, body=None):
    return ask(method, os.environ["BASE"] + "/api/v1" + path, body, {"authorization": "Bearer " + os.environ["TOKEN"]})

def session(name):
    status, made = api("POST", "/sessions", {"user_id": name})
    assert status == 201, made
    return made["id"]

def say(session, text):
    return api("POST", f"/sessions/{session}/messages", {"content": text})

def answers(session, text):
    """Says something, and wants an answer."""
    status, said = say(session, text)
    assert status == 200 and said["content"].strip(), (status, said)
    return said["content"]

def script(*behaviors):
    status, answer = ask("POST", MOCK + "/_llmock/scenario", {"behaviors": behaviors})
    assert status == 201, answer

def judged(what):
    """Wants the verdict to find nothing, and forgets what it was about."""
    _, verdict = ask("GET", MOCK + "/_llmock/verdict")
    assert verdict["passed"] and not verdict["findings"], json.dumps(verdict["findings"], indent=1)
    ask("POST", MOCK + "/_llmock/reset")
    print(f"{what}: PASS, {verdict['calls']} calls, {verdict['attempts']} attempts, {verdict['faults_injected']} faults")

@contextlib.contextmanager
def mock(*options):
    log = open(os.environ["HOME_DIR"] + "/llmock.log", "a")
    command = [os.environ["LLMOCK"], "serve", "--port", os.environ["PORT"], "--log-level", "warning", *options]
    server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        while True:
            assert server.poll() is None, "llmock does not start"
            try:
                ask("GET", MOCK + "/health")
                break
            except OSError:
                time.sleep(0.1)
        yield
    finally:
        server.terminate()
        server.wait()

def clients():
    """Each way of asking, configured in turn."""
    for name, settings in CLIENTS.items():
        status, answer = api("PATCH", "/config", settings)
        assert status == 200, answer
        yield name

def fault(kind, after=3):
    return {"type": "stream_fault", "kind": kind, "after_chunks": after, "stall_seconds": 8}

# What goes away: an answer comes in the end.
PASSING = {
    "a rate limit": [{"type": "fail", "status": 429, "retry_after": 1, "times": 2}],
    "an overload": [{"type": "fail", "status": status} for status in (500, 503, 529, 408)],
    "a dropped connection": [fault("disconnect", 0), fault("disconnect")],
    "a truncated stream": [fault("truncate", 1), fault("truncate")],
    "a broken chunk": [fault("malformed")],
    "a stall": [fault("stall")],
    "a slow first token": [{"type": "slow_first_token", "seconds": 1}],
    "a call of no tool": [{"type": "tool_fault", "kind": "unknown_tool"}],
    "a call with no JSON": [{"type": "tool_fault", "kind": "malformed_arguments"}],
}
# What stays: the answer is an error, at once, and the next message is answered.
LASTING = [400, 401, 403, 404, 422]

def scripted():
    for client in clients():
        for name, behaviors in PASSING.items():
            script(*behaviors)
            answers(session(f"{client} {name}"), f"Tell me of {name}.")
        for status in LASTING:
            lasting = session(f"{client} {status}")
            script({"type": "fail", "status": status})
            failed, said = say(lasting, f"Tell me of status {status}.")
            assert failed == 502, (failed, said)
            answers(lasting, "And now?")
        judged(f"{client}, scripted faults")

def crowd(client, count, at_once):
    """So many conversations of two messages; returns how many were answered, and why the others were not."""
    def talk(number):
        own = session(f"{client} {number}")
        said = [say(own, f"Message {turn} of conversation {number}, with a few words more.") for turn in range(2)]
        return [answer["error"]["message"] for status, answer in said if status != 200]
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        failed = [message for messages in pool.map(talk, range(count)) for message in messages]
    return 2 * count - len(failed), failed

def random_faults():
    rates = {429: 0.1, 500: 0.05, 503: 0.05, 529: 0.05, 400: 0.02, 403: 0.02}
    errors = [part for status, rate in rates.items() for part in ("--error-rate", f"{status}={rate}")]
    # A random cut is before the seventh chunk. A short call of a tool has its finish reason by then, is whole, and is taken
    # by the gateway; llmock takes it for half an answer all the same. So only texts are cut at random, all of them longer:
    # cut calls are among the scripted faults.
    kinds = {
        "errors, breaks and tools": ["--stream-fault", "disconnect=0.1"],
        "errors, breaks and cuts": ["--stream-fault", "disconnect=0.05", "--stream-fault", "truncate=0.1",
                                    "--tool-mode", "off", "--response-style", "echo"],
    }
    for kind, options in kinds.items():
        with mock(*errors, *options):
            for client in clients():
                answered, failed = crowd(client, 20, 10)
                judged(f"{client}, random {kind}, {answered} of 40 answered")
                # What no retry can mend is said, and hardly anything else fails five times in a row: of 100 questions, at
                # rates of a third, about one does, and more than five in 40 turns once in some thousand runs.
                others = [message for message in failed if not message.endswith((": Bad request.", ": Forbidden."))]
                assert len(others) <= 5, others

def quotas():
    with mock("--rpm", "60", "--tool-mode", "off"):
        for client in clients():
            answered, failed = crowd(client, 33, 4)
            judged(f"{client}, 60 requests a minute, {answered} of 66 answered")
            assert answered == 66, failed

def windows():
    with mock("--context-window", "3000", "--tool-mode", "off"):
        for client in clients():
            long = session(f"{client} long")
            for turn in range(12):
                answers(long, f"Part {turn}. " + "All work and no play. " * 100)
            judged(f"{client}, a window of 3000 tokens")

# Paced, so that a client that hangs up is seen to.
with mock("--stream-chunk-delay-ms", "50"):
    scripted()
if not os.environ["SHORT"]:
    random_faults()
    quotas()
    windows()
PYTHON
echo "VERIFIED with llmock $("$llmock" --version 2>/dev/null || "${llmock%llmock}python" -c 'from importlib.metadata import version; print(version("llmock"))')"
