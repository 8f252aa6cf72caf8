//! What one session leaves for the next: the summary, and after it the last of what was said, in the people's own words. It is
//! made anew with each turn and without a model, so that it is there however the session ends.
//!
//! Its first line is JSON, the rest the summary. What another agent has left is taken for a summary.

use std::borrow::Cow;

use prx_sdk::agent::Context;
use prx_sdk::transcript;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::request::window;
use crate::state::{Known, KnownRole, State, Turn};
use crate::summary;

/// Most bytes of the last messages, together.
const MAX_RECENT: usize = 8 << 10;
/// Most bytes of one of them.
const EACH: usize = 800;
/// Begins the last messages.
const RECENT: &str = "The last that was said there, each line a quoted text:";
/// Stands where something is missing.
const PART: &str = "[Not all that was said there is kept.]";

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Carried {
    /// The last messages, oldest first, as a model is told them.
    recent: Vec<String>,
    /// Nothing is missing between the summary and the end.
    pub whole: bool,
    /// The person was told what becomes of the conversation.
    pub told: bool,
    #[serde(skip)]
    summary: String,
}

impl Carried {
    /// What the session before has left; none if it left nothing.
    pub(crate) fn of(cx: &Context<Config>) -> Option<Self> {
        let text = std::str::from_utf8(cx.session.carried.as_deref()?).ok()?;
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        let carried = match serde_json::from_str::<Self>(first) {
            Ok(carried) => Self { summary: rest.to_owned(), ..carried },
            Err(_) => {
                Self { summary: cut(text, summary::MAX_BYTES).to_owned(), whole: true, ..Self::default() }
            }
        };
        Some(carried).filter(|carried| !carried.recent.is_empty() || !carried.summary.is_empty())
    }

    /// What a turn that ends leaves.
    pub(crate) fn left(cx: &Context<Config>, state: &State, turn: &Turn) -> Self {
        let before = state.has_carried().then(|| Self::of(cx)).flatten();
        let mut left = match before {
            Some(before) => Self { told: false, ..before },
            None => Self { summary: state.summary.clone(), whole: true, ..Self::default() },
        };
        // A quarter of the model's window: with a summary, and what is said then, it is to fit.
        let most = window(state, turn).and_then(|tokens| usize::try_from(tokens).ok());
        let (mut room, mut lines) = (most.unwrap_or(MAX_RECENT).min(MAX_RECENT), Vec::new());
        for known in turn.known.iter().rev() {
            let Some((line, is_whole)) = line(known) else { continue };
            if line.len() > room {
                left.whole = false;
                break;
            }
            room -= line.len();
            left.whole &= is_whole;
            lines.push(line);
        }
        let fits = |line: &String| {
            let fits = line.len() <= room;
            room = if fits { room - line.len() } else { 0 };
            fits
        };
        let older: Vec<String> = left.recent.drain(..).rev().collect();
        let count = older.len();
        let kept: Vec<String> = older.into_iter().take_while(fits).collect();
        left.whole &= kept.len() == count;
        lines.extend(kept);
        lines.reverse();
        Self { recent: lines, ..left }
    }

    /// The same as it is kept.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        if self.recent.is_empty() && self.summary.is_empty() {
            return Vec::new();
        }
        let first = serde_json::to_string(self).unwrap_or_default();
        format!("{first}\n{}", self.summary).into_bytes()
    }

    fn text(&self) -> String {
        let mut parts = Vec::new();
        if !self.summary.is_empty() {
            parts.push(self.summary.clone());
        }
        if !self.whole {
            parts.push(PART.to_owned());
        }
        if !self.recent.is_empty() {
            parts.push(format!("{RECENT}\n{}", self.recent.join("\n")));
        }
        parts.join("\n\n")
    }
}

/// What is known of what was said before the history.
pub(crate) fn earlier<'a>(cx: &Context<Config>, state: &'a State) -> Cow<'a, str> {
    match state.has_carried().then(|| Carried::of(cx)).flatten() {
        Some(carried) => carried.text().into(),
        None => state.summary.as_str().into(),
    }
}

/// An entry as a quoted text, and whether that is all of it; none where nobody said anything.
fn line(known: &Known) -> Option<(String, bool)> {
    let who = match known.role {
        KnownRole::User => "User",
        KnownRole::Assistant => "Assistant",
        KnownRole::Tool => return None,
    };
    let text = transcript::beginning(&known.id, EACH as u32 + 4)?;
    let said = text.trim();
    if said.is_empty() {
        return None;
    }
    let shown = cut(said, EACH);
    let gap = if shown.len() < said.len() { " […]" } else { "" };
    // It can't end the block that it stands in.
    let quoted = serde_json::Value::from(format!("{shown}{gap}")).to_string().replace('<', "\\u003c");
    Some((format!("{who}: {quoted}"), gap.is_empty()))
}

fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}
