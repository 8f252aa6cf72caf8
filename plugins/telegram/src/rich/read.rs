//! The words of a rich message that someone answers or passes on: it has no text beside its blocks.

use serde_json::Value;

/// Most bytes that are read of one.
const MAX_BYTES: usize = 64 << 10;
/// Most levels of blocks and marks in each other.
const MAX_DEPTH: usize = 32;

/// What the rich message of a message says. None: it has none, or one without words.
pub(crate) fn text_of(message: &Value) -> Option<String> {
    let rich = message.get("rich_message")?;
    let mut words = Words { out: String::new() };
    words.blocks(&rich["blocks"], 0);
    let text = words.out.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

struct Words {
    out: String,
}

impl Words {
    fn is_full(&self, depth: usize) -> bool {
        depth > MAX_DEPTH || self.out.len() >= MAX_BYTES
    }

    fn push(&mut self, text: &str) {
        let room = MAX_BYTES.saturating_sub(self.out.len());
        self.out.push_str(&text[..text.floor_char_boundary(room)]);
    }

    /// Begins a line, if words stand in this one.
    fn line(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.push("\n");
        }
    }

    fn blocks(&mut self, blocks: &Value, depth: usize) {
        for block in blocks.as_array().into_iter().flatten() {
            if self.is_full(depth) {
                return;
            }
            self.line();
            self.block(block, depth);
        }
    }

    fn block(&mut self, block: &Value, depth: usize) {
        match block["type"].as_str().unwrap_or_default() {
            "list" => self.list(block, depth),
            "table" => self.table(block, depth),
            "divider" => self.push("———"),
            "mathematical_expression" => self.push(block["expression"].as_str().unwrap_or_default()),
            "map" => self.push("[map]"),
            kind @ ("animation" | "audio" | "photo" | "video" | "voice_note" | "document") => {
                self.push(&format!("[{}] ", kind.replace('_', " ")));
                self.text(&block["caption"]["text"], depth + 1);
            }
            _ => {
                for part in ["summary", "text"] {
                    self.line();
                    self.text(&block[part], depth + 1);
                }
                self.blocks(&block["blocks"], depth + 1);
                self.line();
                self.text(&block["credit"], depth + 1);
            }
        }
    }

    fn list(&mut self, list: &Value, depth: usize) {
        for item in list["items"].as_array().into_iter().flatten() {
            if self.is_full(depth) {
                return;
            }
            self.line();
            let label = match (item["has_checkbox"] == true, item["is_checked"] == true) {
                (true, true) => "☑",
                (true, false) => "☐",
                _ => item["label"].as_str().filter(|label| !label.is_empty()).unwrap_or("-"),
            };
            self.push(&format!("{label} "));
            // The first block goes on in the line of the label.
            for (index, block) in item["blocks"].as_array().into_iter().flatten().enumerate() {
                if self.is_full(depth) {
                    return;
                }
                if index > 0 {
                    self.line();
                }
                match block["text"].is_null() {
                    true => self.block(block, depth + 1),
                    false => self.text(&block["text"], depth + 1),
                }
            }
        }
    }

    fn table(&mut self, table: &Value, depth: usize) {
        self.text(&table["caption"], depth + 1);
        for row in table["cells"].as_array().into_iter().flatten() {
            if self.is_full(depth) {
                return;
            }
            self.line();
            for (index, cell) in row.as_array().into_iter().flatten().enumerate() {
                self.push(if index > 0 { " | " } else { "" });
                self.text(&cell["text"], depth + 1);
            }
        }
    }

    /// A text, several of them, or one with a mark.
    fn text(&mut self, text: &Value, depth: usize) {
        if self.is_full(depth) {
            return;
        }
        match text {
            Value::String(text) => self.push(text),
            Value::Array(texts) => texts.iter().for_each(|text| self.text(text, depth + 1)),
            Value::Object(marked) => {
                for words in ["expression", "alternative_text"] {
                    self.push(marked.get(words).and_then(Value::as_str).unwrap_or_default());
                }
                self.text(&text["text"], depth + 1);
            }
            _ => {}
        }
    }
}
