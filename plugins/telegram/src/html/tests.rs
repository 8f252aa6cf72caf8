use super::*;
use prx_sdk::testing::Chance;

/// The HTML, where no table may grow.
fn render(markdown: &str) -> String {
    super::render(markdown, 0)
}

#[test]
fn marks_become_tags() {
    for (markdown, html) in [
        ("**bold** and *italic* and _too_", "<b>bold</b> and <i>italic</i> and <i>too</i>"),
        ("***both*** ~~gone~~ __bold__", "<b><i>both</i></b> <s>gone</s> <b>bold</b>"),
        ("**a *b* `c`**", "<b>a <i>b</i> <code>c</code></b>"),
        ("`a < b && **c**`", "<code>a &lt; b &amp;&amp; **c**</code>"),
        ("``a`b``", "<code>a`b</code>"),
        ("## Title *x*", "<b>Title <i>x</i></b>"),
        ("[a & b](https://x.org/?a=1&b=(2))", "<a href=\"https://x.org/?a=1&amp;b=(2)\">a &amp; b</a>"),
        ("这是**重点**内容", "这是<b>重点</b>内容"),
        (r"\*not italic\*", "*not italic*"),
    ] {
        assert_eq!(render(markdown), html, "{markdown}");
    }
}

#[test]
fn what_is_no_mark_stays_text() {
    for text in [
        "2 * 3 * 4",
        "2*3*4",
        "snake_case_name",
        "* item\n- item",
        "**open",
        "`open",
        "[x](javascript:alert)",
        "[x]",
        "****",
        "#hash",
        r"\",
        "é* ~~ __",
    ] {
        assert_eq!(render(text), text);
    }
    assert_eq!(render("<b>&\"</b>"), "&lt;b&gt;&amp;&quot;&lt;/b&gt;");
    assert_eq!(render("**unclosed *x*"), "**unclosed <i>x</i>");
}

#[test]
fn code_blocks_keep_their_text() {
    assert_eq!(
        render("see\n```rust\nlet a = *b < 1;\n\n  x\n```\nend"),
        "see\n<pre><code class=\"language-rust\">let a = *b &lt; 1;\n\n  x</code></pre>\nend"
    );
    assert_eq!(render("```\na"), "<pre>a</pre>");
    assert_eq!(render("```a\"b\nx\n```"), "<pre>x</pre>");
}

/// The text in the HTML; panics when the tags don't close in order.
fn text_of(html: &str) -> String {
    let (mut text, mut open, mut rest) = (String::new(), Vec::new(), html);
    while let Some(at) = rest.find('<') {
        text.push_str(&rest[..at]);
        let end = at + rest[at..].find('>').expect("a tag ends");
        let tag = &rest[at + 1..end];
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{html}"),
            None => open.push(tag.split(' ').next().expect("a name")),
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{html}");
    text.push_str(rest);
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// Each text and its HTML, where the message has room for tables to grow.
fn becomes(pairs: &[(&str, &str)]) {
    for (markdown, html) in pairs {
        assert_eq!(super::render(markdown, 4096), *html, "{markdown}");
    }
}

#[test]
fn code_blocks_in_lists_and_quotes_are_blocks() {
    becomes(&[
        (
            "10. Install:\n\n    ```bash\n    export A_B=__x__ && ls\n    ```\n11. Next",
            "10. Install:\n\n<pre><code class=\"language-bash\">export A_B=__x__ &amp;&amp; ls</code></pre>\n11. Next",
        ),
        ("- ```\n  x\n    y\n  ```\n- b", "- <pre>x\n  y</pre>\n- b"),
        ("> ```\n> code\n> ```", "<blockquote><pre>code</pre></blockquote>"),
        ("    indented\n\ntext", "<pre>indented</pre>\n\ntext"),
    ]);
}

#[test]
fn links_paths_and_names_keep_their_signs() {
    for text in [
        "See https://example.org/blob/main/src/requests/__init__.py and https://x.org/_next_/static",
        "src/__init__.py, /var/log/_old_/x, __init__.py, __init__()",
        "src/*/x/*.rs, src/**/y/**.rs, a*b*c",
        "http://x.org/*a*~~b~~_c_",
        "~5 and ~6~",
    ] {
        assert_eq!(render(text), text);
    }
    becomes(&[
        ("**https://x.org/a_b**, _https://x.org_.", "<b>https://x.org/a_b</b>, <i>https://x.org</i>."),
        ("(_so_) _Note._ then _it_: _a_?", "(<i>so</i>) <i>Note.</i> then <i>it</i>: <i>a</i>?"),
        ("<https://auto.org/a_b_>", "https://auto.org/a_b_"),
        ("[*a*](https://x.org/__init__.py)", "<a href=\"https://x.org/__init__.py\"><i>a</i></a>"),
        ("[b]\n\n[b]: https://x.org/_c_", "<a href=\"https://x.org/_c_\">b</a>"),
        ("*[b](x/__init__.py)*", "<i>[b](x/__init__.py)</i>"),
    ]);
}

#[test]
fn quotes_are_quotes_and_do_not_nest() {
    becomes(&[
        (
            "> quote **b**\n> more\n>\n> > inner\n> - a\n> - b\n\nafter",
            "<blockquote>quote <b>b</b>\nmore\n\ninner\n- a\n- b</blockquote>\n\nafter",
        ),
        ("2 > 1", "2 &gt; 1"),
    ]);
}

#[test]
fn tables_are_aligned_where_there_is_room() {
    let table = "| Name | Age |\n|:---|---:|\n| **Ann** | 7 |\n| Bob `x` | 42 |\n\nend";
    becomes(&[
        (table, "<pre>Name  | Age\n------+----\nAnn   |   7\nBob x |  42</pre>\n\nend"),
        ("| 名 | b |\n|---|:-:|\n| a\\|b | <c> |", "<pre>名  |  b\n----+----\na|b | &lt;c&gt;</pre>"),
        ("|a|\n|-|", "<pre>a\n-</pre>"),
    ]);
    let long = format!("|a|b|\n|-|-|\n|{}|c|{}", "x".repeat(40), "\n|d|e|".repeat(30));
    assert_eq!(render(&long), format!("<pre>{long}</pre>"));
}

#[test]
fn images_are_links() {
    becomes(&[
        ("![A cat](https://x.org/c.png)", "<a href=\"https://x.org/c.png\">A cat</a>"),
        ("![](https://x.org/d.png)", "<a href=\"https://x.org/d.png\">https://x.org/d.png</a>"),
        ("[![alt](https://x.org/e.png)](https://x.org)", "<a href=\"https://x.org\">alt</a>"),
        ("![i](x.png) [rel](docs/x.md)", "![i](x.png) [rel](docs/x.md)"),
        (
            "[ref] and [text][ref]\n\n[ref]: https://x.org",
            "<a href=\"https://x.org\">ref</a> and <a href=\"https://x.org\">text</a>",
        ),
    ]);
}

#[test]
fn marks_lie_in_each_other() {
    becomes(&[
        ("**bold *it `c` ~~s~~* b** *a\nb*", "<b>bold <i>it <code>c</code> <s>s</s></i> b</b> <i>a\nb</i>"),
        ("***a** b*", "<i><b>a</b> b</i>"),
        ("**重点。**内容 是**“重点”**内容", "<b>重点。</b>内容 是<b>“重点”</b>内容"),
        (
            "*a **b *c **d *e **f *g* f** e* d** c* b** a*",
            "<i>a <b>b <i>c <b>d <i>e <b>f g f</b> e</i> d</b> c</i> b</b> a</i>",
        ),
    ]);
}

#[test]
fn headings_rules_tasks_entities_and_breaks() {
    becomes(&[
        ("Title\n=====\nSub\n---\ntext", "<b>Title</b>\n<b>Sub</b>\ntext"),
        ("a\n\n---\n\nb\n\n___", "a\n\n———\n\nb\n\n———"),
        ("- [x] done\n- [ ] open\n  - nested\n\n    para", "- ☑ done\n- ☐ open\n  - nested\n\n    para"),
        ("a&nbsp;b &amp; c<br>d<br/>e `<br>`", "a\u{a0}b &amp; c\nd\ne <code>&lt;br&gt;</code>"),
        ("a  \nb\\\nc", "a\nb\nc"),
        ("<div>\n**x**\n</div>", "&lt;div&gt;\n<b>x</b>\n&lt;/div&gt;"),
    ]);
}

#[test]
fn formulas_are_left_alone() {
    for text in [
        "$x_1 * y_2 * z$ costs $5 and $6",
        r"\(a_1 * b_2 * c\) and \[ a * b * c \]",
        "\\[\na_1 * b * c\n\\]",
        "$$\na_1 * b * c\n$$",
    ] {
        assert_eq!(render(text), text);
    }
    becomes(&[(r"\[no *formula*\]", "[no <i>formula</i>]")]);
}

#[test]
fn blank_lines_and_lists_stay_as_they_are_written() {
    for text in [
        "a\n\n\n\nb",
        "- a\n  b\n- c\n\n\n- d",
        "- a\n  b\n  c\n- d\n  e",
        "1. one\n   - two\n\n     three\n2) four",
        "+ a",
    ] {
        assert_eq!(render(text), text);
    }
}

#[test]
fn what_is_made_to_take_long_does_not() {
    for text in [
        "[".repeat(4096),
        "![".repeat(2048),
        "*".repeat(4096),
        "*a ".repeat(1365),
        "_a".repeat(2048),
        "*a **b ".repeat(500) + &"** *".repeat(500),
        ">".repeat(4096),
        "> ".repeat(2000) + "x",
        "- ".repeat(2048),
        "`".repeat(4096),
        "`a``".repeat(1000),
        (0..60).map(|depth| format!("{}- x\n", " ".repeat(2 * depth))).collect(),
        "|".repeat(2048) + "\n" + &"|-".repeat(1000),
        "\\(".repeat(2048),
        "http://_".repeat(512),
        "<".repeat(4096),
        "$".repeat(4095),
        "[a](".repeat(1000),
        "[x]: https://x.org\n".repeat(200) + &"[x]".repeat(100),
    ] {
        assert!(units(&text_of(&super::render(&text, 4096))) <= units(&text).max(4096));
    }
}

#[test]
fn any_text_gives_closed_tags_and_no_more_text_than_it_had() {
    let mut chance = Chance::new(3);
    let pieces = [
        "*",
        "**",
        "_",
        "__",
        "~~",
        "`",
        "```",
        "\n",
        " ",
        "a",
        "ß",
        "[",
        "](",
        "https://x",
        ")",
        "\\",
        "<",
        "&",
        "# ",
        "- ",
        "1. ",
        "> ",
        "    ",
        "- [ ] ",
        "| ",
        "|-|\n",
        "---\n",
        "~~~",
        "$",
        "![",
        "<br>",
        "“",
        "。",
        "/",
        "\u{1}",
        "\u{e100}",
    ];
    for _ in 0..20_000 {
        let text: String = (0..chance.below(40)).map(|_| pieces[chance.below(pieces.len())]).collect();
        assert!(units(&text_of(&render(&text))) <= units(&text), "{text:?}");
    }
}

#[test]
fn a_spoiler_is_hidden_and_what_stands_between_words_is_none() {
    for (markdown, html) in [
        ("It is ||the butler||.", "It is <tg-spoiler>the butler</tg-spoiler>."),
        ("||**bold** and `x`||", "<tg-spoiler><b>bold</b> and <code>x</code></tg-spoiler>"),
        ("**||a||** ||b||", "<b><tg-spoiler>a</tg-spoiler></b> <tg-spoiler>b</tg-spoiler>"),
        ("||two\nlines||", "<tg-spoiler>two\nlines</tg-spoiler>"),
        ("||a < b||", "<tg-spoiler>a &lt; b</tg-spoiler>"),
        ("a || b || c", "a || b || c"),
        ("a||b||c", "a||b||c"),
        ("`||x||` and ||", "<code>||x||</code> and ||"),
        ("||a **b|| c**", "||a <b>b|| c</b>"),
        ("||one\n\ntwo||", "||one\n\ntwo||"),
        ("||||", "||||"),
        ("```\n||x||\n```", "<pre>||x||</pre>"),
    ] {
        assert_eq!(render(markdown), html, "{markdown}");
    }
}
