//! What outlives a step.

use prx_sdk::agent::{Entry, Means, Model, Role, Token};
use serde::{Deserialize, Serialize};

use crate::descriptions::told;

/// Most messages that stay whole, however small they are; older ones are summarized before. Each of them is read with each
/// turn.
pub(crate) const MAX_KNOWN: usize = 250;

/// The state of one session.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// What was said before the history.
    pub summary: String,
    /// Whether what the session before has left stands for that; none: it was not looked for yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carried: Option<bool>,
    /// The person is to be told that not all of it is there.
    #[serde(skip_serializing_if = "is_false")]
    pub owes_word: bool,
    /// The model that the person chose.
    pub model: Option<String>,
    /// The window of a model in tokens, as a refusal told.
    pub learned: Option<KnownModel>,
    /// How many tokens the last request has cost more than its entries, as its answer told.
    pub overhead: u64,
    pub turn: Option<Turn>,
}

impl State {
    /// Whether what the session before has left stands for what was said before the history.
    pub fn has_carried(&self) -> bool {
        self.carried == Some(true)
    }

    /// Takes note of a summary of all that was said before the history.
    pub fn has_summary(&mut self, summary: String) {
        (self.summary, self.carried) = (summary, Some(false));
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

/// A turn at work.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Turn {
    /// The last token that was given.
    pub token: Token,
    /// What it waits for.
    pub waits: Vec<Wait>,
    /// The entries that a model is shown, up to now.
    pub known: Vec<Known>,
    /// Where this turn begins among them.
    pub own: usize,
    /// What a skill wants of the model.
    pub instructions: String,
    /// The tools that a skill allows; empty: all.
    pub only: Vec<String>,
    pub memories: Vec<String>,
    pub models: Vec<KnownModel>,
    pub tools: Vec<String>,
    /// Skills that the model may bring in, each with what it is for.
    pub skills: Vec<(String, String)>,
    pub text: String,
    /// How often the model has refused it for its length.
    pub refusals: u32,
    /// What has been tried to make room: nobody asks for the same summary twice.
    pub summaries: u32,
    /// The model was told that no calls are left.
    pub told_no_calls_left: bool,
    /// The person asked for the summary.
    pub compacts: bool,
    /// Entries that are to be summarized after those that are being summarized.
    pub rest: usize,
    /// Entries that were summarized in this turn.
    pub covered: usize,
    /// The reply, which waits for what is to be left for the next session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
}

/// What a turn waits for, by token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Wait {
    Skill(Token),
    /// A skill or a file of one, for this call of the model's.
    SkillCall(Token, String),
    Memories(Token),
    Model(Token),
    Tool(Token),
    /// A summary of the entries before this one.
    Summary(Token, usize),
    /// A summary of the entries before this one of a session that ends.
    Closing(Token, usize),
}

impl Wait {
    pub fn token(&self) -> Token {
        match self {
            Self::Skill(token)
            | Self::Memories(token)
            | Self::Model(token)
            | Self::Tool(token)
            | Self::Closing(token, _)
            | Self::SkillCall(token, _)
            | Self::Summary(token, _) => *token,
        }
    }
}

/// An entry, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "(String, u32, KnownRole)", into = "(String, u32, KnownRole)")]
pub struct Known {
    pub id: String,
    pub tokens: u32,
    pub role: KnownRole,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KnownRole {
    #[serde(rename = "u")]
    User,
    #[serde(rename = "a")]
    Assistant,
    #[serde(rename = "t")]
    Tool,
}

// There are many of them, and they are written with each step.
impl From<(String, u32, KnownRole)> for Known {
    fn from((id, tokens, role): (String, u32, KnownRole)) -> Self {
        Self { id, tokens, role }
    }
}

impl From<Known> for (String, u32, KnownRole) {
    fn from(known: Known) -> Self {
        (known.id, known.tokens, known.role)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnownModel {
    pub name: String,
    pub window: Option<u64>,
}

impl From<&Entry> for Known {
    fn from(entry: &Entry) -> Self {
        let role = match entry.role {
            Role::User => KnownRole::User,
            Role::Assistant => KnownRole::Assistant,
            Role::Tool => KnownRole::Tool,
        };
        Self { id: entry.id.clone(), tokens: entry.tokens, role }
    }
}

impl Turn {
    /// A token that was not given before.
    pub fn next(&mut self) -> Token {
        self.token += 1;
        self.token
    }

    /// Takes note of what may be used.
    pub fn may_use(&mut self, means: Means) {
        let model = |model: Model| KnownModel { name: model.name, window: model.window };
        self.models = means.models.into_iter().map(model).collect();
        self.skills = told(means.skills);
        self.tools = means.tools.into_iter().map(|tool| tool.name).collect();
    }

    /// The wait of this token, which is over.
    pub fn over(&mut self, token: Token) -> Option<Wait> {
        let at = self.waits.iter().position(|wait| wait.token() == token)?;
        Some(self.waits.remove(at))
    }
}
