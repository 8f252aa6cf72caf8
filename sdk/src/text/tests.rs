use super::*;
use crate::testing::Chance;

fn parts(markdown: &str, limit: usize) -> Vec<String> {
    let (mut parts, mut rest) = (Vec::new(), markdown.to_owned());
    while !rest.is_empty() {
        let (part, next) = cut(&rest, limit);
        assert!(next.len() < rest.len() || next.is_empty(), "no progress: {rest:?}");
        assert!(units(&part) <= limit, "{} units: {part:?}", units(&part));
        parts.push(part);
        rest = next;
    }
    parts
}

/// The code block that is open at the end.
fn fences_of(part: &str) -> Option<Fence<'_>> {
    fences(part).pop().filter(|fence| !fence.is_closed)
}

#[test]
fn what_fits_stays_whole() {
    assert_eq!(parts("hello\n\nworld\n", 256), ["hello\n\nworld"]);
    assert_eq!(parts(&"x".repeat(4096), 4096).len(), 1);
    assert_eq!(
        parts(&"x".repeat(10_000), 4096).iter().map(|p| p.len()).collect::<Vec<_>>(),
        [4096, 4096, 1808]
    );
}

#[test]
fn units_are_utf16_and_a_pair_is_never_split() {
    assert_eq!(units("a\u{1F600}ß"), 4);
    let parts = parts(&"\u{1F600}".repeat(300), 257);
    assert_eq!(parts.iter().map(|p| units(p)).collect::<Vec<_>>(), [256, 256, 88]);
}

#[test]
fn cuts_at_a_paragraph_then_a_line_then_a_word() {
    let sentence = "word ".repeat(30);
    let paragraph = format!("{sentence}\n{sentence}");
    assert_eq!(cut(&format!("{sentence}\n\n{paragraph}"), 256).0, sentence.trim_end());
    assert_eq!(cut(&paragraph, 256).0, sentence.trim_end());
    let (part, rest) = cut(&"word ".repeat(100), 256);
    assert_eq!((part.len(), rest.starts_with("word")), (254, true));
}

#[test]
fn a_code_block_is_closed_and_opened_again() {
    let code = (0..40).map(|i| format!("let x{i} = {i};\n")).collect::<String>();
    let parts = parts(&format!("Look:\n\n```rust\n{code}```\ndone"), 256);
    assert!(parts.len() > 2);
    assert!(parts.iter().all(|part| fences_of(part).is_none()), "{parts:#?}");
    assert!(parts[1].starts_with("```rust\nlet x"));
    let lines = parts.iter().flat_map(|p| p.lines()).filter(|line| line.starts_with("let"));
    assert_eq!(lines.map(|line| format!("{line}\n")).collect::<String>(), code);
}

#[test]
fn an_endless_line_of_code_still_ends() {
    let parts = parts(&format!("```\n   {}", "y".repeat(1000)), 256);
    assert!(parts.iter().all(|part| part.starts_with("```\n")));
    assert_eq!(parts.concat().matches('y').count(), 1000);
}

#[test]
fn any_text_comes_through_in_order_with_every_fence_closed() {
    let mut chance = Chance::new(7);
    let pieces = [
        "```rust\n",
        "```\n",
        "~~~~\n",
        "\n\n",
        "word ",
        "\u{1F600}",
        "ßßß",
        " ",
        "\r\n",
        "x".repeat(90).leak(),
    ];
    for _ in 0..2000 {
        let text: String = (0..chance.below(60)).map(|_| pieces[chance.below(pieces.len())]).collect();
        let parts = parts(&text, 256);
        let letters = |text: &str| text.chars().filter(|c| "wodxß\u{1F600}".contains(*c)).count();
        assert!(parts.iter().map(|part| letters(part)).sum::<usize>() >= letters(&text));
        let cut_off = parts.iter().rev().skip(1).find(|part| fences_of(part).is_some());
        assert_eq!(cut_off, None, "{text:?}");
    }
}

/// The parts of a text, each with the code blocks that a parser finds in it.
fn code_of(parts: &[String]) -> Vec<String> {
    use pulldown_cmark::{Event, Tag, TagEnd};
    let mut code = Vec::new();
    for part in parts {
        let mut inside = false;
        for event in crate::markdown::parser(part) {
            match event {
                Event::Start(Tag::CodeBlock(_)) => inside = true,
                Event::End(TagEnd::CodeBlock) => inside = false,
                Event::Text(text) if inside => code.push(text.trim_end_matches('\n').to_owned()),
                _ => {}
            }
        }
    }
    code
}

#[test]
fn a_code_block_in_a_list_goes_on_in_the_next_part_with_its_code_as_it_was() {
    let code: Vec<String> = (0..60).map(|i| format!("export A_{i}=__x__ && ls")).collect();
    for (first, indent) in
        [("10. Install:\n\n    ```bash\n", "    "), ("- ~~~\n", "  "), ("- a\n  - ```\n", "    ")]
    {
        let lines: String = code.iter().map(|line| format!("{indent}{line}\n")).collect();
        let fence = if first.contains('~') { "~~~" } else { "```" };
        let text = format!("{first}{lines}{indent}{fence}\n\nThat was *it*.");
        let parts = parts(&text, 256);
        assert!(parts.len() > 4);
        assert!(parts.iter().all(|part| fences_of(part).is_none()), "{parts:#?}");
        assert_eq!(code_of(&parts).iter().flat_map(|code| code.lines()).collect::<Vec<_>>(), code);
        assert!(parts.last().is_some_and(|part| part.ends_with("That was *it*.")));
    }
}

#[test]
fn a_code_block_in_a_quote_goes_on_in_the_next_part() {
    let code: Vec<String> = (0..60).map(|i| format!("let x{i} = {i} > 0;")).collect();
    let lines: String = code.iter().map(|line| format!("> {line}\n")).collect();
    let parts = parts(&format!("> Look:\n>\n> ```rust\n{lines}> ```\n> and this\n\nbye"), 256);
    assert!(parts.iter().all(|part| fences_of(part).is_none()), "{parts:#?}");
    assert_eq!(code_of(&parts).iter().flat_map(|code| code.lines()).collect::<Vec<_>>(), code);
    assert!(parts.last().is_some_and(|part| part.ends_with("> and this\n\nbye")), "{parts:#?}");
}

#[test]
fn a_cut_in_a_list_keeps_what_follows_as_deep_as_it_was() {
    let sentence = "word ".repeat(40);
    let text = format!("- {sentence}\n\n  ```\n  code\n  ```\n  - below\n- next\n\n    code");
    let (_, rest) = cut(&text, 210);
    assert_eq!(rest, "```\ncode\n```\n- below\n- next\n\n    code");
}

#[test]
fn no_character_is_cut_as_people_see_it() {
    for whole in ["👩\u{200d}👩\u{200d}👧", "e\u{301}", "🇩🇪", "한"] {
        let text = format!("x{}", whole.repeat(300));
        let parts = parts(&text, 100);
        assert!(
            parts.iter().all(|part| part.trim_start_matches('x').len().is_multiple_of(whole.len())),
            "{parts:?}"
        );
    }
    let endless = format!("e{}", "\u{301}".repeat(1000));
    assert_eq!(parts(&endless, 256).concat(), endless, "what is no end of a character is cut somewhere");
}

#[test]
fn what_is_made_to_take_long_does_not() {
    let pathological = [
        "[".repeat(10_000),
        "*".repeat(10_000),
        "*a ".repeat(10_000),
        ">".repeat(10_000),
        "> ".repeat(10_000) + "x",
        "`".repeat(10_000),
        (0..200).map(|depth| format!("{}- x\n", " ".repeat(2 * depth))).collect(),
        "- ".repeat(10_000),
        "> ```\n".repeat(5_000),
        "![](".repeat(5_000),
        "|".repeat(10_000) + "\n" + &"|-".repeat(5_000),
        "\\(".repeat(10_000),
        "\u{301}".repeat(10_000),
        "~~~ x\n".repeat(5_000),
        "http://_".repeat(5_000),
        "<".repeat(10_000),
        "$".repeat(10_001),
    ];
    for text in pathological {
        for limit in [256, 4096] {
            assert!(!parts(&text, limit).is_empty());
        }
        let simplified = crate::markdown::simplified(&text);
        assert!(simplified.len() <= 8 * text.len());
        assert_eq!(crate::markdown::linked(&text), text.as_str());
    }
}
