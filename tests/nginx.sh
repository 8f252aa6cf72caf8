#!/bin/sh
# Puts nginx with its defaults in front of a real gateway: streams arrive as they are made, health stays green under a flood of
# strangers, and X-Forwarded-For is believed from a trusted proxy only.
# Usage: tests/nginx.sh [--short] [path to prx]
# It needs nginx and python3, and no rights.
set -eu
. "$(dirname "$0")/common.sh"

read_arguments "$@"
gateway= proxy=
trap '[ -z "$proxy" ] || kill "$proxy"; [ -z "$gateway" ] || kill "$gateway"; wait; rm -rf "$home"' EXIT
nginx=$(PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v nginx) || not_tested "nginx is not installed"

: >"$home/prx.toml"
start_gateway
base=${url#http://}
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

cat >"$home/nginx.conf" <<CONF
pid $home/nginx.pid;
daemon off;
events {}
http {
    access_log off;
    client_body_temp_path $home/body;
    proxy_temp_path $home/proxy;
    fastcgi_temp_path $home/fastcgi;
    uwsgi_temp_path $home/uwsgi;
    scgi_temp_path $home/scgi;
    server {
        listen 127.0.0.1:$port;
        location / {
            proxy_pass http://$base;
            proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for;
        }
    }
}
CONF
"$nginx" -e "$home/error.log" -p "$home" -c "$home/nginx.conf" 2>"$home/nginx.err" &
proxy=$!

PRX="$prx" HOME_DIR="$home" DIRECT="$base" PROXY="127.0.0.1:$port" TOKEN="$token" python3 - <<'PYTHON'
import http.client, json, os, subprocess, threading, time

token = {"authorization": "Bearer " + os.environ["TOKEN"], "content-type": "application/json"}

def ask(where, method, path, headers={}, body=None, source="127.0.0.1"):
    connection = http.client.HTTPConnection(where, timeout=60, source_address=(source, 0))
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status

def refused(where, headers, source="127.0.0.1"):
    """Whether requests without a token, as fast as they go, become too many."""
    statuses = (ask(where, "GET", "/api/v1/sessions", headers(n), source=source) for n in range(3000))
    return any(status == 429 for status in statuses)

direct, proxy = os.environ["DIRECT"], os.environ["PROXY"]
for _ in range(600):
    try:
        assert ask(proxy, "GET", "/livez") == 200
        break
    except OSError:
        time.sleep(0.1)

def follow(where, method, path, body=None):
    """A stream, which stays open."""
    connection = http.client.HTTPConnection(where, timeout=60)
    connection.request(method, path, body, {**token, "accept": "text/event-stream"})
    stream = connection.getresponse()
    assert stream.status == 200 and stream.getheader("cache-control") == "no-cache", stream.headers
    return stream

def read_until(stream, word):
    line = stream.readline()
    while word not in line:
        assert line, f"the stream has ended before {word}"
        line = stream.readline()

events = follow(proxy, "GET", "/api/v1/events")
logs = follow(proxy, "GET", "/api/v1/logs/stream?level=info")
assert ask(proxy, "POST", "/api/v1/sessions", token, json.dumps({"user_id": "ada"})) == 201
read_until(events, b"session.created")
read_until(logs, b"/api/v1/sessions")
print("verified: events and lines of the log arrive while their streams are open")

connection = http.client.HTTPConnection(proxy, timeout=60)
connection.request("POST", "/api/v1/sessions", json.dumps({"user_id": "ada"}), token)
session = json.load(connection.getresponse())["id"]
said = json.dumps({"content": "Hello"})
for where, path, method, body in [
    (direct, "/api/v1/events", "GET", None),
    (direct, "/api/v1/logs/stream", "GET", None),
    (direct, f"/api/v1/sessions/{session}/messages", "POST", said),
]:
    # nginx takes this header to itself: that a stream comes through shows it, and a turn is over too soon to show it.
    stream = follow(where, method, path, body)
    assert stream.getheader("x-accel-buffering") == "no", (path, stream.headers)
read_until(follow(proxy, "POST", f"/api/v1/sessions/{session}/messages", said), b"event: done")
print("verified: the tokens of a turn arrive, unbuffered")

flooding, refusals = threading.Event(), []
def flood():
    while not flooding.is_set():
        status = ask(proxy, "POST", "/api/v1/sessions", {"content-type": "application/json"}, "{}")
        assert status in (401, 429), status
        refusals.append(status)
threads = [threading.Thread(target=flood) for _ in range(4)]
for thread in threads:
    thread.start()
health = [ask(proxy, "GET", "/api/v1/status/health") for _ in range(100)]
flooding.set()
for thread in threads:
    thread.join()
assert health == [200] * 100, health
assert 429 in refusals, f"a flood is too many: {len(refusals)} requests"
print("verified: health is green under a flood of strangers from the same address")

def forged(n):
    return {"x-forwarded-for": f"198.51.100.{n % 250}"}

assert refused(direct, forged), "a stranger's X-Forwarded-For is believed"
assert refused(proxy, forged), "behind a proxy that nobody trusts, everyone has its address"
command = [os.environ["PRX"], "--config", os.environ["HOME_DIR"] + "/prx.toml"]
command += ["--data-dir", os.environ["HOME_DIR"] + "/data", "config", "set", "gateway.trusted_proxies", "127.0.0.1"]
subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
assert refused(proxy, forged, "127.0.0.2"), "what stands before the proxy's own word is believed"
assert ask(proxy, "GET", "/api/v1/sessions", source="127.0.0.3") == 401, "another's flood counts for this one"
assert refused(direct, forged, "127.0.0.4"), "who is no proxy is believed"
print("verified: X-Forwarded-For counts from a trusted proxy, as far as it has seen itself")
PYTHON
echo "VERIFIED with $("$nginx" -v 2>&1)"
