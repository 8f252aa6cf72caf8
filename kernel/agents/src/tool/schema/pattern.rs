//! How large a pattern becomes when it is compiled, by its text. What counts is what multiplies: repetitions, one in
//! another, and classes of Unicode.

/// States of the automaton for any character: in UTF-8 it has one to four bytes.
const ANY: u64 = 12;
/// States for a class of Unicode, such as `\p{L}`.
const UNICODE_CLASS: u64 = 2_000;
/// States that every pattern costs, for what is kept beside its automaton.
const BASE: u64 = 256;

/// A pattern's size, and how it is matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// States of its automaton, about; never far below what there are.
    pub(super) states: u64,
    /// It looks around or back, so that no automaton matches it: it is tried, and tried again.
    pub(super) backtracks: bool,
}

/// Measures a pattern in time that its length bounds. One that is no pattern has a size, too.
pub(super) fn measure(pattern: &str) -> Size {
    let backtracks = looks_around(pattern);
    let mut scan = Scan { chars: pattern.chars().peekable(), backtracks, levels: vec![Level::default()] };
    while scan.step() {}
    let mut states = scan.levels.iter().fold(BASE, |sum, level| sum.saturating_add(level.sum));
    if pattern.contains("(?i") {
        states = states.saturating_mul(4);
    }
    Size { states, backtracks }
}

/// Whether it has a group that looks ahead or behind, or refers to what another one has matched.
fn looks_around(pattern: &str) -> bool {
    let group = ["(?=", "(?!", "(?<=", "(?<!", "(?>"].iter().any(|group| pattern.contains(group));
    let mut escaped = false;
    let refers = pattern.chars().any(|c| {
        let refers = escaped && (matches!(c, '1'..='9') || c == 'k');
        escaped = !escaped && c == '\\';
        refers
    });
    group || refers
}

/// A group that is open, or all of the pattern.
#[derive(Default)]
struct Level {
    sum: u64,
    /// The states of what a repetition would repeat; they are in the sum.
    last: u64,
}

struct Scan<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    /// Classes such as `\w` are then those of Unicode, else those of ASCII.
    backtracks: bool,
    levels: Vec<Level>,
}

impl Scan<'_> {
    /// Takes in the next part. False: there is none.
    fn step(&mut self) -> bool {
        let Some(c) = self.chars.next() else { return false };
        match c {
            '\\' => {
                let states = self.escape();
                self.add(states);
            }
            '[' => {
                let states = self.class();
                self.add(states);
            }
            '.' => self.add(ANY),
            '(' => self.levels.push(Level::default()),
            ')' if self.levels.len() > 1 => {
                let group = self.levels.pop().map_or(0, |level| level.sum);
                self.add(group.saturating_add(2));
            }
            '*' | '+' | '?' | '|' => self.level().sum = self.level().sum.saturating_add(1),
            '{' => match self.times() {
                Some(times) => self.repeat(times),
                None => self.add(1),
            },
            c => self.add(c.len_utf8() as u64),
        }
        true
    }

    fn level(&mut self) -> &mut Level {
        if self.levels.is_empty() {
            self.levels.push(Level::default());
        }
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }

    fn add(&mut self, states: u64) {
        let level = self.level();
        level.sum = level.sum.saturating_add(states);
        level.last = states;
    }

    fn repeat(&mut self, times: u64) {
        let level = self.level();
        let repeated = level.last.saturating_mul(times.max(1));
        level.sum = level.sum.saturating_sub(level.last).saturating_add(repeated);
        level.last = repeated;
    }

    /// The states of an escape, whose backslash is taken.
    fn escape(&mut self) -> u64 {
        let unicode = |states| if self.backtracks { states } else { 4 };
        let escaped = self.chars.next();
        if matches!(escaped, Some('p' | 'P' | 'x' | 'u')) && self.chars.next_if_eq(&'{').is_some() {
            // What is in the braces is a name or a code, and no number of repetitions.
            self.chars.find(|c| *c == '}');
        }
        match escaped {
            Some('p' | 'P') => UNICODE_CLASS,
            Some('w' | 'W') => unicode(700),
            Some('d' | 'D') => unicode(160),
            Some('s' | 'S') => unicode(24).max(ANY),
            _ => 2,
        }
    }

    /// The states of a class, whose bracket is taken.
    fn class(&mut self) -> u64 {
        let negated = self.chars.next_if_eq(&'^').is_some();
        let mut states = if negated { ANY } else { 2 };
        let mut first = true;
        while let Some(c) = self.chars.next() {
            states = match c {
                ']' if !first => break,
                '\\' => self.escape().saturating_add(states),
                c => states.saturating_add(c.len_utf8() as u64),
            };
            first = false;
        }
        states
    }

    /// How often `{n,m}` repeats, whose brace is taken; none, and nothing taken, where it is no repetition.
    fn times(&mut self) -> Option<u64> {
        let mut ahead = self.chars.clone();
        let (mut times, mut number, mut digits) = (0, 0_u64, false);
        loop {
            match ahead.next()? {
                '}' if digits => break,
                ',' if digits => times = std::mem::take(&mut number),
                c if c.is_ascii_whitespace() => {}
                c => {
                    number = number.saturating_mul(10).saturating_add(c.to_digit(10)?.into());
                    digits = true;
                }
            }
        }
        self.chars = ahead;
        Some(number.max(times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(pattern: &str) -> u64 {
        measure(pattern).states
    }

    #[test]
    fn what_repeats_multiplies() {
        assert!(states("^[a-z0-9_-]{1,64}$") < 1_000);
        assert!((500..2_000).contains(&states(r"^\w{150}abc$")));
        assert!(states("((a{100}){100}){100}") > 1_000_000);
        assert!(states("(a|b|(c{2,1000})){1000,}") > 1_000_000);
        assert!(states(r"\p{L}{100}") > 100_000 && states(r"\u{99999}") < 1_000);
        assert!(states("[^a]{9999}") > 100_000);
        assert!(
            states("a{99999999999999999999999}") > 1 << 60
                && states("a{00000000000000000000000000000009999}") > 9_000
        );
        assert!(states("((((a{99999999}){99999999}){99999999}){99999999}") > 1 << 60, "no overflow");
        for odd in ["", "[", "(", ")", "\\", "{", "{,}", "a{", "[]", "[^", "(?", "*{2}"] {
            assert!(states(odd) < 1_000, "{odd}");
        }
    }

    #[test]
    fn what_looks_around_is_seen() {
        for pattern in ["^(?!x).*$", "(?<=a)b", "(a)\\1", r"(?<n>a)\k<n>", "a(?>b+)"] {
            assert!(measure(pattern).backtracks, "{pattern}");
        }
        for pattern in ["^(?:a|b)$", "(?<n>a)", r"\\1", r"a\d", "(?i)x"] {
            assert!(!measure(pattern).backtracks, "{pattern}");
        }
    }
}
