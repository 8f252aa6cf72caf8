//! One answer of a model: from the configured provider, with retries, or from the first fallback that gives one.

use tokio::sync::mpsc;
use tracing::{info, warn};

use super::context::{Context, Model};
use super::context_window::{request_bytes, request_cost};
use super::failure::TurnFailure;
use super::progress::{Progress, Unfinished};
use super::retry::{Fallback, ProviderFailure};
use super::stream::TurnEvent;
use super::work::{Services, Work};
use prx_base::error::Error;
use prx_host::bindings::provider as wire;
use prx_host::bindings::sink::Delta;
use prx_store::{ProviderData, Usage};

/// Size in bytes of the longest answer. A model that does not come to an end is cut off before it fills the memory.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Tokens that a provider may add to what it is asked: its own words to the model, for one.
const MAX_UNSEEN_INPUT: u64 = 4 << 10;
/// Tokens that a model may think, and that nobody is shown.
const MAX_UNSEEN_OUTPUT: u64 = 16 << 10;

/// How often a conversation that is too long for a model is asked with less of it.
const MAX_TRIMS: usize = 3;

/// One of the providers that may be asked.
#[derive(Clone, Copy)]
struct Choice<'a> {
    provider: &'a str,
    model: &'a str,
    /// No other one is left to fall back to.
    is_last: bool,
}

/// Asks the providers in the order of the configuration until one answers. What was said of an answer that is then begun
/// anew is taken back, and whoever listens is told so.
///
/// # Errors
/// Nobody could; says what each said and what to do.
pub(super) async fn complete(
    work: &Work<'_>,
    context: &Context,
    progress: &mut Progress,
) -> Result<wire::Completion, TurnFailure> {
    let (mut failed, mut refused): (Vec<Error>, bool) = (Vec::new(), false);
    let mut choices = context.provider.choices().peekable();
    while let Some((provider, model)) = choices.next() {
        let choice = Choice { provider, model, is_last: choices.peek().is_none() };
        match within_window(work, context, choice, progress).await {
            Ok(mut completion) => {
                progress.provider_data =
                    completion.data.take().and_then(|data| provider_data(provider, model, data));
                return Ok(context.own_names(completion));
            }
            Err((error, Fallback::TooLong)) => return Err(TurnFailure::permanent(error)),
            Err((error, fallback)) => {
                refused |= fallback == Fallback::Refused;
                failed.push(error);
            }
        }
    }
    Err(TurnFailure { refused, ..TurnFailure::permanent(all(failed)) })
}

/// Asks one provider, with less of the conversation where it is refused for its length.
async fn within_window(
    work: &Work<'_>,
    context: &Context,
    choice: Choice<'_>,
    progress: &mut Progress,
) -> Result<wire::Completion, (Error, Fallback)> {
    let Services { base, plugins, windows, .. } = work.services;
    let Choice { provider, model, .. } = choice;
    let mut last: Option<(u64, ProviderFailure)> = None;
    for _ in 0..=MAX_TRIMS {
        let config = base.config.current();
        let shown = Model {
            provider,
            name: model,
            takes_pictures: plugins.takes_pictures(provider),
            limit: windows.limit(&config, provider, model),
            max_output: config.components.model(provider, model).max_output,
        };
        let request = match context.request(&progress.messages, &shown) {
            Ok(request) => request,
            Err(error) => return Err((error, Fallback::NextProvider)),
        };
        let cost = request_cost(&request);
        if last.as_ref().is_some_and(|(refused, _)| cost >= *refused) {
            break;
        }
        let failure = match with_retries(work, context, choice, &request, progress).await {
            Ok(completion) => {
                windows.taken(provider, model, cost);
                return Ok(completion);
            }
            Err(failure) => failure,
        };
        let Some(length) = failure.too_long else { return Err((failure.error, failure.fallback)) };
        info!(provider, model, cost, "the conversation is too long for the model: some of it is left out");
        windows.refused(&config, (provider, model), length, cost);
        last = Some((cost, failure));
    }
    let failure = last.map(|(_, failure)| (failure.error, failure.fallback));
    Err(failure.unwrap_or_else(|| (Error::internal("nobody was asked"), Fallback::NextProvider)))
}

/// The errors of every provider that was tried, as one.
fn all(failed: Vec<Error>) -> Error {
    let mut failed = failed.into_iter();
    let Some(first) = failed.next() else { return Error::internal("there is no provider to ask") };
    let further: Vec<String> = failed.map(|error| error.message().to_owned()).collect();
    if further.is_empty() {
        return first;
    }
    Error::new(first.code(), format!("{}. Then: {}", first.message(), further.join(". Then: ")))
}

/// Asks one provider, and again as often as its failure is worth a retry.
async fn with_retries(
    work: &Work<'_>,
    context: &Context,
    choice: Choice<'_>,
    request: &wire::Request,
    progress: &mut Progress,
) -> Result<wire::Completion, ProviderFailure> {
    let (provider, health) = (choice.provider, &work.services.provider_health);
    let mut attempts = 0;
    loop {
        let failure = match attempt(work, context, provider, request, progress).await {
            Ok(completion) => {
                health.answered(provider);
                return Ok(completion);
            }
            Err(failure) if progress.unfinished.is_heard() => failure.in_the_middle(),
            Err(failure) => failure,
        };
        attempts += 1;
        warn!(provider, model = request.model, tries = attempts, error = %failure.error, "no answer");
        if failure.fallback == Fallback::NextProvider && failure.too_long.is_none() {
            health.failed(provider, failure.error.message());
        }
        progress.break_off();
        progress.unfinished.failure = Some(failure.error.message().to_owned());
        match failure.backoff(attempts, choice.is_last) {
            Some(backoff) => work.services.base.clock.sleep(backoff).await,
            None => return Err(failure),
        }
    }
}

/// One attempt, its pieces passed on as they come.
async fn attempt(
    work: &Work<'_>,
    context: &Context,
    provider: &str,
    request: &wire::Request,
    progress: &mut Progress,
) -> Result<wire::Completion, ProviderFailure> {
    let before = std::mem::take(&mut progress.unfinished);
    if let Some(reason) = before.failure.filter(|_| !before.text.is_empty()) {
        work.reply.event(TurnEvent::Restart { reason });
    }
    progress.unfinished.asked = request_cost(request);
    work.reply.restart();
    let (deltas, pieces) = mpsc::channel(64);
    let scope = context.scope.clone();
    let completing = async { Ok(work.services.plugins.complete(provider, request, deltas, scope).await) };
    let passing_on = pass_on(work, context, pieces, &mut progress.unfinished);
    let Ok((completed, ())) = tokio::try_join!(completing, passing_on) else {
        return Err(ProviderFailure::too_long(provider, MAX_ANSWER_BYTES));
    };
    let completion = completed
        .map_err(|failure| ProviderFailure::broken(provider, &failure))?
        .map_err(|refused| ProviderFailure::refused(provider, &refused))?;
    let seen = progress.unfinished.heard_bytes;
    progress.unfinished = Unfinished::default();
    progress.usage = progress.usage.plus(usage(provider, request, &completion, seen));
    Ok(completion)
}

/// What an answer has cost, as its provider says, as far as that can be: a token has a byte at least, of what was asked,
/// or of what came back. `thought`: bytes of what it was heard to think.
fn usage(provider: &str, request: &wire::Request, completion: &wire::Completion, thought: u64) -> Usage {
    let wire::Usage { input, output, .. } = completion.usage;
    let calls =
        completion.tool_calls.iter().map(|call| call.id.len() + call.name.len() + call.arguments.len());
    let said = completion.text.len() as u64 + calls.sum::<usize>() as u64;
    let most_input = request_bytes(request).saturating_add(MAX_UNSEEN_INPUT);
    let most_output = said.saturating_add(thought).saturating_add(MAX_UNSEEN_OUTPUT);
    if input > most_input || output > most_output {
        warn!(
            provider,
            input, output, most_input, most_output, "says that it took more tokens than there can be"
        );
    }
    Usage { input: input.min(most_input), output: output.min(most_output) }
}

/// What a provider wants to see again, with whose it is. One that is larger than the largest answer is not kept.
fn provider_data(provider: &str, model: &str, data: wire::ProviderData) -> Option<ProviderData> {
    let bytes = data.message.as_ref().map_or(0, String::len)
        + data.calls.iter().map(|(id, data)| id.len() + data.len()).sum::<usize>();
    if bytes > MAX_ANSWER_BYTES {
        warn!(provider, bytes, "what it wants to see again with its answer is too large to be kept");
        return None;
    }
    let (provider, model) = (provider.to_owned(), model.to_owned());
    Some(ProviderData { provider, model, message: data.message, calls: data.calls.into_iter().collect() })
}

/// The answer is longer than the longest.
struct TooLong;

/// Passes the pieces of an answer on to whoever listens, and notes them.
async fn pass_on(
    work: &Work<'_>,
    context: &Context,
    mut pieces: mpsc::Receiver<Delta>,
    unfinished: &mut Unfinished,
) -> Result<(), TooLong> {
    let mut thought = 0;
    while let Some(piece) = pieces.recv().await {
        work.timer.hear(&work.services.base.clock);
        match piece {
            Delta::Text(text) => {
                work.reply.token(&text);
                unfinished.text.push_str(&text);
            }
            Delta::Thinking(text) => {
                thought += text.len();
                unfinished.heard_bytes += text.len() as u64;
                work.reply.event(TurnEvent::Thinking(text));
            }
            Delta::ToolCallStarted((id, name)) => {
                let name = context.names.own(&name).to_owned();
                work.reply.event(TurnEvent::ToolCallStarted { id, name });
            }
        }
        if unfinished.text.len().max(thought) > MAX_ANSWER_BYTES {
            return Err(TooLong);
        }
    }
    Ok(())
}
