//! Formulas as models write them: between dollars, which are also prices, and between `\(` and `\)`, which no parser knows.

use prx_sdk::markdown::restored;

/// What the backslash of a formula is hidden as.
const BACKSLASH: char = '\u{4}';

/// A formula that has begun.
pub(super) struct Formula {
    /// It stands by itself: between `\[` and `\]`.
    pub(super) is_block: bool,
    pub(super) text: String,
}

impl Formula {
    /// The first formula of a text: what stands before it, and what follows its sign.
    pub(super) fn begin(text: &str) -> Option<(&str, Formula, &str)> {
        let found =
            text.match_indices(BACKSLASH).find(|(at, sign)| text[at + sign.len()..].starts_with(['(', '[']));
        let (at, sign) = found?;
        let after = &text[at + sign.len()..];
        let formula = Formula { is_block: after.starts_with('['), text: String::new() };
        Some((&text[..at], formula, &after[1..]))
    }

    /// Takes the text up to the formula's end: what follows that. None: it has not ended.
    pub(super) fn take<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let end = if self.is_block { "\u{4}]" } else { "\u{4})" };
        match text.split_once(end) {
            Some((formula, after)) => {
                self.text.push_str(formula);
                Some(after)
            }
            None => {
                self.text.push_str(text);
                None
            }
        }
    }
}

/// Whether what stands between two dollars is a formula and no sum of money; `after`: what follows the second.
pub(super) fn is_formula(text: &str, after: &str) -> bool {
    let text: String = text.chars().map(restored).collect();
    let is_name = text.chars().all(char::is_alphabetic) && text.chars().count() <= 2;
    let has_sign = text.contains(|c: char| "\\^_={}<>+".contains(c));
    !after.starts_with(char::is_alphanumeric) && (is_name || has_sign)
}
