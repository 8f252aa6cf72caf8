#!/usr/bin/env bash
# Does for each kind of plugin what someone does who has nothing but `prx` and Rust, in an empty folder: new, build, check,
# test, install, and what its README says to call it with. Prints how long each took, in seconds.
# Usage: tests/authors.sh [--short] [path to prx]
# It needs python3, for a platform and a model's server. With --short nothing is fetched, and only a tool is built.
set -euo pipefail
. "$(dirname "$0")/common.sh"

read_arguments "$@"
started=
trap 'kill $started 2>/dev/null || true; wait; rm -rf "$home"' EXIT
cd "$home"
command -v cargo >/dev/null || not_tested "there is no cargo"
command -v python3 >/dev/null || not_tested "there is no python3"
rustc --print target-libdir --target wasm32-wasip2 2>/dev/null | xargs test -d || not_tested "there is no wasm32-wasip2"
kinds="tool skill connector provider agent filter observer job route"
if [ -n "$short" ]; then
    kinds=tool
    export CARGO_NET_OFFLINE=true
fi
# Built once for all, as for someone who has written a plugin before; the first one shows what it costs.
export CARGO_TARGET_DIR="$home/target"

# A topic of ntfy, to which somebody has written once, and chat completions that repeat what was asked last.
cat > service.py <<'PY'
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

published = []

class Service(BaseHTTPRequestHandler):
    def answer(self, body, kind="application/json"):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/published":
            return self.answer("\n".join(published).encode(), "text/plain")
        message = {"id": "first", "time": 1, "event": "message", "message": "hello"}
        self.answer(json.dumps(message).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        if not self.path.endswith("/chat/completions"):
            published.append(body)
            return self.answer(json.dumps({"id": "own", "time": 2, "event": "message"}).encode())
        asked = [m["content"] for m in json.loads(body)["messages"] if m["role"] == "user"][-1]
        chunk = {"choices": [{"delta": {"content": "You said: " + asked}, "finish_reason": "stop"}]}
        self.answer(f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode(), "text/event-stream")

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
print(server.server_port, flush=True)
server.serve_forever()
PY
python3 service.py > port &
started=$!
until [ -s port ]; do sleep 0.1; done
service="http://127.0.0.1:$(cat port)"

lines=()
# Runs a step and notes how long it took.
step() {
    local begun=$EPOCHREALTIME
    shift
    "$@" > "$home/said" 2>&1 || { cat "$home/said" >&2; echo "FAILED: $*" >&2; exit 1; }
    printf -v line '%s %7.2f' "$line" "$(awk "BEGIN { print $EPOCHREALTIME - $begun }")"
}

# What the README of a plugin says in its code blocks of this kind.
blocks() { awk -v kind="\`\`\`$2" '$0 == kind { on = 1; next } /^```/ { on = 0 } on' "$1/README.md"; }
# The commands among them that begin like this.
commands() { blocks "$1" sh | grep "^$2" | sed "s#target/wasm32-wasip2#$CARGO_TARGET_DIR/wasm32-wasip2#"; }

prx() { command "$prx" "$@"; }
export PRX_CONFIG="$home/prx.toml" PRX_DATA_DIR="$home/data" prx
export -f prx

for kind in $kinds; do
    line=
    step new prx plugin new "my-$kind" --kind "$kind"
    (cd "my-$kind" && blocks . toml) | sed -e "s#http://127.0.0.1:8080#$service#" -e "s#phone/home#my-connector/a-topic-of-yours#" \
        -e "s#^topic = .*#&\nbase_url = \"$service\"\npoll_seconds = 1#" >> prx.toml
    cd "my-$kind"
    step build prx plugin build
    component=$(echo "$CARGO_TARGET_DIR"/wasm32-wasip2/release/plugin_my_"$kind".wasm)
    step check prx plugin check "$component"
    step test cargo test --quiet
    step try bash -c "$(commands . 'prx plugin test')"
    cd "$home"
    lines+=("$(printf '%-10s' "$kind")$line")
done

touch prx.toml
start_gateway
started="$started $gateway"
# What somebody has to have said beforehand, for a job to say something there.
answers() {
    local kind=$1
    shift
    bash -c "$(commands "my-$kind" "$1" | sed "s#localhost:3120#${url#http://}#")"
}
place=0
for kind in $kinds; do
    line=
    step install prx plugin install "$CARGO_TARGET_DIR/wasm32-wasip2/release/plugin_my_$kind.wasm"
    lines[$place]="${lines[$place]}$line"
    place=$((place + 1))
done

expect() {
    local wanted=$1
    shift
    for _ in $(seq 100); do
        ! "$@" 2>&1 | grep -q "$wanted" || return 0
        sleep 0.2
    done
    "$@" >&2 || true
    tail -n 20 "$home/log" >&2
    echo "FAILED: no \"$wanted\" in what $* says" >&2
    exit 1
}
place=0
for kind in $kinds; do
    line=
    case $kind in
    tool) step call expect 'Hello, Ada!' answers tool 'prx tool call' ;;
    skill) step call expect . answers skill 'prx chat' ;;
    connector) step call expect 'healthy  *true' answers connector 'prx channel' ;;
    provider) step call expect 'You said: Hello' answers provider 'prx chat' ;;
    agent) step call expect '1: hello' answers agent 'prx chat' ;;
    filter) step call expect '\[redacted\]' answers filter 'prx chat' ;;
    observer) step call expect 'session.created' answers observer 'prx tool call' ;;
    job)
        expect . curl -s "$service/published"
        step call answers job 'prx job'
        expect 'Since the last digest' curl -s "$service/published"
        ;;
    route) step call expect '/ext/my-route/one' answers route curl ;;
    esac
    lines[$place]="${lines[$place]}$line"
    place=$((place + 1))
done

printf '%-10s %7s %7s %7s %7s %7s %7s %7s\n' kind new build check test try install call
printf '%s\n' "${lines[@]}"
