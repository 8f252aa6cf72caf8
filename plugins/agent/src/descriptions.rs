//! What is said of each skill to a model, short enough to be said in every request.

use prx_sdk::agent::SkillSummary;

/// Most bytes of all descriptions together.
const MAX_BYTES: usize = 8 << 10;

/// Each skill by its name, with what it is for in one line. Where there are too many words the longest descriptions are cut,
/// all of them to the same length: a model can ask for any skill by its name.
pub(crate) fn told(skills: Vec<SkillSummary>) -> Vec<(String, String)> {
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut all: Vec<(String, String)> =
        skills.into_iter().map(|skill| (skill.name, one_line(&skill.description))).collect();
    let most = share(all.iter().map(|(_, text)| text.len()).collect());
    for (_, text) in all.iter_mut().filter(|(_, text)| text.len() > most) {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
    all
}

/// The length that each text may have at most, so that all of them fit.
fn share(mut lengths: Vec<usize>) -> usize {
    lengths.sort_unstable();
    let (mut left, mut waiting) = (MAX_BYTES, lengths.len());
    for length in lengths {
        if length * waiting > left {
            return left / waiting;
        }
        (left, waiting) = (left - length, waiting - 1);
    }
    MAX_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skill(name: &str, description: &str) -> SkillSummary {
        SkillSummary { name: name.into(), description: description.into(), triggers: Vec::new() }
    }

    #[test]
    fn every_skill_is_told_and_only_long_words_are_cut() {
        let few = told(vec![skill("a", "Does\n  a."), skill("b", &"x".repeat(1024))]);
        assert_eq!(few[0], ("a".into(), "Does a.".into()));
        assert_eq!(few[1].1.len(), 1024);
        let mut many: Vec<_> = (0..256).map(|n| skill(&format!("s{n}"), &"ä".repeat(1024))).collect();
        many.push(skill("short", "Does it."));
        let many = told(many);
        assert_eq!((many.len(), &*many[256].1), (257, "Does it."));
        assert!(many[0].1.starts_with("äää") && many[0].1.ends_with('…'), "{}", many[0].1);
        let all: usize = many.iter().map(|(_, text)| text.len() - '…'.len_utf8()).sum();
        assert!((MAX_BYTES - 512..=MAX_BYTES).contains(&all), "{all}");
    }
}
