//! Markdown on a terminal.

use super::*;

fn plain(markdown: &str, width: usize) -> String {
    lines(markdown, Paper { width, styled: false }).join("\n")
}

#[test]
fn a_text_is_laid_out() {
    let text = "# Tea\n\nBoil *water*, then **wait** for `3 min` until it is really done.\n\n- green\n- black\n  - very\n\n\
                3. cup\n4. spoon\n\n> a quote that is long enough to be wrapped\n\n```sh\nput  kettle\n```\n\n\
                | a | bb |\n|---|----|\n| ccc | d |\n\n[site](https://a.example) ~~no~~\n\n---\nend";
    insta::assert_snapshot!(plain(text, 30), @r"
    # Tea

    Boil water, then wait for `3
    min` until it is really done.

    • green
    • black
      • very

    3. cup
    4. spoon

    │ a quote that is long enough
    │ to be wrapped

    sh
      put  kettle

    a    bb
    ccc  d

    site (https://a.example) no

    ──────────────────────────────

    end
    ");
}

#[test]
fn nothing_that_a_model_says_controls_the_terminal() {
    let evil = "a\u{1b}]0;title\u{7}b &#27;[2J `\u{9b}31m` [x](https://a.example/\u{1b}[2J)\n\n```\n\u{1b}[31m\r\n```\n\u{202e}evil";
    for styled in [true, false] {
        let shown = lines(evil, Paper { width: 80, styled }).join("\n");
        let own = shown.replace("\u{1b}[36m", "").replace("\u{1b}[4m", "").replace("\u{1b}[0m", "");
        let foreign: Vec<char> = own.chars().filter(|c| c.is_control() && *c != '\n').collect();
        assert_eq!(foreign, Vec::<char>::new(), "{shown:?}");
        assert!(!shown.contains('\u{202e}'), "{shown:?}");
    }
}

#[test]
fn what_is_wide_stays_within_the_lines() {
    let wide =
        format!("{} 漢字漢字漢字漢字漢字漢字 {}\n\n    {}", "w".repeat(50), "x ".repeat(30), "y".repeat(50));
    for width in [10, 20, 79] {
        for line in lines(&wide, Paper { width, styled: false }) {
            assert!(line.width() <= width, "{width}: {line}");
        }
    }
}

#[test]
fn the_last_block_is_what_may_still_grow() {
    fn begins(text: &str) -> &str {
        &text[last_block(text)..]
    }
    assert_eq!(begins("one\n\ntwo **bo"), "two **bo");
    assert_eq!(begins("one\n\n```sh\nls\n\nmore"), "```sh\nls\n\nmore");
    assert_eq!(begins("one\n\n- a\n\n- b"), "- a\n\n- b");
    assert_eq!(begins(""), "");
}
