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
    assert_eq!(simplified(text), code);
    assert_eq!(simplified("> |a|\n> |-|"), "> ```\n> a\n> -\n> ```");
    assert_eq!(simplified("- |a|\n  |-|\n- b"), "- ```\n  a\n  -\n  ```\n- b");
    for text in ["a | b", "```\n|a|\n|-|\n```", "|```|\n|-|"] {
        assert!(matches!(simplified(text), Cow::Borrowed(_)), "{text}");
    }
}

#[test]
fn a_table_that_would_grow_too_much_stays() {
    let text = format!("|{}|\n|-|\n{}", "x".repeat(500), "|y|\n".repeat(100));
    assert_eq!(simplified(&text), text.as_str());
    let columns = format!("{}|\n{}|\n{}", "|a".repeat(200), "|-".repeat(200), "|b\n".repeat(200));
    assert!(units(&simplified(&columns)) <= 5 * units(&columns));
}

#[test]
fn links_by_reference_need_no_definition_any_more_and_grow_within_bounds() {
    let text = "[a][1], [b c][], [d] and [e][none]\n\n[1]: https://x.org/1_(2)\n[b c]: https://x.org/b \"B\"\n[d]: <https://x.org/d>\nend";
    assert_eq!(
        linked(text),
        "[a](<https://x.org/1_(2)>), [b c](https://x.org/b), [d](https://x.org/d) and [e][none]\n\nend"
    );
    assert_eq!(linked("[a]: https://x.org"), "[a]: https://x.org", "it is all there is");
    let long = format!("[x]: https://x.org/{}\n\n{}", "y".repeat(2000), "[x] ".repeat(2000));
    assert!(linked(&long).len() < 6 * long.len() && simplified(&long).len() < 6 * long.len());
}

#[test]
fn any_text_can_be_simplified() {
    let mut chance = Chance::new(9);
    let pieces = [
        "*",
        "__",
        "~~~",
        "```",
        "\n",
        "\n\n",
        " ",
        "a",
        "ß",
        "[a]",
        "[a]: https://x",
        "(https://x)",
        "![b]",
        "\\",
        "<br>",
        "&amp;",
        "&#42;",
        "#### ",
        "===\n",
        "- ",
        "> ",
        "    ",
        "[x] ",
        "| ",
        "|-|\n",
        "---\n",
        "$",
        "\\(",
        "/_b_/",
        "\u{1}",
    ];
    for _ in 0..20_000 {
        let text: String = (0..chance.below(30)).map(|_| pieces[chance.below(pieces.len())]).collect();
        let simplified = simplified(&text);
        assert!(simplified.len() <= 8 * text.len() + 64, "{text:?}");
        assert_eq!(simplified.trim().is_empty(), text.trim().is_empty(), "{text:?}");
    }
}

#[test]
fn a_table_in_a_quote_is_code_in_each_message_that_it_is_cut_into() {
    let rows: String = (0..80).map(|row| format!("> | {row} | a value |\n")).collect();
    let text = format!("> Look:\n>\n> | n | what |\n> |---|---|\n{rows}>\n> Good.");
    let (part, rest) = crate::text::cut(&simplified(&text), 1_000);
    assert!(part.starts_with("> Look:\n> \n> ```\n> n  | what\n") && part.ends_with("\n> ```"), "{part}");
    assert!(rest.starts_with("```\n") && rest.matches("```").count() == 2, "{rest}");
    assert_eq!((part + &rest).matches("a value").count(), 80);
    let marker = "- | n | what |\n  |---|---|\n".to_owned() + &rows.replace("> ", "  ");
    let (part, rest) = crate::text::cut(&simplified(&marker), 1_000);
    assert!(part.starts_with("- ```\n  n  | what\n") && part.ends_with("\n  ```"), "{part}");
    assert!(rest.starts_with("```\n") && rest.matches("```").count() == 2, "{rest}");
}
