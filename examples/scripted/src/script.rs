//! The script: which answer to which message.

use prx_sdk::provider::{Fault, FaultCode, Message, Request, StopReason};
use serde::Deserialize;
use serde_json::Value;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A script, and a hash of its text.
pub(crate) struct Script {
    scenes: Vec<Scene>,
    edition: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scene {
    when: Option<String>,
    answers: Vec<Vec<Step>>,
}

/// One thing that an answer does.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    Text(String),
    Thinking(String),
    Repeat(Repeat),
    WaitMs(u64),
    Call(Call),
    Usage(Used),
    Stop(Stop),
    Show(Show),
    Fail(Failure),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Repeat {
    pub(crate) text: String,
    pub(crate) times: u32,
    #[serde(default)]
    pub(crate) every_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    pub(crate) name: String,
    #[serde(default = "nothing")]
    pub(crate) arguments: Value,
    pub(crate) id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(crate) struct Used {
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) cached: u64,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stop {
    End,
    ToolUse,
    Length,
    Refused,
    Other,
}

/// What a `show` step streams.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Show {
    Request,
    Blob(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Failure {
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) code: Code,
    #[serde(default)]
    pub(crate) retryable: bool,
    pub(crate) retry_after_ms: Option<u32>,
    pub(crate) times: Option<u32>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Code {
    BadInput,
    BadConfig,
    Denied,
    #[default]
    Unavailable,
    Timeout,
    Quota,
    Internal,
}

impl Script {
    /// Reads a script.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let scenes = serde_json::from_str(text)
            .map_err(|error| Fault::bad_config(format!("`script` is no script: {error}")))?;
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Ok(Self { scenes, edition: hasher.finish() })
    }

    /// The answer to a request, and where in the script it is.
    pub(crate) fn answer(&self, request: &Request) -> Result<(String, &[Step]), Fault> {
        let user = request.messages.iter().enumerate().rev().find_map(|(at, message)| match message {
            Message::User(user) => Some((at, user.text.as_str())),
            _ => None,
        });
        let (asked, said) = user.unwrap_or((0, ""));
        let fits = |scene: &Scene| scene.when.as_ref().is_none_or(|when| said.contains(when.as_str()));
        let Some((number, scene)) = self.scenes.iter().enumerate().find(|(_, scene)| fits(scene)) else {
            let message =
                format!("no scene of `script` is for {said:?}: add one, or one without `when` for all");
            return Err(Fault::bad_config(message));
        };
        let earlier = request.messages[asked..].iter().filter(|m| matches!(m, Message::Assistant(_))).count();
        let turn = earlier.min(scene.answers.len().saturating_sub(1));
        let steps = scene.answers.get(turn).ok_or_else(|| {
            Fault::bad_config(format!("scene {} of `script` has no answers: give it one", number + 1))
        })?;
        Ok((format!("{:016x}/{number}/{turn}", self.edition), steps))
    }
}

impl From<Stop> for StopReason {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::End => Self::End,
            Stop::ToolUse => Self::ToolUse,
            Stop::Length => Self::Length,
            Stop::Refused => Self::Refused,
            Stop::Other => Self::Other,
        }
    }
}

impl From<Code> for FaultCode {
    fn from(code: Code) -> Self {
        match code {
            Code::BadInput => Self::BadInput,
            Code::BadConfig => Self::BadConfig,
            Code::Denied => Self::Denied,
            Code::Unavailable => Self::Unavailable,
            Code::Timeout => Self::Timeout,
            Code::Quota => Self::Quota,
            Code::Internal => Self::Internal,
        }
    }
}

fn nothing() -> Value {
    Value::Object(serde_json::Map::new())
}
