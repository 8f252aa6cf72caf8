//! Runs the turns of sessions: asks models and skills, calls tools, and queues the replies. One turn at a time in each
//! session, in order, and many sessions side by side.

pub use self::approval::question;
pub use self::command::command;
pub use self::failure::stopping;
pub use self::given::{OptionsFlaw, ToolFlaw, options, tool_flaw};
pub use self::stream::{TurnEvent, TurnStream};
pub use self::turns::Turns;

mod agent;
mod applied;
mod approval;
mod arguments;
mod ask;
mod bounds;
mod budget;
mod caller_tools;
mod calls;
mod command;
mod commands;
mod completion;
mod compose;
mod context;
mod context_window;
mod course;
mod elicitation;
mod entries;
mod failure;
mod filtering;
mod given;
mod means;
mod outcomes;
mod progress;
mod provider_health;
mod quoting;
mod recall;
mod reply;
mod retry;
mod skills;
mod stream;
pub mod tool;
mod turn;
mod turns;
mod windows;
mod words;
mod work;
mod work_timer;
mod workers;
