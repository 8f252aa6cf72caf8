//! What the agent says, posted until it is taken.

use std::time::Duration;

use prx_sdk::connector::{
    Attachment, Commands, Context, Http, HttpDone, HttpOutcome, Operation, Outbound, Outcome, Status,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::connector::{Config, State};

/// Timeout of one attempt.
const POST_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest pause between two attempts in milliseconds, whatever `retry-after` says.
const MAX_RETRY_AFTER_MS: u64 = 60 * 60 * 1000;

/// A reply that is on its way.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Posted {
    token: u64,
    id: String,
    attempt: u32,
}

/// Posts a reply.
pub(crate) fn post(cx: &Context<Config>, state: &mut State, outbound: Outbound, out: &mut Commands) {
    let Operation::Send(content) = outbound.operation else {
        return out.done(outbound.id, Outcome::Unsupported);
    };
    state.last_token += 1;
    let mut body = json!({
        "id": outbound.id,
        "conversation": outbound.target.conversation,
        "thread": outbound.target.thread,
        "reply_to": outbound.target.reply_to,
        "text": content.markdown,
    });
    if !content.attachments.is_empty() {
        body["attachments"] = content.attachments.into_iter().map(described).collect();
    }
    let request = Http::post(cx.config.reply_url.as_str())
        .bearer("reply_token")
        .header("webhook-id", outbound.id.as_str())
        .json(&body)
        .timeout(POST_TIMEOUT)
        .token(state.last_token);
    out.http(request);
    state.replies.push(Posted { token: state.last_token, id: outbound.id, attempt: outbound.attempt });
}

/// A file, of which the other side is told where it is: `GET /api/v1/blobs/{blob}` has its bytes.
fn described(file: Attachment) -> Value {
    json!({ "blob": file.blob, "name": file.name, "mime": file.mime, "size": file.size })
}

/// A reply was answered, or could not be posted.
pub(crate) fn answered(cx: &Context<Config>, state: &mut State, done: &HttpDone, out: &mut Commands) {
    let Some(place) = state.replies.iter().position(|posted| posted.token == done.token) else { return };
    let posted = state.replies.remove(place);
    let (outcome, trouble) = match &done.outcome {
        HttpOutcome::Response(response) if response.is_success() => (Outcome::Ok(None), None),
        HttpOutcome::Response(response) => {
            let reason = format!("reply_url answered {}", response.status);
            match response.status {
                408 | 425 | 429 | 500.. => {
                    let asked =
                        response.header("retry-after").and_then(|text| text.trim().parse::<u64>().ok());
                    let after = asked.map(|seconds| seconds.saturating_mul(1000));
                    (again(cx, posted.attempt, after), Some(reason))
                }
                _ => (Outcome::Refused(reason.clone()), Some(reason)),
            }
        }
        HttpOutcome::Failed(failure) => {
            let reason = format!("reply_url can't be reached: {}", failure.reason);
            (again(cx, posted.attempt, None), Some(reason))
        }
    };
    out.done(posted.id, outcome);
    out.status(trouble.map_or(Status::Connected, Status::Reconnecting));
}

/// Retries the replies whose answers will not come any more. Their receiver knows them by their ids.
pub(crate) fn resume(state: &mut State, in_flight: &[u64], out: &mut Commands) {
    let lost = state.replies.extract_if(.., |posted| !in_flight.contains(&posted.token));
    lost.for_each(|posted| out.done(posted.id, Outcome::RetryAfter(0)));
}

/// Retries after what the receiver asked for, or after a backoff that doubles from a second to five minutes.
fn again(cx: &Context<Config>, attempt: u32, asked_ms: Option<u64>) -> Outcome {
    let pause = (1000 << attempt.saturating_sub(1).min(9)).min(300_000);
    let after = asked_ms.unwrap_or_else(|| cx.random_between(pause / 2, pause)).min(MAX_RETRY_AFTER_MS);
    Outcome::RetryAfter(u32::try_from(after).unwrap_or(u32::MAX))
}
