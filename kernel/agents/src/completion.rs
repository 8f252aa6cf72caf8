//! One answer of a model: from the one that is asked for, or from the first of the configured ones that gives one, with
//! retries.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tracing::{info, warn};

use super::compose::{self, Part};
use super::context::{Context, Model};
use super::context_window::{estimate, request_bytes, request_cost};
use super::retry::{Fallback, ProviderFailure};
use super::stream::TurnEvent;
use super::work::{Services, Work};
use prx_base::clock::stopwatch;
use prx_base::error::Error;
use prx_base::meter::ModelCalls;
use prx_base::traces::{Kind, Span, Value};
use prx_host::Scope;
use prx_host::bindings::agent;
use prx_host::bindings::common::StopReason;
use prx_host::bindings::provider as wire;
use prx_host::bindings::sink::Delta;
use prx_store::{ProviderData, Usage};

/// Size in bytes of the longest answer. A model that does not come to an end is cut off before it fills the memory.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Tokens that a provider may add to what it is asked: its own words to the model, for one.
const MAX_UNSEEN_INPUT: u64 = 4 << 10;
/// Tokens that a model may think, and that nobody is shown.
const MAX_UNSEEN_OUTPUT: u64 = 16 << 10;

/// An answer in the making, and what it has cost so far.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// What was said of it.
    pub(super) text: String,
    /// What was shown of an answer that is whole.
    pub(super) shown: String,
    /// Bytes of what the model was heard to think.
    heard_bytes: u64,
    /// What was asked, in tokens, by estimate; zero: nothing is under way.
    asked: u64,
    /// Why it begins anew.
    failure: Option<String>,
    /// Of attempts that are over.
    usage: Usage,
    /// Where it is counted, beside its turn, what the one under way costs.
    calls: Arc<ModelCalls>,
}

impl Live {
    /// What was spent until now and was not taken before, with an answer that is broken off, by estimate: nobody tells what
    /// that has cost.
    pub(super) fn spent(&mut self) -> Usage {
        self.break_off();
        std::mem::take(&mut self.usage)
    }

    /// The same for an answer of which this was heard.
    pub(super) fn spent_on(&mut self, text: &str) -> Usage {
        text.clone_into(&mut self.text);
        let spent = self.spent();
        self.text.clear();
        spent
    }

    /// Whether anything of it came.
    fn is_heard(&self) -> bool {
        !self.text.is_empty() || self.heard_bytes > 0
    }

    fn break_off(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        if asked > 0 && !self.text.is_empty() {
            self.spend(Usage { input: asked, output: estimate(&self.text) });
        }
    }

    fn spend(&mut self, spent: Usage) {
        self.calls.spent(spent.input, spent.output);
        self.usage = self.usage.plus(spent);
    }
}

/// What a model is asked.
pub(super) struct Question<'a> {
    pub(super) context: &'a Context,
    pub(super) ask: &'a agent::AskModel,
    pub(super) parts: &'a [Part<'a>],
    pub(super) live: &'a Mutex<Live>,
}

/// An answer, and whose it is.
pub(super) struct Answer {
    pub(super) completion: wire::Completion,
    pub(super) provider: String,
    pub(super) model: String,
    /// What the provider wants to see again.
    pub(super) data: Option<ProviderData>,
}

/// Why there is none.
pub(super) struct NoAnswer {
    pub(super) error: Error,
    pub(super) kind: agent::FailureKind,
    /// Who was asked first, as `provider/model`.
    pub(super) model: Option<String>,
    /// Nobody takes what was asked.
    pub(super) refused: bool,
}

/// One of the models that may be asked.
#[derive(Clone, Copy)]
struct Choice<'a> {
    provider: &'a str,
    model: &'a str,
    /// No other one is left to fall back to.
    is_last: bool,
}

/// Asks the models in order until one answers. What was said of an answer that is then begun anew is taken back, and
/// whoever listens is told so.
///
/// # Errors
/// Nobody could; says what each said and what to do.
pub(super) async fn complete(work: &Work<'_>, question: &Question<'_>) -> Result<Answer, NoAnswer> {
    let (mut failed, mut refused, mut window): (Vec<Error>, bool, Option<Option<u64>>) =
        (Vec::new(), false, None);
    let choices = question.context.choices(question.ask.model.as_deref());
    for (n, (provider, model)) in choices.iter().enumerate() {
        let choice = Choice { provider, model, is_last: n + 1 == choices.len() };
        match once(work, question, choice).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => {
                refused |= failure.fallback == Fallback::Refused;
                if let Some(length) = failure.too_long {
                    window = window.or(Some(length.window));
                }
                let is_over = failure.fallback == Fallback::TooLong;
                failed.push(failure.error);
                if is_over {
                    break;
                }
            }
        }
    }
    let kind = match window {
        Some(window) => agent::FailureKind::TooLong(window),
        None if refused => agent::FailureKind::Refused,
        None => agent::FailureKind::Unavailable,
    };
    let model = choices.first().map(|(provider, model)| format!("{provider}/{model}"));
    Err(NoAnswer { error: all(failed), kind, model, refused })
}

/// Asks one model.
async fn once(
    work: &Work<'_>,
    question: &Question<'_>,
    choice: Choice<'_>,
) -> Result<Answer, ProviderFailure> {
    let Services { base, plugins, windows, .. } = work.services;
    let Choice { provider, model, .. } = choice;
    let config = base.config.current();
    let shown = Model {
        provider,
        name: model,
        takes_pictures: plugins.takes_pictures(provider),
        limit: windows.limit(&config, provider, model),
        max_output: config.components.model(provider, model).max_output,
    };
    let messages = compose::messages(question.context, question.parts, &shown);
    let request = question.context.request(question.ask, messages, &shown);
    let (cost, allowed) = (request_cost(&request), shown.limit.allowed);
    if allowed > 0 && cost > allowed {
        return Err(ProviderFailure::not_allowed(provider, model, cost, allowed));
    }
    match with_retries(work, question, choice, &request).await {
        Ok(mut completion) => {
            if config.components.model(provider, model).window.is_none() {
                windows.look_up(base, plugins, provider);
            }
            let data = completion.data.take().and_then(|data| provider_data(provider, model, data));
            let completion = question.context.own_names(completion);
            let (provider, model) = (provider.to_owned(), model.to_owned());
            Ok(Answer { completion, provider, model, data })
        }
        Err(failure) => {
            if let Some(length) = failure.too_long {
                info!(provider, model, cost, "the conversation is too long for the model");
                if let Some(window) = length.window.filter(|window| *window > 0) {
                    windows.named(provider, model, window);
                }
            }
            Err(failure)
        }
    }
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
    question: &Question<'_>,
    choice: Choice<'_>,
    request: &wire::Request,
) -> Result<wire::Completion, ProviderFailure> {
    let (provider, health) = (choice.provider, &work.services.provider_health);
    let calls = work.services.base.meter.provider(provider);
    lock(question.live).calls = Arc::clone(&calls);
    let mut attempts = 0;
    loop {
        let started = stopwatch();
        let mut span = span(work, provider, request);
        let attempted = attempt(work, question, provider, request, &span).await;
        note(&mut span, &attempted);
        drop(span);
        calls.ended(started.elapsed(), attempted.is_ok());
        let failure = match attempted {
            Ok(completion) => {
                health.answered(provider);
                return Ok(completion);
            }
            Err(failure) if lock(question.live).is_heard() => failure.in_the_middle(),
            Err(failure) => failure,
        };
        attempts += 1;
        warn!(provider, model = request.model, tries = attempts, error = %failure.error, "no answer");
        if failure.fallback == Fallback::NextProvider && failure.too_long.is_none() {
            health.failed(provider, failure.error.message());
        }
        {
            let mut live = lock(question.live);
            live.break_off();
            live.failure = Some(failure.error.message().to_owned());
        }
        match failure.backoff(attempts, choice.is_last) {
            Some(backoff) => work.services.base.clock.sleep(backoff).await,
            None => return Err(failure),
        }
    }
}

/// The span of an attempt.
fn span(work: &Work<'_>, provider: &str, request: &wire::Request) -> Span {
    let mut span = work.span(Kind::Client, || format!("chat {}", request.model));
    span.set("gen_ai.operation.name", "chat");
    span.set("gen_ai.provider.name", provider);
    span.set("gen_ai.request.model", request.model.as_str());
    span
}

/// Says in a span what came of its attempt.
fn note(span: &mut Span, attempted: &Result<wire::Completion, ProviderFailure>) {
    match attempted {
        Ok(completion) => {
            let reason = match completion.stop {
                StopReason::End => "stop",
                StopReason::ToolUse => "tool_calls",
                StopReason::Length => "length",
                StopReason::Refused => "content_filter",
                StopReason::Other => "other",
            };
            span.set("gen_ai.response.finish_reasons", Value::Texts(vec![reason.to_owned()]));
            span.set("gen_ai.usage.input_tokens", completion.usage.input);
            span.set("gen_ai.usage.output_tokens", completion.usage.output);
        }
        Err(failure) => span.fail(failure.error.code().as_str()),
    }
}

/// One attempt, its pieces passed on as they come.
async fn attempt(
    work: &Work<'_>,
    question: &Question<'_>,
    provider: &str,
    request: &wire::Request,
    span: &Span,
) -> Result<wire::Completion, ProviderFailure> {
    let again = {
        let mut live = lock(question.live);
        let text = std::mem::take(&mut live.text);
        (live.heard_bytes, live.asked) = (0, request_cost(request));
        live.shown.clear();
        live.failure.take().filter(|_| !text.is_empty())
    };
    if question.ask.shown {
        if let Some(reason) = again {
            work.reply.event(TurnEvent::Restart { reason });
        }
        work.reply.restart();
    }
    let (deltas, pieces) = mpsc::channel(64);
    let propagate = question.context.config.telemetry.propagate;
    let trace = span.context().filter(|_| propagate);
    let scope = Scope { trace, ..question.context.scope.clone() };
    let completing = async { Ok(work.services.plugins.complete(provider, request, deltas, scope).await) };
    let passing_on = pass_on(work, question, pieces);
    let Ok((completed, ())) = tokio::try_join!(completing, passing_on) else {
        return Err(ProviderFailure::too_long(provider, MAX_ANSWER_BYTES));
    };
    let completion = completed
        .map_err(|failure| ProviderFailure::broken(provider, &failure))?
        .map_err(|refused| ProviderFailure::refused(provider, &refused))?;
    let mut live = lock(question.live);
    let spent = usage(provider, request, &completion, live.heard_bytes);
    live.spend(spent);
    let shown = std::mem::take(&mut live.text);
    *live = Live { usage: live.usage, shown, ..Live::default() };
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
    question: &Question<'_>,
    mut pieces: mpsc::Receiver<Delta>,
) -> Result<(), TooLong> {
    let (mut thought, shown) = (0, question.ask.shown);
    while let Some(piece) = pieces.recv().await {
        work.timer.hear(&work.services.base.clock);
        let mut live = lock(question.live);
        match piece {
            Delta::Text(text) => {
                if shown {
                    work.reply.token(&text);
                }
                live.text.push_str(&text);
            }
            Delta::Thinking(text) => {
                thought += text.len();
                live.heard_bytes += text.len() as u64;
                if shown {
                    work.reply.event(TurnEvent::Thinking(text));
                }
            }
            Delta::ToolCallStarted((id, name)) if shown => {
                let name = question.context.names.own(&name).to_owned();
                work.reply.event(TurnEvent::ToolCallStarted { id, name });
            }
            Delta::ToolCallStarted(_) => {}
        }
        if live.text.len().max(thought) > MAX_ANSWER_BYTES {
            return Err(TooLong);
        }
    }
    Ok(())
}

pub(super) fn lock(live: &Mutex<Live>) -> std::sync::MutexGuard<'_, Live> {
    live.lock().unwrap_or_else(PoisonError::into_inner)
}
