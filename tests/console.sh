#!/bin/sh
# Walks through the page for people in a real Chromium: every page by pointer and by keyboard, wide and narrow, light and dark; a
# plugin dropped in, granted, reloaded and rolled back; a chat with a question; a dead letter; the log; a hook; and what goes wrong.
# Usage: tests/console.sh [--short] [path to prx]
# CHROMIUM names a Chromium, NODE_PATH leads to a folder with playwright-core and axe-core; otherwise these two are installed into a
# folder of their own, with --short never. Screenshots are left in target/console/.
set -eu
. "$(dirname "$0")/common.sh"

read_arguments "$@"
walk=$(realpath "$(dirname "$0")/console")
components=$(dirname "$prx")/../guests/wasm32-wasip2/guest
gateway=
trap '[ -z "$gateway" ] || kill "$gateway" 2>/dev/null || true; rm -rf "$home"' EXIT

chromium=${CHROMIUM:-chromium}
command -v "$chromium" >/dev/null || not_tested "$chromium is not installed"
command -v node >/dev/null || not_tested "node is not installed"
for name in scripted hello_tool daily_digest weather; do
    [ -f "$components/prx_$name.wasm" ] || not_tested "the examples are not built: cargo test --workspace --no-run builds them"
done
if ! node -e 'require("playwright-core"); require("axe-core")' 2>/dev/null; then
    [ -z "$short" ] || not_tested "node has no playwright-core and axe-core"
    command -v npm >/dev/null || not_tested "there is no npm"
    npm install --silent --no-fund --no-audit --prefix "$home" 'playwright-core@1' 'axe-core@4' >"$home/npm.log" 2>&1 ||
        not_tested "playwright-core and axe-core can't be installed: $(tail -n 3 "$home/npm.log")"
    export NODE_PATH="$home/node_modules"
fi

sink=$(node -e 'const server = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(server.address().port); server.close(); });')
SINK=$sink node "$walk/config.cjs" >"$home/prx.toml"
mkdir -p "$home/data/plugins"
for name in scripted hello_tool daily_digest; do
    cp "$components/prx_$name.wasm" "$home/data/plugins/$(echo "$name" | tr _ -).wasm"
done
start_gateway

shots=${CARGO_TARGET_DIR:-$(dirname "$0")/../target}/console
mkdir -p "$shots"
GATEWAY=$gateway PRX=$prx HOME_DIR=$home URL=$url TOKEN=$token SINK=$sink COMPONENTS=$components SHOTS=$(realpath "$shots") \
    CHROMIUM=$(command -v "$chromium") node "$walk/walk.cjs"
gateway=
