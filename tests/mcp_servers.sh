#!/bin/sh
# Calls every tool of the official MCP servers once, through the REST API, and shows what each says in a table; then a tool
# that holds up its whole server for long, over stdio and HTTP.
# Usage: tests/mcp_servers.sh [--short] [path to prx]
# PYTHON names a python that has `mcp`, `mcp-server-time` and `mcp-server-fetch`; NODE_MODULES is a folder that has
# `@modelcontextprotocol/server-filesystem` and `server-everything`. Otherwise they are installed into a folder of their own,
# with --short never. With --short the long tool takes 3 s instead of 50 s.
set -eu
. "$(dirname "$0")/start_gateway.sh"

short=
[ "${1:-}" != --short ] || { short=yes && shift; }
prx=$(realpath "${1:-target/debug/prx}")
home=$(mktemp -d)
gateway= far=
trap '[ -z "$far" ] || kill "$far"; [ -z "$gateway" ] || kill "$gateway"; wait; rm -rf "$home"' EXIT

not_tested() {
    echo "NOT TESTED: $1" >&2
    exit 77
}
python=${PYTHON:-python3}
if ! "$python" -c 'import mcp.server.mcpserver, mcp_server_time, mcp_server_fetch' 2>/dev/null; then
    [ -z "$short" ] || not_tested "$python has no mcp of version 2 with mcp-server-time and mcp-server-fetch"
    { python3 -m venv "$home/venv" && "$home/venv/bin/pip" install -q 'mcp>=2,<3' mcp-server-time mcp-server-fetch; } \
        >"$home/pip" 2>&1 || { tail -n 3 "$home/pip" >&2 && not_tested "the python servers can't be installed here"; }
    python=$home/venv/bin/python
fi
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
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$python" "$home/slow.py" "$port" >"$home/far.log" 2>&1 &
far=$!
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
TOML
start_gateway

SHORT="$short" FILES="$home/files" BASE="$url" TOKEN="$token" "$python" - <<'PYTHON'
import base64, concurrent.futures, http.server, json, os, threading, time, urllib.error, urllib.request

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
    ("everything.trigger-long-running-operation", {"duration": 2, "steps": 2}, "completed"),
    ("time.get_current_time", {"timezone": "Europe/Berlin"}, "Europe/Berlin"),
    ("time.convert_time", {"source_timezone": "Asia/Tokyo", "time": "12:30", "target_timezone": "Etc/UTC"}, "03:30"),
    ("fetch.fetch", {"url": f"http://127.0.0.1:{pages.server_port}/page"}, "Some words."),
]
# What can only be called as a task, which is refused in words.
TASKS = {"everything.simulate-research-query": {"topic": "tea"}}
SLOW = {"slow_stdio.hold_up", "slow_http.hold_up"}

SERVERS = {"files", "everything", "time", "fetch", "slow_stdio", "slow_http"}
def offered():
    return {tool["name"] for tool in ask("GET", "/tools")[1]["tools"]}
deadline = time.monotonic() + 120
while not SERVERS <= {name.split(".")[0] for name in offered()}:
    assert time.monotonic() < deadline, ask("GET", "/mcp/servers")
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
assert mine == known, f"not called: {sorted(mine - known)}; not there: {sorted(known - mine)}"

seconds = 3 if os.environ["SHORT"] else 50
with concurrent.futures.ThreadPoolExecutor() as pool:
    list(pool.map(lambda tool: row(tool, {"seconds": seconds}, f"held up for {seconds} s"), sorted(SLOW)))
for tool in sorted(SLOW):
    row(tool, {"seconds": 0}, "held up for 0 s")
_, servers = ask("GET", "/mcp/servers")
assert not failed, json.dumps(failed, indent=1)
assert all(server["status"] == "connected" for server in servers["servers"]), servers
PYTHON
echo "VERIFIED with every tool of server-filesystem, server-everything, mcp-server-time and mcp-server-fetch"
