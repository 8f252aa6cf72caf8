//! The words of a text, as they are looked for: in any script, in any case.

use std::collections::BTreeMap;

use unicode_segmentation::UnicodeSegmentation;

/// Longest word, in characters; the rest is cut off.
const MAX_WORD_CHARS: usize = 64;

/// Each word of a text, and how often it is there. Where a script has no spaces, each character is a word.
pub(super) fn of(text: &str) -> BTreeMap<String, u32> {
    let mut words = BTreeMap::new();
    for word in text.unicode_words().flat_map(|word| word.split(['\'', '’', '_'])) {
        let word: String = word.chars().flat_map(char::to_lowercase).take(MAX_WORD_CHARS).collect();
        if !word.is_empty() {
            *words.entry(word).or_default() += 1;
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_any_script_and_case() {
        let words = |text: &str| of(text).into_keys().collect::<Vec<_>>().join(" ");
        assert_eq!(words("The dog's name is REX."), "dog is name rex s the");
        assert_eq!(words("Straße, ÉCOLE и Москва"), "straße école и москва");
        assert_eq!(words("猫が好き"), "が き 好 猫");
        assert_eq!(words("… — !"), "");
        assert_eq!(of("ship to ship")["ship"], 2);
        assert_eq!(of(&"x".repeat(1000)).into_keys().next().map(|word| word.len()), Some(MAX_WORD_CHARS));
    }
}
