#!/bin/sh
# Puts nginx with its defaults in front of a real gateway: streams arrive as they are made, health stays green under a flood of
# strangers, and X-Forwarded-For is believed from a trusted proxy only.
# Usage: tests/nginx.sh [--short] [path to prx]
# It needs nginx and python3, and no rights.
set -eu
. "$(dirname "$0")/start_gateway.sh"

[ "${1:-}" != --short ] || shift
prx=$(realpath "${1:-target/debug/prx}")
nginx=$(PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v nginx) || {
    echo "NOT VERIFIED: nginx is not installed" >&2
    exit 77
}
home=$(mktemp -d)
gateway= proxy=
trap '[ -z "$proxy" ] || kill "$proxy"; [ -z "$gateway" ] || kill "$gateway"; wait; rm -rf "$home"' EXIT

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

stream = http.client.HTTPConnection(proxy, timeout=60)
stream.request("GET", "/api/v1/events", headers=token)
events = stream.getresponse()
assert events.status == 200 and events.getheader("cache-control") == "no-cache", events.headers
# nginx takes this one to itself; that the stream comes through shows it.
assert ask(proxy, "POST", "/api/v1/sessions", token, json.dumps({"user_id": "ada"})) == 201
line = events.readline()
while b"session.created" not in line:
    assert line, "the stream has ended before its first event"
    line = events.readline()
print("verified: an event arrives while its stream is open")

flooding = threading.Event()
def flood():
    while not flooding.is_set():
        ask(proxy, "POST", "/api/v1/sessions", {"content-type": "application/json"}, "{}")
threads = [threading.Thread(target=flood) for _ in range(4)]
for thread in threads:
    thread.start()
health = [ask(proxy, "GET", "/api/v1/status/health") for _ in range(100)]
flooding.set()
for thread in threads:
    thread.join()
assert health == [200] * 100, health
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
