#!/bin/sh
# Calls every tool of the official MCP servers once, through the REST API, and shows what each says in a table; then a tool
# that holds up its whole server for long, over stdio and HTTP, and one behind a login, made with the official SDK.
# Usage: tests/mcp_servers.sh [--short] [path to prx]
# PYTHON names a python that has `mcp`, `mcp-server-time` and `mcp-server-fetch`; NODE_MODULES is a folder that has
# `@modelcontextprotocol/server-filesystem` and `server-everything`. Otherwise they are installed into a folder of their own,
# with --short never. With --short the long tool takes 3 s instead of 50 s.
set -eu
. "$(dirname "$0")/common.sh"

read_arguments "$@"
gateway= far= guarded=
trap '[ -z "$far" ] || kill "$far"; [ -z "$guarded" ] || kill "$guarded"; [ -z "$gateway" ] || kill "$gateway"; wait; rm -rf "$home"' EXIT

python_with 'import mcp.server.mcpserver, mcp_server_time, mcp_server_fetch' 'mcp>=2,<3' mcp-server-time mcp-server-fetch
modules=${NODE_MODULES:-$home/node_modules}
if [ ! -d "$modules/@modelcontextprotocol/server-everything" ]; then
    [ -z "$short" ] || not_tested "NODE_MODULES has no @modelcontextprotocol/server-everything"
    command -v npm >/dev/null || not_tested "npm is not installed"
    npm install --prefix "$home" --no-audit --no-fund @modelcontextprotocol/server-filesystem \
        @modelcontextprotocol/server-everything >"$home/npm" 2>&1 ||
        { tail -n 3 "$home/npm" >&2 && not_tested "the node servers can't be installed here"; }
fi
modules=$(realpath "$modules")

cat >"$home/slow.py" <<'PY'
import sys, time
from mcp.server import MCPServer

server = MCPServer("slow")

@server.tool()
async def hold_up(seconds: int) -> str:
    """Holds up the server, pings included."""
    time.sleep(seconds)
    return f"held up for {seconds} s"

if sys.argv[1] == "stdio":
    server.run("stdio")
else:
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
PY
cat >"$home/guarded.py" <<'PY'
import secrets, sys, time
from mcp.server import MCPServer
from mcp.server.auth.provider import AccessToken, AuthorizationCode, RefreshToken, construct_redirect_uri
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions
from mcp.shared.auth import OAuthToken

URL = "http://127.0.0.1:" + sys.argv[1]

class Everyone:
    """An authorization server that lets everybody in, for two seconds at a time."""
    def __init__(self):
        self.clients, self.codes, self.access, self.refresh = {}, {}, {}, {}

    async def get_client(self, client_id):
        return self.clients.get(client_id)

    async def register_client(self, client):
        self.clients[client.client_id] = client

    async def authorize(self, client, params):
        code = AuthorizationCode(
            code=secrets.token_hex(), scopes=params.scopes or [], expires_at=time.time() + 60,
            client_id=client.client_id, code_challenge=params.code_challenge, redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly, resource=params.resource)
        self.codes[code.code] = code
        return construct_redirect_uri(str(params.redirect_uri), code=code.code, state=params.state)

    def tokens(self, client, scopes, resource):
        access, refresh = secrets.token_hex(), secrets.token_hex()
        self.access[access] = AccessToken(
            token=access, client_id=client.client_id, scopes=scopes, expires_at=int(time.time()) + 2, resource=resource)
        self.refresh[refresh] = RefreshToken(
            token=refresh, client_id=client.client_id, scopes=scopes, resource=resource)
        return OAuthToken(access_token=access, token_type="Bearer", expires_in=2, refresh_token=refresh)

    async def load_authorization_code(self, client, code):
        return self.codes.get(code)

    async def exchange_authorization_code(self, client, code):
        del self.codes[code.code]
        return self.tokens(client, code.scopes, code.resource)

    async def load_refresh_token(self, client, token):
        return self.refresh.get(token)

    async def exchange_refresh_token(self, client, token, scopes):
        del self.refresh[token.token]
        print("refreshed", flush=True)
        return self.tokens(client, scopes, token.resource)

    async def load_access_token(self, token):
        return self.access.get(token)

    async def revoke_token(self, token):
        pass

settings = AuthSettings(
    issuer_url=URL, resource_server_url=URL + "/mcp", validate_token_resource=True,
    client_registration_options=ClientRegistrationOptions(enabled=True))
server = MCPServer("guarded", auth_server_provider=Everyone(), auth=settings)

@server.tool()
def secret() -> str:
    """Tells what only those hear who are let in."""
    return "let in"

server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
PY
free_port() {
    "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
port=$(free_port)
"$python" "$home/slow.py" "$port" >"$home/far.log" 2>&1 &
far=$!
guarded_port=$(free_port)
"$python" "$home/guarded.py" "$guarded_port" >"$home/guarded.log" 2>&1 &
guarded=$!
mkdir "$home/files"
cat >"$home/prx.toml" <<TOML
[rate_limits]
enabled = false
[mcp_servers.files]
command = "node"
args = ["$modules/@modelcontextprotocol/server-filesystem/dist/index.js", "$home/files"]
[mcp_servers.everything]
command = "node"
args = ["$modules/@modelcontextprotocol/server-everything/dist/index.js"]
[mcp_servers.time]
command = "$python"
args = ["-m", "mcp_server_time"]
[mcp_servers.fetch]
command = "$python"
args = ["-m", "mcp_server_fetch", "--allow-private-ips"]
[mcp_servers.slow_stdio]
command = "$python"
args = ["$home/slow.py", "stdio"]
[mcp_servers.slow_http]
url = "http://127.0.0.1:$port/mcp"
[mcp_servers.guarded]
url = "http://127.0.0.1:$guarded_port/mcp"
TOML
start_gateway

SHORT="$short" PRX="$prx" HOME_DIR="$home" FILES="$home/files" BASE="$url" TOKEN="$token" "$python" - <<'PYTHON'
import base64, concurrent.futures, http.server, json, os, subprocess, threading, time, urllib.error, urllib.request

def ask(method, path, body=None):
    headers = {"authorization": "Bearer " + os.environ["TOKEN"], "content-type": "application/json"}
    body = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(os.environ["BASE"] + "/api/v1" + path, body, headers, method=method)
    try:
        return 200, json.load(urllib.request.urlopen(request, timeout=300))
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)

def call(tool, arguments):
    return ask("POST", f"/tools/{tool}/call", {"arguments": arguments})

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        found = self.path == "/page"
        body = b"<html><body><h1>Title</h1><p>Some words.</p></body></html>" if found else b""
        self.send_response(200 if found else 404)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

pages = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
threading.Thread(target=pages.serve_forever, daemon=True).start()
files = os.environ["FILES"]
note, moved = files + "/note.txt", files + "/moved.txt"
with open(files + "/dot.png", "wb") as picture:
    picture.write(base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="))

# Each tool with what it is called with, in order, and words of what it is to say.
CALLS = [
    ("files.write_file", {"path": note, "content": "one\ntwo\n"}, "note.txt"),
    ("files.read_file", {"path": note}, "two"),
    ("files.read_text_file", {"path": note, "head": 1}, "one"),
    ("files.read_media_file", {"path": files + "/dot.png"}, ""),
    ("files.read_multiple_files", {"paths": [note]}, "two"),
    ("files.edit_file", {"path": note, "edits": [{"oldText": "two", "newText": "three"}]}, "+three"),
    ("files.create_directory", {"path": files + "/sub"}, "sub"),
    ("files.list_directory", {"path": files}, "[FILE] note.txt"),
    ("files.list_directory_with_sizes", {"path": files}, "note.txt"),
    ("files.directory_tree", {"path": files}, "note.txt"),
    ("files.move_file", {"source": note, "destination": moved}, "moved.txt"),
    ("files.search_files", {"path": files, "pattern": "*.txt"}, "moved.txt"),
    ("files.get_file_info", {"path": moved}, "size"),
    ("files.list_allowed_directories", {}, "files"),
    ("everything.echo", {"message": "Grüß dich"}, "Grüß dich"),
    ("everything.get-annotated-message", {"messageType": "error", "includeImage": True}, "Error"),
    ("everything.get-env", {}, "PATH"),
    ("everything.get-resource-links", {"count": 2}, "resource"),
    ("everything.get-resource-reference", {"resourceType": "Text", "resourceId": 1}, "resource"),
    ("everything.get-structured-content", {"location": "Chicago"}, "temperature"),
    ("everything.get-sum", {"a": 40, "b": 2}, "42"),
    ("everything.get-tiny-image", {}, "image"),
    ("everything.gzip-file-as-resource", {"name": "a.gz", "data": "data:text/plain;base64,aGk="}, ""),
    ("everything.toggle-simulated-logging", {}, "logging"),
    ("everything.toggle-subscriber-updates", {}, "updates"),
    # Outside of a turn nobody is there to be asked.
    ("everything.trigger-elicitation-request", {}, "it wants name filled in"),
    ("everything.trigger-url-elicitation", {"url": "https://example.org/"}, "there is nobody to ask"),
    ("everything.list_resources", {}, "demo://resource/dynamic/text/{resourceId}"),
    ("everything.read_resource", {"uri": "demo://resource/dynamic/blob/1"}, "goes with the answer"),
    ("everything.list_prompts", {}, "args-prompt"),
    ("everything.get_prompt", {"name": "args-prompt", "arguments": {"city": "Paris"}}, "Paris"),
    ("everything.trigger-long-running-operation", {"duration": 2, "steps": 2}, "completed"),
    ("time.get_current_time", {"timezone": "Europe/Berlin"}, "Europe/Berlin"),
    ("time.convert_time", {"source_timezone": "Asia/Tokyo", "time": "12:30", "target_timezone": "Etc/UTC"}, "03:30"),
    ("fetch.fetch", {"url": f"http://127.0.0.1:{pages.server_port}/page"}, "Some words."),
]
# What can only be called as a task, which is refused in words.
TASKS = {"everything.simulate-research-query": {"topic": "tea"}}
SLOW = {"slow_stdio.hold_up", "slow_http.hold_up"}

# What servers have of resources and prompts beside those above: some of it is nothing.
READS = {"list_resources": {}, "list_prompts": {}, "read_resource": {"uri": "demo://none"}, "get_prompt": {"name": "none"}}

SERVERS = {"files", "everything", "time", "fetch", "slow_stdio", "slow_http"}
def offered():
    return {tool["name"] for tool in ask("GET", "/tools")[1]["tools"]}
deadline = time.monotonic() + 120
while not SERVERS <= {name.split(".")[0] for name in offered()}:
    assert time.monotonic() < deadline, ask("GET", "/mcp")
    time.sleep(0.2)

failed = []
def row(tool, arguments, wanted):
    status, said = call(tool, arguments)
    shown = said.get("content") if status == 200 else said["error"]["message"]
    shown = shown if isinstance(shown, str) else json.dumps(shown)
    good = status == 200 and not said["is_error"] and wanted in shown
    if not good:
        failed.append((tool, status, said))
    line = " ".join(shown.split())
    print(f"| {tool:42} | {'yes' if good else 'NO':3} | {line[:70] + ('…' if len(line) > 70 else '')} |")

print("| tool | as it should | what it says |\n|---|---|---|")
for tool, arguments, wanted in CALLS:
    row(tool, arguments, wanted)
for tool, arguments in TASKS.items():
    status, said = call(tool, arguments)
    refused = json.dumps(said)
    print(f"| {tool:42} | {'yes' if 'task' in refused else 'NO':3} | {refused[:100]} |")
    if "task" not in refused:
        failed.append((tool, status, said))
known = {tool for tool, *_ in CALLS} | set(TASKS) | SLOW
mine = {name for name in offered() if name.split(".")[0] in SERVERS}
for tool in sorted(mine - known):
    name = tool.split(".")[1]
    if name in READS:
        known.add(tool)
        status, said = call(tool, READS[name])
        good = status == 200 and said["is_error"] == (not name.startswith("list_"))
        print(f"| {tool:42} | {'yes' if good else 'NO':3} | {' '.join(json.dumps(said).split())[:70]} |")
        if not good:
            failed.append((tool, status, said))
assert mine == known, f"not called: {sorted(mine - known)}; not there: {sorted(known - mine)}"

# In a turn a person is asked, and says yes: within the call, and after a refusal until a page was opened.
session = ask("POST", "/sessions", {"user_id": "me"})[1]["id"]
page, first = "https://example.org/", "https://modelcontextprotocol.io/"
with concurrent.futures.ThreadPoolExecutor() as pool:
    for error_path, wanted in [("false", [page]), ("true", [first, page])]:
        words = '/tool everything.trigger-url-elicitation {"url": "%s", "errorPath": %s}' % (page, error_path)
        turn = pool.submit(ask, "POST", f"/sessions/{session}/messages", {"content": words})
        opened = []
        while not turn.done():
            for asked in ask("GET", f"/sessions/{session}/approvals")[1]["approvals"]:
                opened.append(asked["elicitation"]["url"])
                ask("POST", f"/sessions/{session}/approvals/{asked['id']}", {"decision": "allow"})
            time.sleep(0.1)
        status, reply = turn.result()
        good = status == 200 and opened == wanted and "accept" in json.dumps(reply)
        print(f"| {'in a turn, errorPath ' + error_path:42} | {'yes' if good else 'NO':3} | {' '.join(json.dumps(reply).split())[:70]} |")
        if not good:
            failed.append((opened, status, reply))

seconds = 3 if os.environ["SHORT"] else 50
with concurrent.futures.ThreadPoolExecutor() as pool:
    list(pool.map(lambda tool: row(tool, {"seconds": seconds}, f"held up for {seconds} s"), sorted(SLOW)))
for tool in sorted(SLOW):
    row(tool, {"seconds": 0}, "held up for 0 s")
assert not failed, json.dumps(failed, indent=1)

def guarded():
    return next(server for server in ask("GET", "/mcp")[1]["servers"] if server["name"] == "guarded")

def until(what, condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, (what, guarded())
        time.sleep(0.1)

until("the login to be asked for", lambda: "prx mcp login guarded" in (guarded()["error"] or ""))
home = os.environ["HOME_DIR"]
options = ["--config", home + "/prx.toml", "--data-dir", home + "/data"]
login = subprocess.Popen([os.environ["PRX"], "mcp", "login", "guarded", *options], stderr=subprocess.PIPE, text=True)
url = next(line.strip() for line in login.stderr if line.startswith("http"))
# What a browser does: it goes where it is sent, and ends at the command's own address.
urllib.request.urlopen(url, timeout=60).read()
assert login.wait(60) == 0
until("the server to be connected", lambda: guarded()["status"] == "connected")
row("guarded.secret", {}, "let in")
time.sleep(3)
row("guarded.secret", {}, "let in")
with open(home + "/guarded.log") as log:
    assert "refreshed" in log.read(), "the token has run out, and was renewed"
_, servers = ask("GET", "/mcp")
assert not failed, json.dumps(failed, indent=1)
assert all(server["status"] == "connected" for server in servers["servers"]), servers
PYTHON
echo "VERIFIED with every tool of server-filesystem, server-everything, mcp-server-time and mcp-server-fetch, and a login to a server made with the official SDK"
