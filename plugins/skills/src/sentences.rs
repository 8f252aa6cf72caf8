//! Where one sentence ends and the next begins.

/// Words whose full stop ends no sentence, in lower case, without it.
const ABBREVIATIONS: &[&str] = &[
    "mr", "mrs", "ms", "dr", "prof", "rev", "gen", "sen", "gov", "capt", "lt", "col", "sgt", "st", "vs",
    "cf", "fig", "figs", "eq", "al", "approx", "ca", "dept", "est", "vol", "pp", "ed", "eds", "e.g", "i.e",
    "viz", "resp", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
    "z.b", "d.h", "u.a", "bzw", "nr", "bspw",
];

/// Words whose full stop ends no sentence where a number follows.
const BEFORE_NUMBERS: &[&str] = &["no", "nos", "p", "art", "sec", "ch", "abs"];

/// The sentences of a text, in order, each on one line. Code blocks, headings and rules are left out; an item of a list
/// is a sentence or more of its own.
pub(crate) fn split(text: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut paragraph = String::new();
    let mut fence: Option<&str> = None;
    for line in text.lines() {
        let line = line.trim();
        let mark = ["```", "~~~"].into_iter().find(|mark| line.starts_with(mark));
        if fence.is_some() || mark.is_some() {
            flush(&mut paragraph, &mut sentences);
            fence = match (fence, mark) {
                (None, opening) => opening,
                (open, closing) if open == closing => None,
                (open, _) => open,
            };
            continue;
        }
        let item = item(line);
        if line.is_empty() || line.starts_with('#') || is_rule(line) || item.is_some() {
            flush(&mut paragraph, &mut sentences);
        }
        let content = item.unwrap_or(line).trim_start_matches('>').trim_start();
        if line.starts_with('#') || is_rule(line) {
            continue;
        }
        if !paragraph.is_empty() {
            paragraph.push(' ');
        }
        paragraph.push_str(content);
    }
    flush(&mut paragraph, &mut sentences);
    sentences
}

/// What follows the mark of a list item.
fn item(line: &str) -> Option<&str> {
    let bullet = ["- ", "* ", "+ ", "• "].into_iter().find_map(|mark| line.strip_prefix(mark));
    bullet.or_else(|| {
        let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let numbered = (1..=3).contains(&(line.len() - rest.len()));
        numbered.then(|| rest.strip_prefix(". ").or_else(|| rest.strip_prefix(") "))).flatten()
    })
}

fn is_rule(line: &str) -> bool {
    line.len() >= 3 && (line.chars().all(|c| "-=*_".contains(c)))
}

fn flush(paragraph: &mut String, sentences: &mut Vec<String>) {
    let words: Vec<_> = paragraph.split_whitespace().collect();
    let line = words.join(" ");
    let mut start = 0;
    for end in ends(&line) {
        let sentence = line[start..end].trim();
        if sentence.chars().any(char::is_alphanumeric) {
            sentences.push(sentence.to_owned());
        }
        start = end;
    }
    paragraph.clear();
}

/// The byte positions after each sentence of a line, the last one included.
fn ends(line: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut in_code = false;
    let mut chars = line.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c == '`' {
            in_code = !in_code && line[at + 1..].contains('`');
        }
        if in_code || !is_terminator(c) {
            continue;
        }
        let mut end = at + c.len_utf8();
        while let Some(&(next, closing)) = chars.peek().filter(|(_, c)| is_terminator(*c) || is_closing(*c)) {
            end = next + closing.len_utf8();
            chars.next();
        }
        if is_end(&line[..at], c, &line[at..end], &line[end..]) {
            ends.push(end);
        }
    }
    if ends.last() != Some(&line.len()) {
        ends.push(line.len());
    }
    ends
}

/// Whether a sentence ends with `mark`, of which `first` is the first character, between these two texts.
fn is_end(before: &str, first: char, mark: &str, after: &str) -> bool {
    if "。！？".contains(first) {
        return true;
    }
    let rest = after.trim_start();
    if rest.is_empty() {
        return true;
    }
    let Some(next) = rest.chars().next().filter(|_| rest.len() < after.len()) else { return false };
    if next.is_lowercase() {
        return false;
    }
    mark != "." || !is_abbreviation(before, next)
}

fn is_abbreviation(before: &str, next: char) -> bool {
    let word =
        before.rsplit(|c: char| c.is_whitespace() || "([\"'“„‘".contains(c)).next().unwrap_or_default();
    let lower = word.to_lowercase();
    let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase) && word != "I";
    initial
        || ABBREVIATIONS.contains(&lower.as_str())
        || (next.is_numeric() && BEFORE_NUMBERS.contains(&lower.as_str()))
}

fn is_terminator(c: char) -> bool {
    ".!?…。！？؟।".contains(c)
}

fn is_closing(c: char) -> bool {
    "\"')]»”’」』*_".contains(c)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn sentences_end_where_a_reader_would_say_so() {
        let cases: &[(&str, &[&str])] = &[
            ("One. Two! Three?", &["One.", "Two!", "Three?"]),
            (
                "Dr. Smith met Mrs. Jones at 3.14 p.m. today. They left.",
                &["Dr. Smith met Mrs. Jones at 3.14 p.m. today.", "They left."],
            ),
            ("Use a cache, e.g. Redis. It helps.", &["Use a cache, e.g. Redis.", "It helps."]),
            ("See Fig. 3 and No. 5. Then go on.", &["See Fig. 3 and No. 5.", "Then go on."]),
            (
                "J. R. R. Tolkien wrote it. So did I. Really.",
                &["J. R. R. Tolkien wrote it.", "So did I.", "Really."],
            ),
            (
                "He said \"Stop!\" and left. She (too?) stayed.",
                &["He said \"Stop!\" and left.", "She (too?) stayed."],
            ),
            ("It is \"done.\" We rest.", &["It is \"done.\"", "We rest."]),
            ("Wait... what? Yes… no.", &["Wait... what?", "Yes… no."]),
            (
                "Version 1.2.3 is at example.com/a.b today. Call `a. B` now. End",
                &["Version 1.2.3 is at example.com/a.b today.", "Call `a. B` now.", "End"],
            ),
            ("今日は雨です。明日は晴れ！本当？", &["今日は雨です。", "明日は晴れ！", "本当？"]),
            ("Élan vital. Über alles. Ça va?", &["Élan vital.", "Über alles.", "Ça va?"]),
            ("Das gilt z.B. Hunden. Und Nr. 4.", &["Das gilt z.B. Hunden.", "Und Nr. 4."]),
            ("It rose in 1990. Then it fell.", &["It rose in 1990.", "Then it fell."]),
            ("", &[]),
            (" ... !! ", &[]),
        ];
        for (text, sentences) in cases {
            assert_eq!(split(text), *sentences, "{text}");
        }
    }

    #[test]
    fn markup_is_left_out_and_lists_are_taken_apart() {
        let text = "# Title\nFirst line\ngoes on. Second.\n\n- item one\n- item two. And more.\n\n1. numbered\n---\n```rust\nlet a = 1. Foo;\n```\n> quoted text\nLast.";
        let expected = [
            "First line goes on.",
            "Second.",
            "item one",
            "item two.",
            "And more.",
            "numbered",
            "quoted text Last.",
        ];
        assert_eq!(split(text), expected);
    }

    #[test]
    fn a_fence_ends_with_its_own_kind() {
        assert_eq!(split("~~~\n```\nno. No.\n~~~\nYes."), ["Yes."]);
        assert_eq!(split("Before.\n```\nnever closed. At all."), ["Before."]);
    }
}
