//! One answer of a model: from the first choice that can give it, tried again where that may help.

use std::time::Duration;

use tokio::sync::mpsc;
use tracing::warn;

use super::Work;
use super::bounds::asked;
use super::context::Context;
use super::progress::{Progress, Unfinished};
use super::stream::TurnEvent;
use super::turn::Cut;
use prx_base::clock::vary;
use prx_base::error::{Code, Error};
use prx_host::CallError;
use prx_host::bindings::provider as wire;
use prx_host::bindings::sink::Delta;
use prx_host::bindings::types::FaultCode;
use prx_store::Usage;

/// Tries for what goes away by itself: a provider that is overloaded, disabled, or being replaced.
const PATIENT: u32 = 5;
/// Tries for a defect or for silence, which may have been an accident but is not likely to go away. Fewer than lead to a quarantine,
/// so that one message can't take a provider from everyone.
const WARY: u32 = 2;
/// The pause before the second try; it doubles from there.
const PAUSE: Duration = Duration::from_millis(500);
/// Whoever wants to be left alone for longer is not tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Longest answer. A model that does not come to an end is cut off before it fills the memory.
const LONGEST_ANSWER: usize = 1 << 20;

/// Why a provider gave no answer, and what may still be tried.
struct Failure {
    error: Error,
    /// How often to try in all.
    tries: u32,
    /// Not before this.
    after: Option<Duration>,
    then: Then,
}

/// What may be done about a provider that gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Another one might do better.
    Another,
    /// It does not take what it was asked, and what makes no sense to one makes none to another.
    Nobody,
    /// It has answered, and far too much.
    Stop,
}

/// Has the first choice answer that can. What was said of an answer that is then begun anew is taken back, and
/// whoever listens is told so.
///
/// # Errors
/// Nobody could; says what each said and what to do.
pub(super) async fn complete(
    work: &Work<'_>,
    context: &Context,
    progress: &mut Progress,
) -> Result<wire::Completion, Cut> {
    let mut failed: Vec<Error> = Vec::new();
    let mut choices = context.provider.choices().peekable();
    while let Some((provider, model)) = choices.next() {
        let pictures = work.parts.plugins.takes_pictures(provider);
        let request = wire::Request { model: model.into(), ..context.request(&progress.messages, pictures)? };
        let last = choices.peek().is_none();
        match persist(work, context, (provider, last), &request, progress).await {
            Ok(completion) => return Ok(context.own_names(completion)),
            Err(Failure { error, then: Then::Another, .. }) => failed.push(error),
            Err(Failure { error, then, .. }) => {
                return Err(Cut { refused: then == Then::Nobody, ..Cut::last(error) });
            }
        }
    }
    Err(Cut::last(all(failed)))
}

/// The errors of everyone who was tried, as one.
fn all(failed: Vec<Error>) -> Error {
    let mut failed = failed.into_iter();
    let Some(first) = failed.next() else { return Error::internal("there is no provider to ask") };
    let further: Vec<String> = failed.map(|error| error.message().to_owned()).collect();
    if further.is_empty() {
        return first;
    }
    Error::new(first.code(), format!("{}. Then: {}", first.message(), further.join(". Then: ")))
}

/// Tries one provider as often as that makes sense, the last choice or one before others.
async fn persist(
    work: &Work<'_>,
    context: &Context,
    (provider, last): (&str, bool),
    request: &wire::Request,
    progress: &mut Progress,
) -> Result<wire::Completion, Failure> {
    let mut tries = 0;
    loop {
        let failure = match once(work, context, provider, request, progress).await {
            Ok(completion) => {
                work.standing.answered(provider);
                return Ok(completion);
            }
            Err(failure) => failure,
        };
        tries += 1;
        let (error, model) = (&failure.error, &request.model);
        warn!(provider, model, tries, %error, "no answer");
        if failure.then == Then::Another {
            work.standing.failed(provider, error.message());
        }
        progress.break_off();
        progress.unfinished.failure = Some(failure.error.message().to_owned());
        let pause = pause(tries, failure.after);
        // One that was silent has had its time already.
        let most = if failure.error.code() == Code::GatewayTimeout && !last { 1 } else { failure.tries };
        if tries >= most || pause > LONGEST_PAUSE {
            return Err(failure);
        }
        work.parts.clock.sleep(pause).await;
    }
}

/// One try, its pieces passed on as they come.
async fn once(
    work: &Work<'_>,
    context: &Context,
    provider: &str,
    request: &wire::Request,
    progress: &mut Progress,
) -> Result<wire::Completion, Failure> {
    let before = std::mem::take(&mut progress.unfinished);
    if let Some(reason) = before.failure.filter(|_| !before.text.is_empty()) {
        work.said.event(TurnEvent::Restart { reason });
    }
    progress.unfinished.asked = asked(request);
    work.said.begin_anew();
    let (deltas, pieces) = mpsc::channel(64);
    let scope = context.scope.clone();
    let completing = async { Ok(work.parts.plugins.complete(provider, request, deltas, scope).await) };
    let passing_on = pass_on(work, context, pieces, &mut progress.unfinished);
    let Ok((completed, ())) = tokio::try_join!(completing, passing_on) else {
        let message =
            format!("The provider {provider} was cut off after {LONGEST_ANSWER} bytes of one answer");
        let error = Error::new(Code::BadGateway, message);
        return Err(Failure { error, tries: 1, after: None, then: Then::Stop });
    };
    match completed {
        Ok(Ok(completion)) => {
            progress.unfinished = Unfinished::default();
            let wire::Usage { input, output, .. } = completion.usage;
            progress.usage = progress.usage.plus(Usage { input, output });
            Ok(completion)
        }
        Ok(Err(refused)) => Err(refused_by(provider, &refused)),
        Err(failure) => Err(broken_by(provider, &failure)),
    }
}

/// It says more than anyone would read.
struct Endless;

/// Says what a provider says, and notes it.
async fn pass_on(
    work: &Work<'_>,
    context: &Context,
    mut pieces: mpsc::Receiver<Delta>,
    unfinished: &mut Unfinished,
) -> Result<(), Endless> {
    let mut thought = 0;
    while let Some(piece) = pieces.recv().await {
        match piece {
            Delta::Text(text) => {
                work.said.token(&text);
                unfinished.text.push_str(&text);
            }
            Delta::Thinking(text) => {
                thought += text.len();
                work.said.event(TurnEvent::Thinking(text));
            }
            Delta::ToolCallStarted((id, name)) => {
                let name = context.names.own(&name).to_owned();
                work.said.event(TurnEvent::ToolCallStarted { id, name });
            }
        }
        if unfinished.text.len().max(thought) > LONGEST_ANSWER {
            return Err(Endless);
        }
    }
    Ok(())
}

fn refused_by(provider: &str, refused: &wire::ProviderError) -> Failure {
    let code = match refused.fault.code {
        FaultCode::Timeout => Code::GatewayTimeout,
        _ if refused.retryable => Code::Unavailable,
        _ => Code::BadGateway,
    };
    Failure {
        error: Error::new(code, format!("The provider {provider} did not answer: {}", refused.fault.message)),
        tries: match refused.fault.code {
            _ if !refused.retryable => 1,
            FaultCode::Timeout => WARY,
            _ => PATIENT,
        },
        after: refused.retry_after_ms.map(|ms| Duration::from_millis(ms.into())),
        then: if refused.fault.code == FaultCode::BadInput { Then::Nobody } else { Then::Another },
    }
}

fn broken_by(provider: &str, failure: &CallError) -> Failure {
    let (code, message, tries) = match failure {
        CallError::NoSuch(_) | CallError::Stopped => {
            let message = format!(
                "There is no provider {provider} now: enable its plugin, or set provider.name to one there is"
            );
            (Code::Unavailable, message, PATIENT)
        }
        failure => {
            let tries = match failure {
                CallError::Busy => PATIENT,
                failure if failure.is_defect() => WARY,
                _ => 1,
            };
            let code = if tries == 1 { Code::GatewayTimeout } else { Code::BadGateway };
            (code, format!("The provider {provider} failed: {failure}"), tries)
        }
    };
    Failure { error: Error::new(code, message), tries, after: None, then: Then::Another }
}

/// How long to wait before the next try: as long as was asked for, or twice as long each time; never quite the same,
/// so that turns which failed together don't come back together.
fn pause(tries: u32, after: Option<Duration>) -> Duration {
    match after {
        Some(after) => after + vary(PAUSE, 0.0..=1.0),
        None => vary(PAUSE * (1 << tries.saturating_sub(1).min(10)), 0.5..=1.0),
    }
}
