// The configuration of the gateway whose page is walked through, on standard output.

const SCRIPT = [
  {
    when: "slowly",
    answers: [[
      { thinking: "The person wants a long answer, so I write it piece by piece." },
      { repeat: { text: "One more line of a slow answer. ", times: 60, every_ms: 100 } },
      { usage: { input: 120, output: 400 } },
    ]],
  },
  {
    when: "greet",
    answers: [
      [{ text: "Let me greet her. " }, { call: { name: "hello", arguments: { name: "Ada" } } }, { usage: { input: 80, output: 20 } }],
      [{ text: "**Ada** is greeted:\n\n- politely\n- by `hello`" }, { usage: { input: 140, output: 24 } }],
    ],
  },
  // What a model says stays text.
  { when: "markup", answers: [[{ text: "<img src=x onerror=alert(1)> and [a link](javascript:alert(1)), **bold**." }]] },
  {
    answers: [[
      { text: "The sky is *blue* because air scatters short waves more than long ones:\n\n1. Sunlight has all colours.\n2. Air scatters " },
      { text: "blue about four times as much as red.\n\n```\nscattering ~ 1 / wavelength^4\n```" },
      { usage: { input: 50, output: 60 } },
    ]],
  },
];

// A JSON string is a TOML string, too.
const script = JSON.stringify(JSON.stringify(SCRIPT));
process.stdout.write(`# The gateway of a test. This comment stays.
[provider]
name = "scripted"
model = "scripted-1"
[providers_config.scripted]
script = ${script}
[grants.scripted]
kv = "64KiB"
[grants.daily-digest]
kv = "16KiB"
events = { subscribe = ["session.created", "message.received", "message.sent", "tool.executed", "error.occurred"] }
[plugins_config.daily-digest]
to = "team/general"
[tools.policy]
hello = "ask"
[agent]
session_idle_secs = 36000
[hooks]
allow_private = true
[rate_limits]
other = 10000
sessions_read = 10000
sessions_write = 10000
[channels_config.team]
plugin = "webhook"
secret = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ="
reply_url = "http://127.0.0.1:${process.env.SINK}/reply"
reply_token = "reply-token"
[mcp_servers.files]
command = "/nonexistent/mcp-server"
`);
