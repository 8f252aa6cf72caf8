#!/bin/sh
# Builds the tools in Python and JavaScript with the toolchains of those languages, and calls them in a real gateway.
# Usage: tests/languages.sh [--short] [path to prx]
# PYTHON names a python that has componentize-py, NODE_PATH leads to a folder with @bytecodealliance/componentize-js; otherwise
# they are installed into a folder of their own, with --short never.
set -eu
. "$(dirname "$0")/common.sh"

read_arguments "$@"
top=$(realpath "$(dirname "$0")/..")
gateway=
origin=
trap '[ -z "$gateway" ] || kill "$gateway"; [ -z "$origin" ] || kill "$origin"; rm -rf "$home"' EXIT

python_with 'import componentize_py' 'componentize-py==0.25.1'
command -v node >/dev/null || not_tested "node is not installed"
modules=${NODE_PATH:-$home/node_modules}
if [ ! -d "$modules/@bytecodealliance/componentize-js" ]; then
    [ -z "$short" ] || not_tested "node has no componentize-js"
    command -v npm >/dev/null || not_tested "there is no npm"
    npm install --silent --no-fund --no-audit --prefix "$home" '@bytecodealliance/componentize-js@0.23' >"$home/npm.log" 2>&1 ||
        not_tested "componentize-js can't be installed: $(tail -n 3 "$home/npm.log")"
    modules=$home/node_modules
fi

# A folder as its author has it, with the interfaces beside it.
laid_down() {
    cp -r "$top/examples/$1" "$home/$1"
    mkdir -p "$home/$1/wit/deps/prx-plugin"
    cp "$top"/wit/*.wit "$home/$1/wit/deps/prx-plugin/"
    cp "$home/$1/world.wit" "$home/$1/wit/"
    cd "$home/$1"
}

printf 'Hello\n' >"$home/page"
"$python" -m http.server --bind 127.0.0.1 --directory "$home" 0 >"$home/origin" 2>&1 &
origin=$!
until port=$(sed -n 's/.*port \([0-9]*\).*/\1/p' "$home/origin") && [ -n "$port" ]; do
    kill -0 "$origin"
    sleep 0.1
done

mkdir -p "$home/data/plugins"
laid_down python-tool
"$(dirname "$python")/componentize-py" -d wit -w plugin componentize app -o app.wasm
"$prx" plugin build --component app.wasm --output "$home/data/plugins/python-tool.wasm" .
laid_down javascript-tool
ln -s "$modules" node_modules
sed -i "s|https://example.org|http://127.0.0.1:$port|" plugin.toml
node build.mjs
"$prx" plugin build --component app.wasm --output "$home/data/plugins/javascript-tool.wasm" .
cd "$top"

printf '[rate_limits]\nenabled = false\n[grants.javascript-tool]\nhttp = ["http://127.0.0.1:%s"]\n' "$port" >"$home/prx.toml"
start_gateway
BASE="$url" TOKEN="$token" PAGE="http://127.0.0.1:$port/page" "$python" - <<'PYTHON'
import concurrent.futures, json, os, statistics, time, urllib.error, urllib.request

def call(tool, arguments):
    headers = {"authorization": "Bearer " + os.environ["TOKEN"], "content-type": "application/json"}
    url = f"{os.environ['BASE']}/api/v1/tools/{tool}/call"
    request = urllib.request.Request(url, json.dumps({"arguments": arguments}).encode(), headers)
    try:
        return json.load(urllib.request.urlopen(request))
    except urllib.error.HTTPError as error:
        return json.load(error)

page = os.environ["PAGE"]
tools = {"sum_amounts": {"amounts": ["0.10", "0.20"]}, "page_status": {"url": page}}
assert call("sum_amounts", tools["sum_amounts"])["content"] == "0.30"
refused = call("sum_amounts", {"amounts": ["12,50"]})
assert "'12,50' is no amount" in json.dumps(refused), refused
assert call("page_status", tools["page_status"])["content"] == "200, 6 bytes"
elsewhere = call("page_status", {"url": "https://example.com/"})
assert "can't be reached" in json.dumps(elsewhere), elsewhere

def timed(tool):
    began = time.monotonic()
    answer = call(tool, tools[tool])
    assert not answer.get("is_error") and "error" not in answer, answer
    return time.monotonic() - began

for tool in tools:
    for callers in (1, 8):
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(callers) as pool:
            took = list(pool.map(timed, [tool] * 160))
        rate = len(took) / (time.monotonic() - began)
        print(f"{tool}: {callers} at a time: {rate:.0f}/s, median {statistics.median(took) * 1000:.1f} ms")
PYTHON
echo "CALLED: $(ls -l "$home/data/plugins" | awk '/wasm$/ { printf "%s %.1f MB  ", $9, $5 / 1e6 }')"
