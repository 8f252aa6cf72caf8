# For the scripts beside it, which source it.

# Reads the arguments [--short] [path to prx]: sets $short, $prx, and $home, a folder that the script removes at its end.
read_arguments() {
    short=
    [ "${1:-}" != --short ] || { short=yes && shift; }
    prx=$(realpath "${1:-target/debug/prx}")
    home=$(mktemp -d)
}

# Ends the script: what it needs is not here.
not_tested() {
    echo "NOT TESTED: $1" >&2
    exit 77
}

# Installs packages into a folder of their own; with --short that is never done. $1 says what is missing.
pip_install() {
    missing=$1
    shift
    [ -z "$short" ] || not_tested "$missing"
    if ! { python3 -m venv "$home/venv" && "$home/venv/bin/pip" install -q "$@"; } >"$home/pip" 2>&1; then
        tail -n 3 "$home/pip" >&2
        not_tested "$missing, and it can't be installed here"
    fi
}

# Sets $python: the one that $PYTHON names, if it runs $1, or one of its own with the packages that follow.
python_with() {
    python=${PYTHON:-python3}
    check=$1
    shift
    if ! "$python" -c "$check" 2>/dev/null; then
        pip_install "$python has no $*" "$@"
        python=$home/venv/bin/python
        "$python" -c "$check" || not_tested "the packages are installed, and don't do: $*"
    fi
}

# Sets $program: $1, if there is such a program, or the one of the package $2.
program_of() {
    program=$1
    if ! command -v "$program" >/dev/null; then
        pip_install "$program is not installed" "$2"
        program=$home/venv/bin/$2
    fi
}

# Starts the gateway $prx on $home/prx.toml, on a free port. Sets $gateway, its process, $url, where it listens, and $token, one for
# everything. One that doesn't come up ends the script, with its log. What it compiles is kept beside $prx, for the next script.
start_gateway() {
    compiled=$(dirname "$prx")/compiled-plugins
    mkdir -p "$home/data"
    [ ! -d "$compiled" ] || cp -r "$compiled" "$home/data/cache"
    : >"$home/log"
    "$prx" serve --port 0 --config "$home/prx.toml" --data-dir "$home/data" >>"$home/log" 2>&1 &
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
