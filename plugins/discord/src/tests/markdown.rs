//! What becomes of Markdown, text by text.

use std::path::Path;

use prx_sdk::markdown::simplified;
use prx_sdk::{testing, text};

#[test]
fn each_text_becomes_what_the_file_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/markdown.md");
    testing::rendered(&file, "Discord", |text| {
        let (mut messages, mut rest) = (Vec::new(), simplified(text).into_owned());
        while !rest.is_empty() {
            let (part, left) = text::cut(&rest, crate::op::MAX_TEXT);
            messages.push(part);
            rest = left;
        }
        messages
    });
}
