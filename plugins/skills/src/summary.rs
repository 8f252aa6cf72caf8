//! Which sentences say most: SumBasic (Nenkova and Vanderwende, 2005), which takes the sentence whose words are the
//! most frequent ones, then counts those words for less, so that the next one says something else.

use crate::sentences;
use std::collections::{BTreeMap, BTreeSet};

/// Longest summary, in sentences, and in characters.
const MAX_SENTENCES: usize = 5;
const MAX_CHARS: usize = 1200;
/// Longest sentence; what is longer is cut.
const MAX_SENTENCE: usize = 400;
/// More than this much text is read from its end only.
const MAX_READ: usize = 200_000;

/// Words that say nothing about what a text is about: English, German, French, Spanish.
const STOP_WORDS: &str = "a about after all also an and any are as at be because been but by can could did do does for \
    from had has have he her him his how i if in into is it its just like me more most my no not of on only or other our \
    out over s she so some such t than that the their them then there these they this those to too up us very was we were \
    what when where which who will with would you your \
    aber als auch auf aus bei bin bis das dass dem den der des die ein eine einem einen einer es für hat ich im ist mit \
    nach nicht noch nur oder sein sich sie sind so über um und uns von vor war was wenn wer wie wir wird zu zum zur \
    au aux avec ce ces dans de elle en est et il je la le les leur lui mais ne nous ou par pas pour qu que qui sa se ses \
    son sur tu un une vous \
    al como con del el ella era esta este fue ha hay lo los las más muy nos o para pero por porque sin su sus también y ya";

/// The sentences that say most, in the order of the text: about a quarter of them, at least one, at most five.
/// A text of one or two sentences is its own summary.
pub(crate) fn summarize(text: &str) -> Vec<String> {
    let sentences = sentences::split(tail(text));
    let wanted = match sentences.len() {
        0..=2 => sentences.len(),
        n => n.div_ceil(4).min(MAX_SENTENCES),
    };
    let mut chosen = choose(&sentences, wanted);
    chosen.sort_unstable();
    let mut room = MAX_CHARS;
    let mut summary = Vec::new();
    for sentence in chosen.into_iter().map(|index| cut(&sentences[index])) {
        let Some(left) = room.checked_sub(sentence.chars().count()) else { break };
        room = left;
        summary.push(sentence);
    }
    summary
}

fn choose(sentences: &[String], wanted: usize) -> Vec<usize> {
    if wanted == sentences.len() {
        return (0..wanted).collect();
    }
    let stop: BTreeSet<_> = STOP_WORDS.split(' ').collect();
    let words: Vec<BTreeSet<String>> = sentences.iter().map(|sentence| words(sentence, &stop)).collect();
    let mut weights: BTreeMap<&str, f64> = BTreeMap::new();
    for word in words.iter().flatten() {
        *weights.entry(word).or_default() += 1.0 / sentences.len() as f64;
    }
    let mut chosen = Vec::new();
    while chosen.len() < wanted {
        let said = |index: &usize| {
            chosen.iter().any(|&other: &usize| other == *index || words[other] == words[*index])
        };
        let open = (0..sentences.len()).filter(|index| !said(index));
        let scored = open.map(|index| (score(&words[index], &weights, index), index));
        // Of equals, the earlier.
        let Some((_, best)) = scored.reduce(|best, next| if next.0 > best.0 { next } else { best }) else {
            break;
        };
        for word in &words[best] {
            if let Some(weight) = weights.get_mut(word.as_str()) {
                *weight *= *weight;
            }
        }
        chosen.push(best);
    }
    chosen
}

/// The mean weight of its words, less for very short sentences, more for the opening one.
fn score(words: &BTreeSet<String>, weights: &BTreeMap<&str, f64>, index: usize) -> f64 {
    let sum: f64 = words.iter().filter_map(|word| weights.get(word.as_str())).sum();
    let opening = if index == 0 { 1.25 } else { 1.0 };
    opening * sum / (words.len() as f64 + 4.0)
}

/// The words that count, in lower case; of scripts without spaces, pairs of characters.
fn words(sentence: &str, stop: &BTreeSet<&str>) -> BTreeSet<String> {
    let lower = sentence.to_lowercase();
    let mut words = BTreeSet::new();
    for run in lower.split(|c: char| !c.is_alphanumeric()) {
        let chars: Vec<char> = run.chars().collect();
        if chars.iter().any(|c| is_unspaced(*c)) {
            words.extend(chars.windows(2).map(|pair| pair.iter().collect()));
        } else if chars.len() > 1 && !stop.contains(run) {
            words.insert(run.to_owned());
        }
    }
    words
}

/// Chinese, Japanese and Thai, among others, put no space between words.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{0e00}'..='\u{0eff}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}')
}

/// The sentence, cut at a word if it is too long.
fn cut(sentence: &str) -> String {
    let Some((end, _)) = sentence.char_indices().nth(MAX_SENTENCE) else { return sentence.to_owned() };
    let head = &sentence[..end];
    let head = head.rsplit_once(' ').map_or(head, |(words, _)| words);
    format!("{}…", head.trim_end_matches([',', ';', ':', ' ']))
}

/// The end of a text that is too long to read whole.
fn tail(text: &str) -> &str {
    let start = text.len().saturating_sub(MAX_READ);
    &text[text.ceil_char_boundary(start)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORY: &str = "The harbour bridge was closed on Monday after engineers found cracks in a steel girder. \
        It was a sunny day. Traffic across the harbour was sent over the northern tunnel, where drivers waited for an hour. \
        Somebody sold ice cream. The engineers said that the cracks in the bridge came from salt water. \
        A dog barked. Repairing the girder of the bridge will take three weeks and cost 2.5 million dollars, Mr. Bell said. \
        Nobody was hurt.";

    #[test]
    fn it_picks_what_the_text_is_about_in_its_order() {
        let summary = summarize(STORY);
        assert_eq!(
            summary,
            [
                "The harbour bridge was closed on Monday after engineers found cracks in a steel girder.",
                "Repairing the girder of the bridge will take three weeks and cost 2.5 million dollars, Mr. Bell said.",
            ]
        );
    }

    #[test]
    fn it_does_not_say_one_thing_twice() {
        let text = "Storage costs rise quickly. Storage costs rise quickly. Storage costs rise quickly. Storage costs rise quickly. \
            Backups protect customers. Backups need testing. Lunch is at noon. Weather permitting.";
        let summary = summarize(text);
        assert_eq!(summary.len(), 2);
        assert_eq!(summary[0], "Storage costs rise quickly.");
        assert_ne!(summary[1], summary[0]);
    }

    #[test]
    fn it_is_bounded() {
        let many: String =
            (0..5_000).map(|i| format!("Sentence number {i} speaks of subject {}. ", i % 7)).collect();
        assert_eq!(summarize(&many).len(), MAX_SENTENCES);
        let long = "word ".repeat(100_000);
        let summary = summarize(&long);
        assert_eq!(summary.len(), 1);
        assert!(summary[0].chars().count() <= MAX_SENTENCE + 1 && summary[0].ends_with("word…"));
        assert!(summarize(&"é".repeat(300_000))[0].ends_with('…'));
    }

    #[test]
    fn it_reads_scripts_without_spaces() {
        let text = "東京の天気は雨です。猫が好き。東京の天気は明日も雨でしょう。はい。東京は広い。";
        let summary = summarize(text);
        assert_eq!(summary.len(), 2);
        assert!(summary.iter().any(|sentence| sentence.contains("東京の天気")), "{summary:?}");
    }

    #[test]
    fn nothing_in_nothing_out() {
        assert!(summarize("").is_empty());
        assert!(summarize("```\ncode only. Really.\n```").is_empty());
        assert_eq!(summarize("Just this."), ["Just this."]);
        assert_eq!(summarize("It is. So it is."), ["It is.", "So it is."]);
    }
}
