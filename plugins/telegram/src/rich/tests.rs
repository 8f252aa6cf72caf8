use serde_json::json;

use super::*;

fn rendered(markdown: &str) -> String {
    render(markdown).unwrap_or_else(|| panic!("{markdown:?} has no rich form"))
}

#[test]
fn only_what_plain_html_can_not_show_is_worth_a_rich_message() {
    for text in [
        "Hello.",
        "# Title\n\n- a\n- [x] b\n\n> quote\n\n```rust\na | b\n```",
        "a | b",
        "it costs $5 and $6, or $5/$6, in $HOME and $PATH:$HOME",
        "a \\( that has no end",
        "`$x$` and `\\(x\\)`",
        "```\n| a |\n|---|\n```",
    ] {
        assert_eq!(render(text), None, "{text}");
    }
    for text in ["|a|\n|-|", "$x$", "$a^2$", "$$a$$", "\\(a\\)", "\\[\na\n\\]", "```math\na\n```"] {
        assert!(render(text).is_some(), "{text}");
    }
}

#[test]
fn formulas_are_formulas_whichever_signs_they_have() {
    for (text, html) in [
        ("so $a_1 < b$ holds", "<p>so <tg-math>a_1 &lt; b</tg-math> holds</p>"),
        (r"so \(a_1 \cdot b*c\) holds", r"<p>so <tg-math>a_1 \cdot b*c</tg-math> holds</p>"),
        ("one\n$$\nE = mc^2\n$$\ntwo", "<p>one</p><tg-math-block>E = mc^2</tg-math-block><p>two</p>"),
        ("one\n\\[\nE = m\\\\\nc^2\n\\]", "<p>one</p><tg-math-block>E = m\\\\\nc^2</tg-math-block>"),
        ("**see $$a$$**", "<p><b>see <tg-math>a</tg-math></b></p>"),
        ("# On $x$\nand `y`", "<h1>On <tg-math>x</tg-math></h1><p>and <code>y</code></p>"),
        (
            "|f|\n|-|\n|$$x$$|",
            "<table bordered striped><tr><th>f</th></tr><tr><td><tg-math>x</tg-math></td></tr></table>",
        ),
        (
            "- so\n  $$a$$\n- $x$",
            "<ul><li>so<tg-math-block>a</tg-math-block></li><li><tg-math>x</tg-math></li></ul>",
        ),
        ("$x$, \\( no end\nhere", "<p><tg-math>x</tg-math>, ( no end<br>here</p>"),
    ] {
        assert_eq!(rendered(text), html, "{text}");
    }
}

#[test]
fn what_stands_beside_a_table_keeps_its_marks_and_lines() {
    let table = "|a|\n|-|\n";
    let after = |text: &str| {
        let html = rendered(&format!("{table}\n{text}"));
        html.split_once("</table>").expect("a table").1.to_owned()
    };
    for (text, html) in [
        ("**b** *i* ~~s~~ `a<b`\nnext", "<p><b>b</b> <i>i</i> <s>s</s> <code>a&lt;b</code><br>next</p>"),
        ("||hidden **b**|| seen", "<p><tg-spoiler>hidden <b>b</b></tg-spoiler> seen</p>"),
        ("||hidden|| seen", "<p><tg-spoiler>hidden</tg-spoiler> seen</p>"),
        (
            "[x](https://x.org/?a&b) [p](a/b.md)",
            "<p><a href=\"https://x.org/?a&amp;b\">x</a> [p](a/b.md)</p>",
        ),
        ("![](https://x.org/p.png)", "<p><a href=\"https://x.org/p.png\">https://x.org/p.png</a></p>"),
        (
            "<img src=\"https://x.org\"> __init__.py",
            "<p>&lt;img src=&quot;https://x.org&quot;&gt; __init__.py</p>",
        ),
        ("one<br>two", "<p>one<br>two</p>"),
        ("3. c\n4. d", "<ol start=\"3\"><li>c</li><li>d</li></ol>"),
        (
            "- [x] a\n- [ ] b",
            "<ul><li><input type=\"checkbox\" checked>a</li><li><input type=\"checkbox\">b</li></ul>",
        ),
        ("```rs\na < b\n```\n\n---", "<pre><code class=\"language-rs\">a &lt; b</code></pre><hr/>"),
        ("a[^1]\n\n[^1]: *note*", "<p>a[^1]</p><p>[^1]: <i>note</i></p>"),
    ] {
        assert_eq!(after(text), html, "{text}");
    }
}

#[test]
fn what_has_more_than_the_platform_takes_stays_plain() {
    let table = "\n\n|a|\n|-|\n";
    assert!(render(&("- a\n".repeat(480) + table)).is_some());
    assert_eq!(render(&("- a\n".repeat(500) + table)), None);
    assert!(render(&format!("{} a{table}", ">".repeat(14))).is_some());
    assert_eq!(render(&format!("{} a{table}", ">".repeat(40))), None);
    let row = |columns: usize, cell: &str| format!("|{}\n", cell.repeat(columns));
    assert!(render(&(row(20, "a|") + &row(20, "-|"))).is_some());
    assert_eq!(render(&(row(21, "a|") + &row(21, "-|"))), None);
}

/// The tags that are open at each place fit, and the text comes to the same as the Markdown's.
#[test]
fn tags_are_closed_in_order_whatever_is_written() {
    let mut chance = prx_sdk::testing::Chance::new(7);
    let pieces = [
        "|",
        "a",
        "\n",
        "|-|-|\n",
        "|x|y|\n",
        "**",
        "*",
        "~~",
        "`",
        "```",
        "$",
        "$$",
        "\\(",
        "\\)",
        "\\[",
        "\\]",
        "> ",
        "- ",
        "1. ",
        "  ",
        "[",
        "](https://x.org)",
        "](y)",
        "![",
        "||",
        "<br>",
        "<b>",
        "# ",
        "\n\n",
        "---",
        "[^1]",
        "[^1]: ",
        "&amp;",
        "- [x] ",
        " ",
        "é",
        "math",
    ];
    let mut gained = 0;
    for _ in 0..20_000 {
        let text: String = (0..chance.below(40)).map(|_| pieces[chance.below(pieces.len())]).collect();
        let Some(html) = render(&text) else { continue };
        gained += 1;
        let mut open = Vec::new();
        for tag in html.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').unwrap_or_else(|| panic!("{text:?}: {html}"));
            let name = tag.split(' ').next().unwrap_or_default();
            match name.strip_prefix('/') {
                Some(closed) => assert_eq!(open.pop(), Some(closed), "{text:?}: {html}"),
                None if !matches!(name, "br" | "hr/" | "input") => open.push(name),
                None => {}
            }
        }
        assert!(open.is_empty(), "{text:?}: {html}");
        assert!(!html.contains(|c: char| c.is_control() && c != '\n'), "{text:?}: {html:?}");
    }
    assert!(gained > 1_000, "{gained}");
}

#[test]
fn the_words_of_a_rich_message_are_read_from_its_blocks() {
    let message = json!({"rich_message": {"blocks": [
        {"type": "heading", "size": 1, "text": "Sales"},
        {"type": "paragraph", "text": ["All ", {"type": "bold", "text": ["of", " it"]}, " at ", {"type": "url", "text": "x.org", "url": "https://x.org"}]},
        {"type": "table", "cells": [
            [{"text": "n", "is_header": true}, {"text": "what", "is_header": true}],
            [{"text": "1"}, {"text": {"type": "code", "text": "tea"}}],
        ]},
        {"type": "list", "items": [
            {"label": "•", "blocks": [{"type": "paragraph", "text": "a"}, {"type": "list", "items": [{"label": "1.", "blocks": [{"type": "paragraph", "text": "b"}]}]}]},
            {"label": "", "has_checkbox": true, "is_checked": true, "blocks": [{"type": "paragraph", "text": "c"}]},
        ]},
        {"type": "blockquote", "blocks": [{"type": "paragraph", "text": "said"}], "credit": "Ann"},
        {"type": "mathematical_expression", "expression": "a^2"},
        {"type": "photo", "photo": [], "caption": {"text": "a cat"}},
        {"type": "of_tomorrow", "text": "new"},
    ]}});
    assert_eq!(
        text_of(&message).as_deref(),
        Some(
            "Sales\nAll of it at x.org\nn | what\n1 | tea\n• a\n1. b\n☑ c\nsaid\nAnn\na^2\n[photo] a cat\nnew"
        )
    );
    for nothing in [
        json!({}),
        json!({"rich_message": 5}),
        json!({"rich_message": {"blocks": [{"type": "paragraph"}, 7]}}),
    ] {
        assert_eq!(text_of(&nothing), None, "{nothing}");
    }
}

#[test]
fn a_rich_message_is_read_within_bounds() {
    let mut deep = json!({"type": "paragraph", "text": "deep"});
    for _ in 0..60 {
        deep = json!({"type": "blockquote", "blocks": [{"type": "paragraph", "text": "x"}, deep]});
    }
    let text = text_of(&json!({"rich_message": {"blocks": [deep]}})).expect("words");
    assert!(text.contains('x') && !text.contains("deep"));
    let long: Vec<_> = (0..1_000).map(|_| json!({"type": "paragraph", "text": "é".repeat(1_000)})).collect();
    assert!(text_of(&json!({"rich_message": {"blocks": long}})).expect("words").len() <= 64 << 10);
}
