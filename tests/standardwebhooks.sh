#!/bin/sh
# Delivers a webhook from a real gateway to a receiver that verifies it with the official `standardwebhooks` library.
# Usage: tests/standardwebhooks.sh [--short] [path to prx]
# PYTHON names a python that has the library; otherwise it is installed into a folder of its own, with --short never.
set -eu
. "$(dirname "$0")/common.sh"

read_arguments "$@"
gateway=
trap '[ -z "$gateway" ] || kill "$gateway"; rm -rf "$home"' EXIT

python_with 'import standardwebhooks' standardwebhooks

printf '[hooks]\nallow_private = true\n' >"$home/prx.toml"
start_gateway

BASE="$url" TOKEN="$token" "$python" - <<'PYTHON'
import base64, http.server, json, os, queue, urllib.request
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

received = queue.Queue()

class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        received.put((self.path, body, dict(self.headers)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass

def call(path, body):
    headers = {"authorization": "Bearer " + os.environ["TOKEN"], "content-type": "application/json"}
    request = urllib.request.Request(os.environ["BASE"] + "/api/v1" + path, json.dumps(body).encode(), headers)
    return json.load(urllib.request.urlopen(request))

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
__import__("threading").Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"

secrets = {
    "/made": call("/hooks", {"url": url + "/made", "events": ["*"]})["secret"],
    "/base64": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "/raw": "correct horse battery staple",
}
for path in ("/base64", "/raw"):
    call("/hooks", {"url": url + path, "events": ["session.created"], "secret": secrets[path]})
call("/sessions", {"channel": "api", "user_id": "ada"})

while secrets:
    path, body, headers = received.get(timeout=30)
    secret = secrets.pop(path)
    # The library takes base64 alone; raw bytes are given to it in that form.
    key = secret if secret.startswith("whsec_") else base64.b64encode(secret.encode()).decode()
    verified = Webhook(key).verify(body, headers)
    assert verified["type"] == "session.created", verified
    try:
        Webhook(key).verify(body.replace(b"ada", b"eve"), headers)
        raise SystemExit("a changed body was verified")
    except WebhookVerificationError:
        print("verified", path, headers["webhook-id"])
PYTHON
echo "VERIFIED with standardwebhooks $("$python" -c 'from importlib.metadata import version; print(version("standardwebhooks"))')"
