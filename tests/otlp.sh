#!/bin/sh
# Sends the traces of a real gateway to a receiver that reads them with OpenTelemetry's own definitions of OTLP.
# Usage: tests/otlp.sh [--short] [path to prx]
# PYTHON names a python that has the package opentelemetry-proto; otherwise it is installed into a folder of its own, with
# --short never.
set -eu
. "$(dirname "$0")/common.sh"

read_arguments "$@"
gateway=
receiver=
trap '[ -z "$gateway" ] || kill "$gateway"; [ -z "$receiver" ] || kill "$receiver"; rm -rf "$home"' EXIT

python_with 'import opentelemetry.proto.collector.trace.v1.trace_service_pb2' opentelemetry-proto

cat >"$home/receiver.py" <<'PYTHON'
import http.server, json, sys
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        assert self.path == "/v1/traces" and self.headers["content-type"] == "application/x-protobuf", self.headers
        request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
        for resource in request.resource_spans:
            about = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    # What this version of the definitions doesn't know would be lost on the way there and back.
                    assert type(span).FromString(span.SerializeToString()) == span
                    named = {pair.key: MessageToDict(pair.value) for pair in span.attributes}
                    print(json.dumps({
                        "service": about["service.name"], "scope": scope.scope.name, "trace": span.trace_id.hex(),
                        "id": span.span_id.hex(), "parent": span.parent_span_id.hex(), "name": span.name,
                        "kind": span.kind, "took": span.end_time_unix_nano - span.start_time_unix_nano,
                        "attributes": named,
                    }), flush=True)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_port, flush=True)
server.serve_forever()
PYTHON
"$python" "$home/receiver.py" >"$home/spans" 2>"$home/receiver.log" &
receiver=$!
until [ -s "$home/spans" ]; do
    kill -0 "$receiver" || { cat "$home/receiver.log" >&2; exit 1; }
    sleep 0.1
done
port=$(head -n 1 "$home/spans")
printf '[telemetry]\notlp_endpoint = "http://127.0.0.1:%s"\n' "$port" >"$home/prx.toml"
start_gateway

BASE="$url" TOKEN="$token" SPANS="$home/spans" "$python" - <<'PYTHON'
import json, os, time, urllib.request

def call(path, body, **headers):
    headers |= {"authorization": "Bearer " + os.environ["TOKEN"], "content-type": "application/json"}
    request = urllib.request.Request(os.environ["BASE"] + "/api/v1" + path, json.dumps(body).encode(), headers)
    return json.load(urllib.request.urlopen(request))

session = call("/sessions", {"user_id": "ada"})["id"]
trace, caller = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
call(f"/sessions/{session}/messages", {"content": "one"}, traceparent=f"00-{trace}-{caller}-01")
call(f"/sessions/{session}/messages", {"content": "two"})
for _ in range(300):
    with open(os.environ["SPANS"]) as file:
        spans = [json.loads(line) for line in file.readlines()[1:]]
    if len(spans) >= 4:
        break
    time.sleep(0.1)
turns = [span for span in spans if span["name"] == "invoke_agent default"]
assert len(spans) == 4 and len(turns) == 2, spans
assert (turns[0]["trace"], turns[0]["parent"], turns[1]["parent"]) == (trace, caller, ""), turns
assert turns[1]["trace"] != trace and turns[1]["trace"] != "0" * 32, turns
for turn in turns:
    [chat] = [span for span in spans if span["parent"] == turn["id"] and span["trace"] == turn["trace"]]
    assert (turn["service"], turn["scope"], turn["kind"], chat["kind"]) == ("prx", "prx", 1, 3), (turn, chat)
    assert 0 < chat["took"] <= turn["took"], (turn, chat)
    assert turn["attributes"]["gen_ai.conversation.id"] == {"stringValue": session}, turn
    assert chat["attributes"]["gen_ai.usage.output_tokens"].keys() == {"intValue"}, chat
    assert chat["attributes"]["gen_ai.response.finish_reasons"] == {"arrayValue": {"values": [{"stringValue": "stop"}]}}, chat
    print("received", turn["trace"], turn["name"], ">", chat["name"])
PYTHON
[ ! -s "$home/receiver.log" ] || { cat "$home/receiver.log" >&2; exit 1; }
echo "RECEIVED with opentelemetry-proto $("$python" -c 'from importlib.metadata import version; print(version("opentelemetry-proto"))')"
