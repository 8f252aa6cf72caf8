#!/bin/sh
# Holds a gateway of its own against its OpenAPI document: no 5xx, no undocumented status, no schema mismatch.
# Usage: tests/schemathesis.sh [--short] [path to prx] [further arguments to schemathesis]
# With --short it asks less, and installs nothing.
set -eu
. "$(dirname "$0")/common.sh"

short=
examples=30
seconds=300
if [ "${1:-}" = --short ]; then
    short=yes
    examples=2
    seconds=60
    shift
fi
prx=$(realpath "${1:-target/debug/prx}")
[ $# -eq 0 ] || shift
home=$(mktemp -d)
gateway=
trap '[ -z "$gateway" ] || kill "$gateway" 2>/dev/null || true; rm -rf "$home"' EXIT INT TERM

program_of "${SCHEMATHESIS:-schemathesis}" schemathesis
tool=$program

# What there is to ask about: a channel and a server that nobody answers at, hooks, a delivery, a session.
cat > "$home/prx.toml" <<'END'
[rate_limits]
enabled = false
[hooks]
allow_private = true
[channels_config.telegram]
bot_token = "1:unknown"
allowed_users = []
api_base = "http://127.0.0.1:9"
[mcp_servers.files]
url = "http://127.0.0.1:9/mcp"
END
start_gateway

post() {
    curl -fsS -H "Authorization: Bearer $token" -H 'Content-Type: application/json' "$url/api/v1/$1" -d "$2"
}
id() {
    sed 's/.*"id":"\([^"]*\)".*/\1/'
}
hook=$(post hooks '{"url": "http://127.0.0.1:9/", "events": ["plugin.failed"]}' | id)
other=$(post hooks '{"url": "http://127.0.0.1:9/", "events": ["plugin.failed"]}' | id)
delivery=$(post "hooks/$hook/test" '{}' | id)
session=$(post sessions '{}' | id)

# Left out: what would revoke its own token or switch its provider off, files that can't be made up, streams without
# an end, and MCP, which is a protocol of its own. That a URL or a setting is one that is accepted, arguments those of
# one tool, a text of so many bytes, or a message one that is there, no schema can say; and of names the generator makes
# some that their pattern rules out. And an answer that was kept under an idempotency key may tell of something that was
# removed since.
cat > "$home/schemathesis.toml" <<END
[[operations]]
include-operation-id = ["post_hooks_id_test", "post_hooks_id_deliveries_delivery_replay"]
parameters = { id = "$hook", delivery = "$delivery" }

[checks.ensure_resource_availability]
enabled = false

[[operations]]
include-operation-id = "delete_hooks_id"
parameters = { id = "$other" }

[[operations]]
include-operation-id = ["get_channels_name_health", "post_channels_name_restart"]
parameters = { name = "telegram" }

[[operations]]
include-operation-id = "post_mcp_name_reconnect"
parameters = { name = "files" }

[[operations]]
include-operation-id = "get_logs"
parameters = { stream = "false" }
checks.negative_data_rejection.enabled = false

[[operations]]
include-operation-id = ["post_sessions", "post_auth_tokens", "post_hooks", "patch_hooks_id", "patch_config", "post_memory", "post_tools_name_call", "put_plugins_name_grants", "post_mcp_name_login_complete"]
checks.positive_data_acceptance.enabled = false

# In a session of its own making, which may name a model that there is not: then no answer comes.
[[operations]]
include-operation-id = "post_sessions_id_messages"
parameters = { id = "$session" }

[[operations]]
include-operation-id = "get_sessions_id_messages"
parameters = { id = "$session" }
checks.positive_data_acceptance.enabled = false

# The model stand-in, whose models are known without asking a server.
[[operations]]
include-operation-id = "get_providers_name_models"
parameters = { name = "local" }

[[operations]]
include-operation-id = "get_hooks_id_deliveries"
parameters = { id = "$hook" }
checks.positive_data_acceptance.enabled = false
END
cd "$home"
"$tool" run "$url/api/v1/openapi.json" --url "$url" --header "Authorization: Bearer $token" \
    --max-examples "${EXAMPLES:-$examples}" --max-time "${SECONDS_AT_MOST:-$seconds}" --continue-on-failure --no-color \
    --exclude-path '/api/v1/auth/tokens/{id}' --exclude-path /mcp \
    --exclude-operation-id post_plugins --exclude-operation-id put_plugins_name \
    --exclude-operation-id post_plugins_name_disable \
    --exclude-operation-id get_events --exclude-operation-id get_logs_stream \
    "$@"
