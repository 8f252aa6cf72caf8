//! Which failures of a provider are retried, how often and after which backoff, and what is left to try after that.

use std::time::Duration;

use prx_base::clock::vary;
use prx_base::error::{Code, Error};
use prx_host::CallError;
use prx_host::bindings::common::FaultCode;
use prx_host::bindings::provider as wire;

/// Attempts at what goes away by itself: a provider that is overloaded, disabled, or being replaced.
const MAX_ATTEMPTS_TRANSIENT: u32 = 5;
/// Attempts at a provider that refuses for its rate limit where no other is left: with their backoffs a minute, for which such
/// limits are made. Where many turns fight for the few places that it has, none always loses.
const MAX_ATTEMPTS_RATE_LIMIT: u32 = 8;
/// Attempts at a defect or at a timeout, which may have been an accident but is not likely to go away. Fewer than lead
/// to a quarantine, so that one message can't take a provider from everyone.
const MAX_ATTEMPTS_DEFECT: u32 = 2;
/// The backoff before the second attempt, 0.5 seconds; it doubles from there.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
/// The longest backoff, 60 seconds. A provider that asks for a longer one is not retried.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// Why a provider gave no answer, and what may still be tried.
pub(super) struct ProviderFailure {
    pub(super) error: Error,
    /// How often to try in all.
    max_attempts: u32,
    /// It is too much at this moment, and passes.
    is_rate_limit: bool,
    /// The provider's own word: not before this.
    retry_after: Option<Duration>,
    /// What is left once its attempts are used up.
    pub(super) fallback: Fallback,
    /// It is the length of the conversation that is refused.
    pub(super) too_long: Option<wire::ContextLength>,
}

/// What is left to try when a provider gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fallback {
    /// The next provider, which might do better.
    NextProvider,
    /// The same; it does not take what it was asked. Where nobody answers, the file that it was asked about is left out of
    /// the conversation.
    Refused,
    /// Nothing: it has answered, and far too much.
    TooLong,
}

impl ProviderFailure {
    /// The provider's own error.
    pub(super) fn refused(provider: &str, refused: &wire::ProviderError) -> Self {
        let code = match refused.fault.code {
            FaultCode::Timeout => Code::GatewayTimeout,
            _ if refused.retryable => Code::Unavailable,
            _ => Code::BadGateway,
        };
        let is_bad_input = refused.fault.code == FaultCode::BadInput;
        Self {
            error: Error::new(
                code,
                format!("The provider {provider} did not answer: {}", refused.fault.message),
            ),
            max_attempts: match refused.fault.code {
                _ if !refused.retryable => 1,
                FaultCode::Timeout | FaultCode::Internal => MAX_ATTEMPTS_DEFECT,
                _ => MAX_ATTEMPTS_TRANSIENT,
            },
            is_rate_limit: refused.retryable && refused.fault.code == FaultCode::Quota,
            retry_after: refused.retry_after_ms.map(|ms| Duration::from_millis(ms.into())),
            fallback: if is_bad_input { Fallback::Refused } else { Fallback::NextProvider },
            too_long: refused.too_long,
        }
    }

    /// The same where an answer had begun: the provider is there, and what it gave is no answer.
    pub(super) fn in_the_middle(self) -> Self {
        match self.error.code() {
            Code::Unavailable => Self { error: Error::new(Code::BadGateway, self.error.message()), ..self },
            _ => self,
        }
    }

    /// A call of the provider that failed.
    pub(super) fn broken(provider: &str, failure: &CallError) -> Self {
        let (code, message, max_attempts) = match failure {
            CallError::NoSuch(_) | CallError::Stopped => {
                let message = format!(
                    "There is no provider {provider} now: enable its plugin, or set provider.name to one there is; `prx model list` has them"
                );
                (Code::Unavailable, message, MAX_ATTEMPTS_TRANSIENT)
            }
            failure => {
                let max_attempts = match failure {
                    CallError::TooMany(_) | CallError::Full(_) | CallError::Busy => MAX_ATTEMPTS_TRANSIENT,
                    failure if failure.is_defect() => MAX_ATTEMPTS_DEFECT,
                    _ => 1,
                };
                let is_fault = matches!(failure, CallError::Fault(_));
                let code =
                    if max_attempts == 1 && !is_fault { Code::GatewayTimeout } else { Code::BadGateway };
                (code, format!("The provider {provider} failed: {failure}"), max_attempts)
            }
        };
        let error = Error::new(code, message);
        Self {
            error,
            max_attempts,
            is_rate_limit: false,
            retry_after: None,
            fallback: Fallback::NextProvider,
            too_long: None,
        }
    }

    /// A request that costs more than the operator allows; it is not sent.
    pub(super) fn not_allowed(provider: &str, model: &str, cost: u64, allowed: u64) -> Self {
        let message = format!(
            "This needs about {cost} tokens, and {provider}/{model} is shown {allowed} at most: say less at once, or raise \
             agent.max_context_tokens, and providers_config.{provider}.models.{model:?}.window where that is set"
        );
        let too_long = Some(wire::ContextLength { window: Some(allowed), requested: Some(cost) });
        let error = Error::bad_request(message);
        Self {
            error,
            max_attempts: 1,
            is_rate_limit: false,
            retry_after: None,
            fallback: Fallback::NextProvider,
            too_long,
        }
    }

    /// An answer that was cut off after so many bytes.
    pub(super) fn too_long(provider: &str, max_bytes: usize) -> Self {
        let message = format!("The provider {provider} was cut off after {max_bytes} bytes of one answer");
        let error = Error::new(Code::BadGateway, message);
        Self {
            error,
            max_attempts: 1,
            is_rate_limit: false,
            retry_after: None,
            fallback: Fallback::TooLong,
            too_long: None,
        }
    }

    /// How long to wait before the next attempt, after so many; none: it is not retried. `is_last`: no other provider
    /// is left to fall back to.
    pub(super) fn backoff(&self, attempts: u32, is_last: bool) -> Option<Duration> {
        // One that was silent has had its time already.
        let is_timeout = self.error.code() == Code::GatewayTimeout;
        let max_attempts = match is_last {
            false if is_timeout => 1,
            true if self.is_rate_limit => MAX_ATTEMPTS_RATE_LIMIT,
            _ => self.max_attempts,
        };
        let is_short = self.retry_after.is_none_or(|retry_after| retry_after <= MAX_BACKOFF);
        (attempts < max_attempts && is_short).then(|| backoff(attempts, self.retry_after))
    }
}

/// As long as the provider asked for and up to a backoff longer, or about that backoff, which doubles each time; never quite the
/// same, so that turns which failed together don't come back together, and where each place is fought for, none always loses.
fn backoff(attempts: u32, retry_after: Option<Duration>) -> Duration {
    let backoff = FIRST_BACKOFF * (1 << attempts.saturating_sub(1).min(10));
    match retry_after {
        Some(retry_after) => retry_after + vary(backoff, 0.0..=1.0),
        None => vary(backoff, 0.75..=1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_retried_only_where_no_other_provider_is_left() {
        let failure = ProviderFailure::broken("local", &CallError::Trap("oops".into()));
        assert!(failure.backoff(1, false).is_some_and(|backoff| backoff <= FIRST_BACKOFF));
        assert_eq!(failure.backoff(MAX_ATTEMPTS_DEFECT, true), None);
        let silent = ProviderFailure { error: Error::new(Code::GatewayTimeout, "silent"), ..failure };
        assert!(silent.backoff(1, true).is_some());
        assert_eq!(silent.backoff(1, false), None);
    }

    #[test]
    fn a_rate_limit_is_waited_out_where_no_other_provider_is_left() {
        let fault = |code| wire::ProviderError {
            fault: prx_host::bindings::common::Fault { code, message: "slow down".into() },
            retryable: true,
            retry_after_ms: Some(80),
            too_long: None,
        };
        let limited = ProviderFailure::refused("local", &fault(FaultCode::Quota));
        assert!(limited.backoff(MAX_ATTEMPTS_TRANSIENT, true).is_some());
        assert_eq!(limited.backoff(MAX_ATTEMPTS_TRANSIENT, false), None);
        assert_eq!(limited.backoff(MAX_ATTEMPTS_RATE_LIMIT, true), None);
        let away = ProviderFailure::refused("local", &fault(FaultCode::Unavailable));
        assert_eq!(away.backoff(MAX_ATTEMPTS_TRANSIENT, true), None);
    }

    #[test]
    fn a_provider_that_asks_for_a_longer_backoff_than_the_longest_is_not_retried() {
        let failure = ProviderFailure::broken("local", &CallError::Busy);
        let later = |seconds| ProviderFailure {
            retry_after: Some(Duration::from_secs(seconds)),
            error: Error::new(Code::Unavailable, "busy"),
            ..failure
        };
        assert!(later(59).backoff(1, true).is_some_and(|backoff| backoff >= Duration::from_secs(59)));
        assert!(
            later(60).backoff(4, true).is_some(),
            "a while longer than asked for is no reason to give up"
        );
        assert_eq!(later(60 + 1).backoff(1, true), None);
    }
}
