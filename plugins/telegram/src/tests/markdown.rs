//! What becomes of Markdown, text by text.

use std::path::Path;

use prx_sdk::markdown::linked;
use prx_sdk::testing;

use crate::speech::marked;
use crate::text::{MAX_TEXT, cut};

#[test]
fn each_text_becomes_what_the_file_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/markdown.md");
    testing::rendered(&file, "Telegram", |text| {
        let (mut messages, mut rest) = (Vec::new(), linked(text).into_owned());
        while !rest.is_empty() {
            let (part, left) = cut(&rest, MAX_TEXT);
            messages.push(marked("text", &part, false)["text"].as_str().unwrap().to_owned());
            rest = left;
        }
        messages
    });
}
