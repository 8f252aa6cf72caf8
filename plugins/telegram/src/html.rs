//! Markdown as agents write it, as the HTML that the platform reads: code, bold, italic, struck out, links, headings.
//! Whatever else is in it stays as text.

use crate::text::Fence;

/// How deep marks may lie in each other.
const DEEPEST: u8 = 6;

struct Mark {
    sign: &'static str,
    open: &'static str,
    close: &'static str,
    /// It may begin and end inside a word: many scripts put no spaces between words.
    in_words: bool,
}

const MARKS: [Mark; 6] = [
    Mark { sign: "***", open: "<b><i>", close: "</i></b>", in_words: true },
    Mark { sign: "**", open: "<b>", close: "</b>", in_words: true },
    Mark { sign: "__", open: "<b>", close: "</b>", in_words: false },
    Mark { sign: "~~", open: "<s>", close: "</s>", in_words: true },
    Mark { sign: "*", open: "<i>", close: "</i>", in_words: false },
    Mark { sign: "_", open: "<i>", close: "</i>", in_words: false },
];

/// The HTML of a Markdown text. Its tags are always closed in order; its text is never longer than the Markdown.
pub(crate) fn render(markdown: &str) -> String {
    let mut out = String::with_capacity(markdown.len() + markdown.len() / 8);
    let mut block: Option<(Fence, bool)> = None;
    for (index, line) in markdown.lines().enumerate() {
        match &mut block {
            Some((fence, _)) if fence.is_closed_by(line) => {
                out.push_str(block_end(fence));
                block = None;
            }
            Some((_, begun)) => {
                if std::mem::replace(begun, true) {
                    out.push('\n');
                }
                escape(line, &mut out);
            }
            None => {
                if index > 0 {
                    out.push('\n');
                }
                match Fence::open(line) {
                    Some(fence) => {
                        block_begin(&fence, &mut out);
                        block = Some((fence, false));
                    }
                    None => text_line(line, &mut out),
                }
            }
        }
    }
    if let Some((fence, _)) = block {
        out.push_str(block_end(&fence));
    }
    out
}

fn language<'a>(fence: &Fence<'a>) -> Option<&'a str> {
    let word = fence.language.split_whitespace().next()?;
    word.chars().all(|c| c.is_ascii_alphanumeric() || "+#-_.".contains(c)).then_some(word)
}

fn block_begin(fence: &Fence<'_>, out: &mut String) {
    match language(fence) {
        Some(language) => {
            out.push_str("<pre><code class=\"language-");
            out.push_str(language);
            out.push_str("\">");
        }
        None => out.push_str("<pre>"),
    }
}

fn block_end(fence: &Fence<'_>) -> &'static str {
    if language(fence).is_some() { "</code></pre>" } else { "</pre>" }
}

fn text_line(line: &str, out: &mut String) {
    let level = line.len() - line.trim_start_matches('#').len();
    match line[level..].strip_prefix(' ') {
        Some(heading) if (1..=6).contains(&level) => {
            out.push_str("<b>");
            inline(heading.trim(), 0, out);
            out.push_str("</b>");
        }
        _ => inline(line, 0, out),
    }
}

/// One line, or what lies between two marks of one.
fn inline(text: &str, depth: u8, out: &mut String) {
    let mut barren = [false; MARKS.len()];
    let (mut rest, mut before) = (text, ' ');
    while let Some(at) = rest.find(['\\', '`', '*', '_', '~', '[']) {
        escape(&rest[..at], out);
        before = rest[..at].chars().next_back().unwrap_or(before);
        rest = &rest[at..];
        let taken = match rest.as_bytes()[0] {
            b'\\' => backslash(rest, out),
            b'`' => code(rest, out),
            b'[' => link(rest, depth, out),
            _ if depth < DEEPEST => marked(rest, before, depth, &mut barren, out),
            _ => None,
        };
        let taken = taken.unwrap_or_else(|| plain_signs(rest, out));
        before = rest[..taken].chars().next_back().unwrap_or(before);
        rest = &rest[taken..];
    }
    escape(rest, out);
}

/// What is no mark is text, and a run of the same sign is taken as a whole, lest its tail become a mark.
fn plain_signs(rest: &str, out: &mut String) -> usize {
    let run = ['`', '*', '_', '~'].into_iter().map(|sign| run_of(rest, sign)).max().unwrap_or(0).max(1);
    escape(&rest[..run], out);
    run
}

fn run_of(text: &str, sign: char) -> usize {
    text.len() - text.trim_start_matches(sign).len()
}

fn backslash(rest: &str, out: &mut String) -> Option<usize> {
    let sign = rest[1..].chars().next().filter(char::is_ascii_punctuation)?;
    escape(sign.encode_utf8(&mut [0; 4]), out);
    Some(2)
}

fn code(rest: &str, out: &mut String) -> Option<usize> {
    let ticks = run_of(rest, '`');
    let mut from = ticks;
    loop {
        let at = from + rest[from..].find('`')?;
        let run = run_of(&rest[at..], '`');
        if run == ticks {
            let inner = &rest[ticks..at];
            let inner = inner.strip_prefix(' ').and_then(|i| i.strip_suffix(' ')).unwrap_or(inner);
            if inner.trim().is_empty() {
                return None;
            }
            out.push_str("<code>");
            escape(inner, out);
            out.push_str("</code>");
            return Some(at + run);
        }
        from = at + run;
    }
}

fn link(rest: &str, depth: u8, out: &mut String) -> Option<usize> {
    let middle = rest.find("](")?;
    let label = &rest[1..middle];
    let target = &rest[middle + 2..];
    let end = closing_parenthesis(target)?;
    let url = target[..end].split(' ').next()?;
    let known = ["https://", "http://", "tg://", "mailto:"].iter().any(|scheme| url.starts_with(scheme));
    if !known || label.trim().is_empty() || label.contains('[') {
        return None;
    }
    out.push_str("<a href=\"");
    escape(url, out);
    out.push_str("\">");
    inline(label, depth + 1, out);
    out.push_str("</a>");
    Some(middle + 2 + end + 1)
}

fn closing_parenthesis(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' => open += 1,
            ')' if open == 0 => return Some(at),
            ')' => open -= 1,
            _ => {}
        }
    }
    None
}

fn marked(rest: &str, before: char, depth: u8, barren: &mut [bool], out: &mut String) -> Option<usize> {
    let (mark, barren) = MARKS.iter().zip(barren).find(|(mark, _)| rest.starts_with(mark.sign))?;
    let inner = &rest[mark.sign.len()..];
    let first = inner.chars().next()?;
    let opens = !first.is_whitespace() && !mark.sign.starts_with(first);
    if *barren || !opens || (!mark.in_words && before.is_alphanumeric()) {
        return None;
    }
    let Some(end) = closing_mark(inner, mark) else {
        *barren = true;
        return None;
    };
    out.push_str(mark.open);
    inline(&inner[..end], depth + 1, out);
    out.push_str(mark.close);
    Some(end + 2 * mark.sign.len())
}

fn closing_mark(inner: &str, mark: &Mark) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + inner[from..].find(mark.sign)?;
        let run = run_of(&inner[at..], mark.sign.chars().next()?);
        let before = inner[..at].chars().next_back();
        let after = inner[at + run..].chars().next();
        let ends_word = mark.in_words || !after.is_some_and(char::is_alphanumeric);
        if run == mark.sign.len() && ends_word && before.is_some_and(|c| !c.is_whitespace()) {
            return Some(at);
        }
        from = at + run;
    }
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::units;
    use prx_sdk::testing::Chance;

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
        ];
        for _ in 0..20_000 {
            let text: String = (0..chance.below(40)).map(|_| pieces[chance.below(pieces.len())]).collect();
            assert!(units(&text_of(&render(&text))) <= units(&text), "{text:?}");
        }
    }
}
