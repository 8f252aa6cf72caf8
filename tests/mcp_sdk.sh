#!/bin/sh
# Holds the gateway against the official MCP SDK, both ways: servers made with it are called over stdio and HTTP, and
# its client calls the gateway.
# Usage: tests/mcp_sdk.sh [--short] [path to prx]
# PYTHON names a python that has `mcp`; otherwise it is installed into a folder of its own. With --short that is never
# done, and no server is killed to see it come back.
set -eu
. "$(dirname "$0")/common.sh"

read_arguments "$@"
started=
trap 'kill $started 2>/dev/null || true; wait; rm -rf "$home"' EXIT
cd "$home"

python_with 'from mcp.server import MCPServer' 'mcp>=2,<3'

cat > server.py <<'PY'
import sys
from mcp.server import MCPServer

server = MCPServer("sums")

@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b

if sys.argv[1] == "stdio":
    server.run("stdio")
else:
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
PY

cat > client.py <<'PY'
import asyncio, sys
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

async def main():
    token = open("token").read().strip()
    http = httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"})
    async with Client(streamable_http_client(sys.argv[1], http_client=http)) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert {"near__add", "far__add"} <= set(names), names
        for name in ("near__add", "far__add"):
            result = await client.call_tool(name, {"a": 40, "b": 2})
            assert not result.is_error and result.content[0].text == "42", result

asyncio.run(main())
PY

port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
serve_far() {
    "$python" server.py "$port" > far.log 2>&1 &
    far=$!
    started="$started $far"
}
serve_far
cat > prx.toml <<TOML
[mcp_servers.near]
command = "$python"
args = ["server.py", "stdio"]
[mcp_servers.far]
url = "http://127.0.0.1:$port/mcp"
TOML
"$prx" serve --port 0 --config prx.toml --data-dir data > prx.log 2>&1 &
gateway=$!
started="$started $gateway"

cli() { "$prx" "$@" --config prx.toml --data-dir data; }
# Waits until the named server stands as told.
stands() {
    for _ in $(seq 300); do
        cli mcp list 2>/dev/null | grep -q "^$1 .* $2 " && return
        sleep 0.2
    done
    cli mcp list || true
    tail -n 20 prx.log far.log
    echo "$1 is not $2" >&2
    exit 1
}

stands near connected
stands far connected
for server in near far; do
    test "$(cli tool call $server.add '{"a": 40, "b": 2}')" = 42
    echo "/tool $server.add {\"a\": 40, \"b\": 2}" | cli chat 2>/dev/null | grep -q 42
done
echo "called over stdio and HTTP, by themselves and in a turn"

ways='itself asked'
[ -z "$short" ] || ways=
for way in $ways; do
    kill -9 "$(pgrep -P "$gateway")"
    stands near 'reconnecting\|near .* disconnected'
    [ "$way" = itself ] || cli mcp reconnect near
    stands near connected
    kill -9 "$far"
    stands far 'reconnecting\|far .* disconnected'
    serve_far
    [ "$way" = itself ] || cli mcp reconnect far
    stands far connected
done
[ -n "$short" ] || echo "killed and back, by themselves and when asked"

cli auth token --scope tools:write > token
address=$(sed -n 's|.*listening on \(http://[0-9.:]*\).*|\1|p' prx.log | head -n 1)
"$python" client.py "$address/mcp"
echo "the SDK's client called the gateway"
