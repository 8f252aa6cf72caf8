//! What is typed: with editing, history and completion on a terminal, line by line elsewhere.

use std::borrow::Cow;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::thread;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{Config, Context, Editor, Helper};
use tokio::io::{AsyncBufReadExt, BufReader, Stdin};
use tokio::sync::mpsc;

use super::super::failure::Failure;
use super::super::paths::xdg;
use super::super::terminal::note;

/// Lines that are remembered.
const HISTORY: usize = 1000;

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    Line(String),
    /// Ctrl-C at the prompt.
    Interrupt,
    /// Ctrl-D, or the end of the input.
    End,
}

/// Reads lines.
pub(super) enum Lines {
    Plain(tokio::io::Lines<BufReader<Stdin>>),
    Edited(Edited),
}

/// A thread that edits one line after the other, as it is asked to.
pub(super) struct Edited {
    prompts: std::sync::mpsc::Sender<String>,
    typed: mpsc::UnboundedReceiver<Typed>,
    /// The prompt that stands there unanswered.
    asked: Option<String>,
    /// The terminal as it was before: a line that is not ended leaves it as it is edited.
    before: Option<Termios>,
}

impl Drop for Edited {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // A terminal that is gone needs no mending.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

impl Lines {
    /// With editing where both ends are a terminal; `words` are completed.
    pub(super) fn new(words: Vec<String>) -> Result<Self, Failure> {
        let by_hand = io::stdin().is_terminal() && io::stdout().is_terminal();
        if !by_hand || std::env::var("TERM").is_ok_and(|terminal| terminal == "dumb") {
            return Ok(Self::Plain(BufReader::new(tokio::io::stdin()).lines()));
        }
        let (prompts, asked) = std::sync::mpsc::channel();
        let (answer, typed) = mpsc::unbounded_channel();
        thread::Builder::new().name("lines".into()).spawn(move || edit(&words, &asked, &answer))?;
        Ok(Self::Edited(Edited { prompts, typed, asked: None, before: tcgetattr(io::stdin()).ok() }))
    }

    /// The next line. May be dropped and asked for again: the prompt stays.
    pub(super) async fn next(&mut self, prompt: &str) -> Result<Typed, Failure> {
        let edited = match self {
            Self::Plain(lines) => return Ok(lines.next_line().await?.map_or(Typed::End, Typed::Line)),
            Self::Edited(edited) => edited,
        };
        loop {
            if edited.asked.is_none() {
                if edited.prompts.send(prompt.to_owned()).is_err() {
                    return Ok(Typed::End);
                }
                edited.asked = Some(prompt.to_owned());
            }
            let typed = edited.typed.recv().await.unwrap_or(Typed::End);
            match edited.asked.take() {
                // An answer to a question that is over by now is no message.
                Some(asked)
                    if asked != prompt && matches!(&typed, Typed::Line(line) if !line.trim().is_empty()) =>
                {
                    note("[that came too late, and was not sent]");
                }
                Some(asked) if asked != prompt && typed != Typed::End => {}
                _ => return Ok(typed),
            }
        }
    }
}

fn edit(words: &[String], asked: &std::sync::mpsc::Receiver<String>, answer: &mpsc::UnboundedSender<Typed>) {
    let config =
        Config::builder().max_history_size(HISTORY).map(|config| config.auto_add_history(false).build());
    let editor = config.and_then(Editor::<Words, DefaultHistory>::with_config);
    let mut editor = match editor {
        Ok(editor) => editor,
        Err(error) => {
            note(&format!("[no line can be edited: {error}]"));
            return;
        }
    };
    editor.set_helper(Some(Words(words.to_vec())));
    let file = history_file();
    // The first time there is none.
    let _ = file.as_ref().map(|file| editor.load_history(file));
    for prompt in asked.iter() {
        let typed = match editor.readline(&prompt) {
            Ok(line) => {
                if !line.trim().is_empty() {
                    let _ = editor.add_history_entry(&line);
                    // A history that can't be kept is missed by nobody now.
                    let _ = file.as_ref().map(|file| editor.append_history(file));
                }
                Typed::Line(line)
            }
            Err(ReadlineError::Interrupted) => Typed::Interrupt,
            Err(_) => Typed::End,
        };
        if answer.send(typed).is_err() {
            return;
        }
    }
}

/// Where lines are remembered, for their owner only.
fn history_file() -> Option<PathBuf> {
    let state = xdg("XDG_STATE_HOME", ".local/state")?.join("prx");
    DirBuilder::new().recursive(true).mode(0o700).create(&state).ok()?;
    let file = state.join("chat-history");
    OpenOptions::new().append(true).create(true).mode(0o600).open(&file).ok()?;
    Some(file)
}

/// Completes words at the beginning of a line, and names behind them.
struct Words(Vec<String>);

impl Completer for Words {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok((0, completions(&self.0, &line[..at])))
    }
}

impl Hinter for Words {
    type Hint = String;
}

impl Highlighter for Words {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        Cow::Borrowed(prompt)
    }
}

impl Validator for Words {}
impl Helper for Words {}

/// The words that a line may become.
fn completions(words: &[String], line: &str) -> Vec<String> {
    if !line.starts_with('/') {
        return Vec::new();
    }
    words.iter().filter(|word| word.starts_with(line)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_their_names_are_completed() {
        let words = ["/agent default", "/agent support", "/help", "/model"].map(str::to_owned);
        assert_eq!(completions(&words, "/h"), ["/help"]);
        assert_eq!(completions(&words, "/agent s"), ["/agent support"]);
        assert_eq!(completions(&words, "/"), words);
        assert_eq!(completions(&words, "help"), Vec::<String>::new());
        assert_eq!(completions(&words, ""), Vec::<String>::new());
    }
}
