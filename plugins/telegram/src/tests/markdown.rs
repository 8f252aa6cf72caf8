//! What becomes of Markdown, text by text.

use std::path::Path;

use prx_sdk::markdown::linked;
use prx_sdk::testing;

use crate::rich;
use crate::speech::{Markup, marked};
use crate::text::{MAX_TEXT, cut};

#[test]
fn each_text_becomes_what_the_file_says() {
    compare("Telegram", |part| Some(marked("text", part, Markup::Html)["text"].as_str().unwrap().to_owned()));
}

#[test]
fn each_text_that_gains_by_it_becomes_the_rich_message_that_the_file_says() {
    compare("Telegram, as a rich message", |part| rich::render(part).map(|html| in_lines(&html)));
}

/// Holds what becomes of each part of each text against the file.
fn compare(platform: &str, render: impl Fn(&str) -> Option<String>) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/markdown.md");
    testing::rendered(&file, platform, |text| {
        let (mut messages, mut rest) = (Vec::new(), linked(text).into_owned());
        while !rest.is_empty() {
            let (part, left) = cut(&rest, MAX_TEXT);
            messages.extend(render(&part));
            rest = left;
        }
        messages
    });
}

/// A line a block, for people to read: the platform makes nothing of line breaks between them.
fn in_lines(html: &str) -> String {
    let begins =
        ["<p>", "<table", "<tr>", "<ul>", "<ol", "<li>", "<blockquote>", "<pre>", "<h", "<tg-math-block>"];
    let ends = ["</table>", "</ul>", "</ol>", "</blockquote>"];
    let broken =
        begins.iter().chain(&ends).fold(html.to_owned(), |text, tag| text.replace(tag, &format!("\n{tag}")));
    broken.trim_start().to_owned()
}
