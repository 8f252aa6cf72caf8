//! A filter that keeps e-mail addresses, card numbers and chosen words from models, and out of their replies.

use prx_sdk::config;
use prx_sdk::filter::{Fault, Filter, Stage, StageKind, Verdict};
use serde::Deserialize;

/// Digits that a card number has, at least and at most.
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    words: Vec<String>,
    #[serde(default = "mark")]
    mark: String,
}

fn mark() -> String {
    "[redacted]".into()
}

struct Redact;

impl Filter for Redact {
    const STAGES: &[StageKind] = &[StageKind::Inbound, StageKind::Outbound, StageKind::AfterTool];

    fn inspect(stage: Stage) -> Result<Verdict, Fault> {
        let Config { words, mark } = config::get()?;
        let text = stage.text();
        let redacted = numbers(&addresses(&chosen(text, &words, &mark), &mark), &mark);
        Ok(if redacted == text { Verdict::Pass } else { Verdict::Replace(redacted) })
    }
}

prx_sdk::plugin! { filter: Redact, manifest: "plugin.toml" }

/// Without these words.
fn chosen(text: &str, words: &[String], mark: &str) -> String {
    words.iter().filter(|word| !word.is_empty()).fold(text.to_owned(), |text, word| {
        let word: Vec<char> = word.chars().flat_map(char::to_lowercase).collect();
        let (mut kept, mut rest) = (String::new(), text.as_str());
        while let Some(next) = rest.chars().next() {
            match length_of(&word, rest) {
                Some(length) => {
                    kept.push_str(mark);
                    rest = &rest[length..];
                }
                None => {
                    kept.push(next);
                    rest = &rest[next.len_utf8()..];
                }
            }
        }
        kept
    })
}

/// How many bytes of a text are this word, whatever its case, if it begins with that.
fn length_of(word: &[char], text: &str) -> Option<usize> {
    let mut left = word;
    for (at, c) in text.char_indices() {
        if left.is_empty() {
            return Some(at);
        }
        let lower: Vec<char> = c.to_lowercase().collect();
        left = left.strip_prefix(lower.as_slice())?;
    }
    left.is_empty().then_some(text.len())
}

/// Without e-mail addresses: a word that has an @ with something before it and a name with a dot behind it.
fn addresses(text: &str, mark: &str) -> String {
    let is_part = |c: char| c.is_alphanumeric() || "@.-_+%'".contains(c);
    let mut kept = String::new();
    for (piece, is_word) in pieces(text, is_part) {
        let word = piece.trim_matches(|c: char| !c.is_alphanumeric());
        let is_address =
            word.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
        match is_word && is_address {
            true => kept.push_str(&piece.replacen(word, mark, 1)),
            false => kept.push_str(piece),
        }
    }
    kept
}

/// Without card numbers: so many digits, with spaces or dashes between them, and the right check digit.
fn numbers(text: &str, mark: &str) -> String {
    let is_part = |c: char| c.is_ascii_digit() || c == ' ' || c == '-';
    let is_card = |piece: &str| {
        let digits: Vec<u32> = piece.chars().filter_map(|c| c.to_digit(10)).collect();
        let doubled = |(n, digit): (usize, &u32)| match (n % 2, digit * 2) {
            (0, _) => *digit,
            (_, double) => double / 10 + double % 10,
        };
        CARD_DIGITS.contains(&digits.len())
            && digits.iter().rev().enumerate().map(doubled).sum::<u32>().is_multiple_of(10)
    };
    let mut kept = String::new();
    for (piece, is_number) in pieces(text, is_part) {
        match is_number && is_card(piece) {
            true => {
                let digits = piece.trim_matches([' ', '-']);
                kept.push_str(&piece.replacen(digits, mark, 1));
            }
            false => kept.push_str(piece),
        }
    }
    kept
}

/// A text in pieces: those whose characters are all parts, and those in between.
fn pieces(text: &str, is_part: impl Fn(char) -> bool + Copy) -> impl Iterator<Item = (&str, bool)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let is_word = is_part(rest.chars().next()?);
        let end = rest.find(|c| is_part(c) != is_word).unwrap_or(rest.len());
        let (piece, left) = rest.split_at(end);
        rest = left;
        Some((piece, is_word))
    })
}

#[cfg(test)]
mod tests {
    use prx_sdk::testing;
    use serde_json::json;

    use super::*;

    fn redacted(text: &str) -> String {
        match testing::inspect::<Redact>(Stage::Outbound(testing::said(text))).unwrap() {
            Verdict::Replace(text) => text,
            _ => text.to_owned(),
        }
    }

    #[test]
    fn addresses_cards_and_chosen_words_are_taken_out() {
        testing::configure(json!({"words": ["Bluebird"], "mark": "#"}));
        for (text, expected) in [
            ("Write to ann.lee+x@mail.example.org. Or call.", "Write to #. Or call."),
            ("Pay with 4111 1111 1111 1111 today", "Pay with # today"),
            ("card:4111-1111-1111-1111.", "card:#."),
            ("Project BLUEBIRD and bluebirds", "Project # and #s"),
            ("a@b, 1234 5678 9012 3456, @home, 3.14", "a@b, 1234 5678 9012 3456, @home, 3.14"),
            ("ÄÖÜ bluebird ẞ", "ÄÖÜ # ẞ"),
        ] {
            assert_eq!(redacted(text), expected);
        }
    }
}
