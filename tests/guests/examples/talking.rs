//! A connector that keeps one socket open and does on it what the other side says, in JSON with an `op`. Replies go out
//! on it too, unless there is a `reply_url` to post them to.

use std::time::Duration;

use prx_sdk::connector::{
    Commands, Connector, Context, Event, Fault, Field, Http, Inbound, Keepalive, LogLevel, Operation,
    Outcome, Pattern, Segment, Segments, Sender, SocketClosed, Status, Target, WebhookReply,
};
use serde_json::{Value, json};

/// Everything it knows is in its state: `socket`, `closed` (how the last one ended), `count` (of frames) and `posted`
/// (the reply whose answer it waits for).
pub struct Talking;

const SOCKET: u64 = 1;
const AGAIN: u64 = 2;
const POST: u64 = 3;

impl Connector for Talking {
    type Config = Value;
    type State = Value;

    fn handle(cx: &Context<Value>, state: &mut Value, event: Event, out: &mut Commands) -> Result<(), Fault> {
        let socket = state["socket"].as_u64().unwrap_or_default();
        match event {
            Event::Started | Event::Timer(AGAIN) => connect(cx, SOCKET, None, out),
            Event::WsOpen(opened) => state["socket"] = json!(opened.socket),
            Event::WsClosed(closed) if closed.token == SOCKET => {
                state["closed"] = told(&closed);
                out.status(Status::Reconnecting(closed.reason));
                out.timer(AGAIN, Duration::from_millis(50));
            }
            Event::WsClosed(closed) => say(socket, &json!({"op": "refused", "closed": told(&closed)}), out),
            Event::WsText((_, text)) => {
                state["count"] = json!(state["count"].as_u64().unwrap_or_default() + 1);
                match serde_json::from_str(&text) {
                    Ok(frame) => obey(cx, state, &frame, out),
                    Err(_) => state["broken"] = json!(text.len()),
                }
            }
            Event::WsBinary((socket, bytes)) => out.ws_send(socket, bytes),
            Event::Resumed(resumed) => {
                say(socket, &json!({"op": "resumed", "sockets": resumed.sockets}), out);
            }
            Event::Outbound(outbound) => match outbound.operation {
                Operation::Send(content) if cx.config["reply_url"] != "" => {
                    let url = cx.config["reply_url"].as_str().unwrap_or_default();
                    out.http(Http::post(url).json(&json!({"text": content.markdown})).token(POST));
                    state["posted"] = json!(outbound.id);
                }
                Operation::Send(content) => {
                    say(socket, &json!({"op": "reply", "text": content.markdown}), out);
                    out.done(outbound.id, Outcome::Ok(None));
                }
                _ => out.done(outbound.id, Outcome::Unsupported),
            },
            Event::HttpDone(done) if done.token == POST => {
                out.done(state["posted"].as_str().unwrap_or_default(), Outcome::Ok(None));
            }
            // Those that its manifest has verified.
            Event::Webhook(call) if call.headers.iter().any(|(name, _)| name == "x-slack-signature") => {
                let reply = WebhookReply { status: 200, headers: Vec::new(), body: b"heard".to_vec() };
                out.webhook_reply(call.token, reply);
            }
            Event::Stopping(stopping) => out.ws_close(socket, if stopping.final_ { 1000 } else { 4001 }),
            _ => {}
        }
        Ok(())
    }
}

prx_sdk::plugin! { connector: Talking, manifest: "talking.toml" }

fn obey(cx: &Context<Value>, state: &mut Value, frame: &Value, out: &mut Commands) {
    let socket = state["socket"].as_u64().unwrap_or_default();
    let text = |key: &str| frame[key].as_str().unwrap_or_default().to_owned();
    let number = |key: &str| frame[key].as_u64().unwrap_or_default();
    match frame["op"].as_str() {
        Some("hello") => {
            let identify = json!({"op": "identify", "token": "TOKEN", "closed": state["closed"]}).to_string();
            let (before, after) = identify.split_once("TOKEN").unwrap_or_default();
            out.ws_send(socket, Segments::text(before).secret("token").then(after));
            out.ws_keepalive(socket, keepalive(number("interval") as u32));
            out.status(Status::Connected);
        }
        Some("say") => out.deliver(Inbound {
            dedupe: text("id"),
            target: Target::conversation(text("who")),
            sender: Sender { id: text("who"), name: text("who"), is_bot: false, language: None },
            text: text("text"),
            attachments: Vec::new(),
            sent_at: cx.now,
            addressed: true,
            choice: None,
            forwarded: Vec::new(),
            group: false,
            reply_to: None,
        }),
        Some("count") => say(socket, &json!({"op": "count", "count": state["count"]}), out),
        Some("go") => connect(cx, 9, frame["url"].as_str(), out),
        Some("shout") => out.ws_send(socket, vec![Segment::Bytes(vec![7; number("bytes") as usize])]),
        Some("reveal") => out.ws_send(socket, Segments::text("").secret("other")),
        Some("work") => work(number("rounds")),
        Some("flood") => flood(number("lines"), number("timers"), number("requests"), out),
        Some("prove") => out.proof(Duration::from_millis(number("good_for")), None),
        Some("close") => out.ws_close(socket, number("code") as u16),
        _ => {}
    }
}

fn connect(cx: &Context<Value>, token: u64, url: Option<&str>, out: &mut Commands) {
    let url = url.or(cx.config["gateway_url"].as_str()).unwrap_or_default();
    let bearer = Segments::text("Bearer ").secret("token").0;
    let headers = vec![Field { name: "authorization".to_owned(), value: bearer }];
    out.ws_connect(token, Segments::text(url).then("?key=").secret("token"), headers);
}

fn keepalive(interval_ms: u32) -> Keepalive {
    Keepalive {
        interval_ms,
        first_after_ms: interval_ms / 2,
        payload: Segments::text(r#"{"op":"beat"}"#).0,
        acknowledged_by: Some(Pattern { pointer: "/op".to_owned(), equals: "\"ack\"".to_owned() }),
        missed_limit: 1,
    }
}

/// Takes its time, as a frame does that means something.
fn work(rounds: u64) {
    for round in 0..rounds {
        std::hint::black_box(round);
    }
}

/// Asks for so many of each at once.
fn flood(lines: u64, timers: u64, requests: u64, out: &mut Commands) {
    for n in 0..lines {
        out.log(LogLevel::Info, format!("line {n}\nERROR forged line\x1b[2J"));
    }
    for n in 0..timers {
        out.timer(1_000 + n, Duration::from_secs(3_600));
    }
    for n in 0..requests {
        out.http(Http::get("http://192.0.2.1/").token(1_000 + n).lane("flood"));
    }
}

fn say(socket: u64, frame: &Value, out: &mut Commands) {
    out.ws_send(socket, frame.to_string());
}

fn told(closed: &SocketClosed) -> Value {
    json!({
        "socket": closed.socket, "code": closed.code, "reason": closed.reason, "silent": closed.silent,
    })
}
