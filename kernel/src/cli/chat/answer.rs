//! An answer on its way, as it is shown.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::super::failure::Failure;
use super::super::output::bytes;
use super::super::terminal::{note, print, printable, say};
use super::live::Live;
use super::markdown::Paper;

/// Letters of a tool's result that are shown.
const MAX_RESULT_CHARS: usize = 200;

/// What was shown of an answer so far.
pub(super) struct Answer {
    /// The terminal; none where only lines are written.
    paper: Option<Paper>,
    text: Live,
    thought: Live,
    streamed: bool,
    /// Calls that wait to be allowed, oldest first.
    pub(super) asked: VecDeque<Value>,
    /// Why there is none.
    pub(super) failure: Option<String>,
}

impl Answer {
    pub(super) fn new(paper: Option<Paper>) -> Self {
        Self {
            paper,
            text: Live::markdown(),
            thought: Live::aside(),
            streamed: false,
            asked: VecDeque::new(),
            failure: None,
        }
    }

    /// Takes in what has come of it.
    pub(super) fn show(&mut self, name: &str, data: &Value) -> Result<(), Failure> {
        match name {
            "token" => match self.paper {
                Some(paper) => {
                    self.thought.end(paper)?;
                    self.text.push(data["text"].as_str().unwrap_or_default());
                    self.streamed = true;
                }
                None => {
                    print(&text(&data["text"]))?;
                    self.streamed = true;
                }
            },
            "thinking" => {
                if let Some(paper) = self.paper {
                    self.text.end(paper)?;
                    self.thought.push(data["text"].as_str().unwrap_or_default());
                }
            }
            "restart" => self.aside(&format!("the answer begins anew: {}", text(&data["reason"])))?,
            "tool_call" => {
                let arguments = printable(&data["arguments"].to_string(), false);
                self.aside(&format!("{} {arguments}", text(&data["name"])))?;
            }
            "tool_result" => self.aside(&shortened(&text(&data["content"])))?,
            "approval" => {
                self.aside(&question(data))?;
                self.asked.push_back(data.clone());
            }
            "done" => self.done(data)?,
            "error" => {
                let message = text(&data["error"]["message"]);
                self.aside(&message)?;
                self.failure = Some(message);
            }
            _ => {}
        }
        Ok(())
    }

    /// Draws what has come since it was drawn last.
    pub(super) fn draw(&mut self) -> Result<(), Failure> {
        match self.paper {
            Some(paper) => self.thought.draw(paper).and_then(|()| self.text.draw(paper)),
            None => Ok(()),
        }
    }

    /// Says something that is not part of the answer; what follows of that is said anew.
    pub(super) fn aside(&mut self, words: &str) -> Result<(), Failure> {
        let is_styled = self.paper.is_some_and(|paper| paper.styled);
        self.end_line()?;
        match is_styled {
            true => note(&format!("\u{1b}[2m[{words}]\u{1b}[0m")),
            false => note(&format!("[{words}]")),
        }
        Ok(())
    }

    fn done(&mut self, data: &Value) -> Result<(), Failure> {
        match (self.paper, self.streamed) {
            (Some(_), false) => self.text.push(data["content"].as_str().unwrap_or_default()),
            (None, false) => say(&text(&data["content"]))?,
            _ => {}
        }
        self.end_line()?;
        for file in data["attachments"].as_array().into_iter().flatten() {
            self.aside(&how_to_get(file))?;
        }
        if data["stopped"] == true {
            self.aside("stopped")?;
        }
        Ok(())
    }

    /// Ends the line of what was said so far.
    fn end_line(&mut self) -> Result<(), Failure> {
        match self.paper {
            Some(paper) => {
                self.thought.end(paper)?;
                self.text.end(paper)?;
            }
            None if self.streamed => say("")?,
            None => {}
        }
        self.streamed = false;
        Ok(())
    }

    /// What the oldest question takes for an answer: the body that answers it.
    ///
    /// # Errors
    /// It takes something else; in words.
    pub(super) fn decision(&self, line: &str) -> Result<Value, &'static str> {
        let choices = self.asked.front().and_then(|asked| asked["question"]["choices"].as_array());
        match (choices, line.trim().to_lowercase().as_str()) {
            (Some(choices), said) => {
                let chosen = chosen(choices, said).map(|id| json!({ "choice": id }));
                chosen.ok_or("answer with the number of a choice, or its words")
            }
            (None, "a" | "allow" | "y" | "yes") => Ok(json!({"decision": "allow"})),
            (None, "d" | "deny" | "n" | "no") => Ok(json!({"decision": "deny"})),
            (None, _) => Err("answer with allow or deny, yes or no"),
        }
    }

    /// Whether the oldest question has choices of its own, none of which is a no.
    pub(super) fn has_choices(&self) -> bool {
        self.asked.front().is_some_and(|asked| asked["question"]["choices"].is_array())
    }
}

/// The id of the choice that a line names: by its number, from 1, or by its words.
fn chosen(choices: &[Value], said: &str) -> Option<String> {
    let is_it = |at: usize, choice: &Value| {
        said.parse() == Ok(at + 1) || text(&choice["label"]).to_lowercase() == said
    };
    let found = choices.iter().enumerate().find(|(at, choice)| is_it(*at, choice));
    found.and_then(|(_, choice)| choice["id"].as_str()).map(str::to_owned)
}

/// What a person is asked: what the agent wants to know, whether a tool may be called, or what its server wants to know.
fn question(approval: &Value) -> String {
    if let Some(choices) = approval["question"]["choices"].as_array() {
        let mut words = text(&approval["question"]["text"]);
        for (at, choice) in choices.iter().enumerate() {
            words.push_str(&format!("\n{}: {}", at + 1, text(&choice["label"])));
        }
        return words;
    }
    let (tool, asked) = (text(&approval["tool"]), &approval["elicitation"]);
    if asked.is_null() {
        return format!("may it call {tool}? allow or deny");
    }
    let mut words = format!("the server of {tool} asks: {}", text(&asked["message"]));
    if asked["url"].is_string() {
        words.push_str(&format!("\nit wants this page opened: {}", text(&asked["url"])));
    } else if asked["content"].as_object().is_some_and(|content| !content.is_empty()) {
        words.push_str(&format!("\nyes answers {}", printable(&asked["content"].to_string(), false)));
    }
    words + "\nyes or no"
}

/// A file that came with the answer: what it is, and what saves it.
fn how_to_get(file: &Value) -> String {
    let name = text(file.get("name").filter(|name| name.is_string()).unwrap_or(&file["kind"]));
    let size = bytes(file["size"].as_u64().unwrap_or_default());
    format!("{name}, {size}: prx session save {}", text(&file["blob"]))
}

/// A text as it may be shown.
pub(super) fn text(value: &Value) -> String {
    printable(value.as_str().unwrap_or_default(), true)
}

/// The beginning of a text, on one line.
pub(super) fn shortened(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let begin: String = line.chars().take(MAX_RESULT_CHARS).collect();
    if begin.len() < line.len() { format!("{begin}…") } else { begin }
}
