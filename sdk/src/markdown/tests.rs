use super::*;
use crate::testing::Chance;
use crate::text::units;
use pulldown_cmark::{Event, Tag, TagEnd};
use std::borrow::Cow;

fn restored_text(text: &str) -> String {
    text.chars().map(restored).collect()
}

#[test]
fn what_is_hidden_comes_back_and_has_its_length() {
    let mut chance = Chance::new(5);
    let pieces = [
        "_",
        "__",
        "*",
        "**",
        "~",
        "~~",
        "/",
        ".",
        "a",
        "ß",
        "名",
        "。",
        "“",
        "https://x",
        "<",
        ">",
        "](",
        "\\(",
        "\\)",
        "\\[ ",
        "\\]",
        " ",
        "\n",
        "\n\n",
        ":",
        "(",
        "\\",
        "h",
    ];
    for _ in 0..20_000 {
        let text: String = (0..chance.below(30)).map(|_| pieces[chance.below(pieces.len())]).collect();
        let hidden = shielded(&text);
        assert_eq!((hidden.len(), restored_text(&hidden)), (text.len(), text));
    }
}

#[test]
fn a_text_without_such_signs_is_not_copied() {
    for text in
        ["", "Plain words, *marked* and **so** on: `code_here`.", "- a\n- b\n\n```rust\nlet x = 1;\n```"]
    {
        assert!(matches!(shielded(text), Cow::Borrowed(_)), "{text}");
    }
}

#[test]
fn characters_that_stand_for_others_make_way() {
    assert_eq!(restored_text(&shielded("a\u{1}b\u{e100}c*d*e")), "a b\u{fffd}c*d*e");
}

#[test]
fn the_parser_sees_no_marks_in_links_paths_and_formulas() {
    for text in ["https://x.org/__a__/b", "/var/_old_/x", "__init__.py", r"\(a * b * c\)", "2*3*4", "<b>"] {
        let hidden = shielded(text);
        let read = parser(&hidden).filter_map(|event| match event {
            Event::Text(read) => Some(restored_text(&read)),
            Event::Start(Tag::Paragraph) | Event::End(TagEnd::Paragraph) => None,
            other => panic!("{text}: {other:?}"),
        });
        assert_eq!(read.collect::<String>(), text);
    }
}

#[test]
fn tables_become_code_and_the_rest_stays() {
    let text = "Look:\n\n| a | b |\n|---|--:|\n| **x** | `1` |\n\nand *that*\n\n|c|\n|-|\n";
    let code = "Look:\n\n```\na | b\n--+--\nx | 1\n```\n\nand *that*\n\n```\nc\n-\n```\n";
    assert_eq!(tables_as_code(text), code);
    for text in ["a | b", "- |a|\n  |-|", "> |a|\n> |-|", "```\n|a|\n|-|\n```", "|```|\n|-|"] {
        assert!(matches!(tables_as_code(text), Cow::Borrowed(_)), "{text}");
    }
}

#[test]
fn a_table_that_would_grow_too_much_stays() {
    let text = format!("|{}|\n|-|\n{}", "x".repeat(500), "|y|\n".repeat(100));
    assert_eq!(tables_as_code(&text), text.as_str());
    let columns = format!("{}|\n{}|\n{}", "|a".repeat(200), "|-".repeat(200), "|b\n".repeat(200));
    assert!(units(&tables_as_code(&columns)) <= 5 * units(&columns));
}
