# For the scripts beside it, which source it.

# Starts the gateway $prx on $home/prx.toml, on a free port. Sets $gateway, its process, $url, where it listens, and $token, one for
# everything. One that doesn't come up ends the script, with its log. What it compiles is kept beside $prx, for the next script.
start_gateway() {
    compiled=$(dirname "$prx")/compiled-plugins
    mkdir -p "$home/data"
    [ ! -d "$compiled" ] || cp -r "$compiled" "$home/data/cache"
    "$prx" serve --port 0 --config "$home/prx.toml" --data-dir "$home/data" >"$home/log" 2>&1 &
    gateway=$!
    waited=0
    until url=$(sed -n 's/^listening on \(http[^ ]*\).*/\1/p' "$home/log") && [ -n "$url" ]; do
        waited=$((waited + 1))
        if [ "$waited" -gt 3000 ] || ! kill -0 "$gateway"; then
            cat "$home/log" >&2
            exit 1
        fi
        sleep 0.1
    done
    rm -rf "$compiled"
    cp -r "$home/data/cache" "$compiled"
    token=$("$prx" auth token --config "$home/prx.toml" --data-dir "$home/data")
}
