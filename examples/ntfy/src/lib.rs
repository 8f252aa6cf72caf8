//! Connector for [ntfy](https://ntfy.sh): one topic is one conversation.
//!
//! It asks for what was published since the last message (<https://docs.ntfy.sh/subscribe/api/>) and publishes replies
//! (<https://docs.ntfy.sh/publish/>). What it publishes bears the tag `prx`, by which it knows its own words again.
//! Replies beyond the 4,096 bytes of a message are made into attachments by the server.

use std::time::Duration;

use prx_sdk::connector::{
    Commands, Connector, Context, Event, Fault, Http, HttpDone, HttpOutcome, Inbound, Operation, Outbound,
    Outcome, Sender, Status, Target, Token,
};
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// The request that looks at the topic, and the timer before it. Those that publish are numbered from 2.
const POLL: Token = 1;
const POLL_TIMEOUT: Duration = Duration::from_secs(20);
/// On everything that is published here.
const OWN: &str = "prx";

/// The connector.
pub struct Ntfy;

/// What the operator set; the token never gets here.
#[derive(Deserialize)]
pub struct Config {
    topic: String,
    poll_seconds: u64,
    base_url: String,
}

/// What outlives a call.
#[derive(Default, Serialize, Deserialize)]
pub struct State {
    /// The last message that was seen, or the second from which on messages are looked for.
    since: String,
    failures: u32,
    last_token: Token,
    /// The replies on their way.
    publishing: Vec<(Token, String)>,
}

/// A message, as far as it is needed.
#[derive(Deserialize)]
struct Message {
    id: String,
    /// In seconds.
    time: u64,
    event: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    tags: Vec<String>,
}

impl Connector for Ntfy {
    type Config = Config;
    type State = State;

    fn handle(
        cx: &Context<Config>,
        state: &mut State,
        event: Event,
        out: &mut Commands,
    ) -> Result<(), Fault> {
        match event {
            Event::Started => {
                // What was on its way is asked for again.
                state.publishing.clear();
                if state.since.is_empty() {
                    state.since = (cx.now / 1000).to_string();
                }
                out.status(Status::Connecting);
                poll(cx, state, out);
            }
            Event::Resumed(resumed) => {
                let lost = state.publishing.extract_if(.., |(token, _)| !resumed.requests.contains(token));
                lost.for_each(|(_, id)| out.done(id, Outcome::Unknown("new code took over".into())));
                if !resumed.requests.contains(&POLL) && !resumed.timers.contains(&POLL) {
                    poll(cx, state, out);
                }
            }
            Event::Timer(POLL) => poll(cx, state, out),
            Event::HttpDone(done) if done.token == POLL => polled(cx, state, &done.outcome, out),
            Event::HttpDone(done) => published(cx, state, &done, out),
            Event::Outbound(outbound) => publish(cx, state, outbound, out),
            _ => {}
        }
        Ok(())
    }
}

prx_sdk::plugin! { connector: Ntfy, manifest: "plugin.toml" }

fn poll(cx: &Context<Config>, state: &State, out: &mut Commands) {
    let Config { base_url, topic, .. } = &cx.config;
    let url = format!("{}/{topic}/json?poll=1&since={}", base_url.trim_end_matches('/'), state.since);
    out.http(Http::get(url).bearer("access_token").timeout(POLL_TIMEOUT).token(POLL));
}

fn polled(cx: &Context<Config>, state: &mut State, outcome: &HttpOutcome, out: &mut Commands) {
    let interval = Duration::from_secs(cx.config.poll_seconds.max(1));
    let why = match outcome {
        HttpOutcome::Response(response) if response.is_success() => {
            let text = String::from_utf8_lossy(&response.body);
            for message in text.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok()) {
                heard(cx, state, message, out);
            }
            state.failures = 0;
            let latency = Duration::from_millis(response.elapsed_ms.into());
            out.proof(3 * (interval + POLL_TIMEOUT), Some(latency));
            out.status(Status::Connected);
            return out.timer(POLL, interval);
        }
        HttpOutcome::Response(response) if matches!(response.status, 401 | 403) => {
            let why = format!("the server answered {}: access_token may not read the topic", response.status);
            return out.status(Status::Failed(why));
        }
        HttpOutcome::Response(response) => format!("the server answered {}", response.status),
        HttpOutcome::Failed(failure) => failure.reason.clone(),
    };
    state.failures += 1;
    out.status(Status::Reconnecting(why));
    out.timer(POLL, cx.backoff(state.failures).max(interval));
}

fn heard(cx: &Context<Config>, state: &mut State, message: Message, out: &mut Commands) {
    if message.event != "message" {
        return;
    }
    state.since.clone_from(&message.id);
    if message.tags.iter().any(|tag| tag == OWN) {
        return;
    }
    let text = [message.title, message.message].into_iter().filter(|text| !text.is_empty());
    let topic = &cx.config.topic;
    out.deliver(Inbound {
        dedupe: message.id,
        target: Target::conversation(topic),
        // Nobody says who publishes.
        sender: Sender { id: topic.clone(), name: topic.clone(), is_bot: false, language: None },
        text: text.collect::<Vec<_>>().join("\n"),
        attachments: Vec::new(),
        sent_at: message.time.saturating_mul(1000),
        addressed: true,
        group: false,
        reply_to: None,
        forwarded: Vec::new(),
        choice: None,
    });
}

fn publish(cx: &Context<Config>, state: &mut State, outbound: Outbound, out: &mut Commands) {
    let Operation::Send(content) = outbound.operation else {
        return out.done(outbound.id, Outcome::Unsupported);
    };
    state.last_token = state.last_token.max(POLL) + 1;
    let url = format!("{}/{}", cx.config.base_url.trim_end_matches('/'), outbound.target.conversation);
    let request = Http::post(url).bearer("access_token").header("markdown", "yes").header("tags", OWN);
    out.http(request.body(content.markdown).token(state.last_token).lane("publish"));
    state.publishing.push((state.last_token, outbound.id));
}

fn published(cx: &Context<Config>, state: &mut State, done: &HttpDone, out: &mut Commands) {
    let Some(place) = state.publishing.iter().position(|(token, _)| *token == done.token) else { return };
    let (_, id) = state.publishing.remove(place);
    let again = || Outcome::RetryAfter(u32::try_from(cx.backoff(3).as_millis()).unwrap_or(u32::MAX));
    let outcome = match &done.outcome {
        HttpOutcome::Response(response) if response.is_success() => {
            Outcome::Ok(response.json::<Message>().ok().map(|message| message.id))
        }
        HttpOutcome::Response(response) if matches!(response.status, 429 | 500..) => again(),
        HttpOutcome::Response(response) => {
            Outcome::Refused(format!("the server answered {}", response.status))
        }
        HttpOutcome::Failed(failure) if failure.sent => Outcome::Unknown(failure.reason.clone()),
        HttpOutcome::Failed(_) => again(),
    };
    out.done(id, outcome);
}
