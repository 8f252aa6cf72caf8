//! What people say to the agent itself.

use prx_sdk::agent::{Reply, SkillSummary};

use crate::agent::Work;
use crate::carry;
use crate::request;
use crate::state::{State, Turn};
use crate::summary;
use crate::words::with;

/// A message that is all command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    New,
    Help,
    Status,
    Compact,
    /// Shows the models, or chooses one.
    Model(Option<&'a str>),
}

/// The command that a message is, if it is one.
pub(crate) fn of(text: &str) -> Option<Command<'static>> {
    let mut words = text.split_whitespace();
    let (first, second, more) = (words.next()?, words.next(), words.next());
    let command = match (first, second, more) {
        ("/new", None, None) => Command::New,
        ("/help", None, None) => Command::Help,
        ("/status", None, None) => Command::Status,
        ("/compact", None, None) => Command::Compact,
        ("/model", None, None) => Command::Model(None),
        ("/model", Some(_), None) => Command::Model(Some("")),
        _ => return None,
    };
    Some(command)
}

impl Work<'_> {
    /// Carries a command out. Returns whether the turn goes on.
    pub(crate) fn command(&mut self, turn: &mut Turn, command: Command<'_>, skills: &[SkillSummary]) -> bool {
        let text = match command {
            Command::New => {
                let model = self.state.model.take();
                *self.state = State { model, carried: Some(false), ..State::default() };
                if let Some(said) = turn.known.last() {
                    self.out.forget_before(said.id.clone());
                }
                turn.known.clear();
                self.out.finish(Reply::Text(self.words().new_conversation.to_owned()));
                return false;
            }
            Command::Help => self.help(skills),
            Command::Status => self.status(turn),
            Command::Model(None) => self.models(turn),
            Command::Model(Some(_)) => self.choose(turn),
            Command::Compact => {
                turn.compacts = true;
                match summary::cut(self.cx, self.state, turn) {
                    Some(end) => return self.summarize(turn, end),
                    None => self.words().nothing_to_compact.to_owned(),
                }
            }
        };
        self.say(turn, text)
    }

    fn help(&self, skills: &[SkillSummary]) -> String {
        let words = self.words();
        let mut lines = vec![words.help.to_owned(), String::new()];
        lines.extend(words.commands.iter().map(|(name, what)| format!("- `{name}` {what}")));
        let triggers = skills.iter().filter_map(|skill| Some((skill.triggers.first()?, &skill.description)));
        let triggers: Vec<String> =
            triggers.map(|(trigger, about)| format!("- `{trigger}` {about}")).collect();
        if !triggers.is_empty() {
            lines.extend([String::new(), words.skills.to_owned(), String::new()]);
            lines.extend(triggers);
        }
        lines.join("\n")
    }

    fn status(&self, turn: &Turn) -> String {
        let words = self.words();
        let (count, cost) = (turn.own.to_string(), request::cost(&turn.known[..turn.own]).to_string());
        let mut lines =
            vec![with(words.status_model, &[self.model(turn)]), with(words.status_history, &[&count, &cost])];
        if !carry::earlier(self.cx, self.state).is_empty() {
            lines.push(words.status_summary.to_owned());
        }
        lines.join("\n\n")
    }

    fn model<'a>(&'a self, turn: &'a Turn) -> &'a str {
        request::model(self.state, turn).map_or("?", |model| &model.name)
    }

    fn models(&self, turn: &Turn) -> String {
        let words = self.words();
        let names = turn.models.iter().map(|model| format!("- `{}`", model.name)).collect::<Vec<_>>();
        let now = with(words.status_model, &[self.model(turn)]);
        format!("{now}\n\n{}\n\n{}", words.models, names.join("\n"))
    }

    /// Takes the model that the message names: whole, or without its provider where that is plain.
    fn choose(&mut self, turn: &Turn) -> String {
        let asked = turn.text.split_whitespace().nth(1).unwrap_or_default();
        let is_it =
            |name: &str| name == asked || name.split_once('/').is_some_and(|(_, model)| model == asked);
        let mut found = turn.models.iter().map(|model| &model.name).filter(|name| is_it(name));
        match (found.next(), found.next()) {
            (Some(name), None) => {
                let answer = with(self.words().model_chosen, &[name]);
                self.state.model = Some(name.clone());
                answer
            }
            _ => {
                let unknown = with(self.words().model_unknown, &[&format!("`{asked}`")]);
                format!("{unknown}\n\n{}", self.models(turn))
            }
        }
    }
}
