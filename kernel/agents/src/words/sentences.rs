//! What there is to be said.

/// The sentences of one language. `{}` stands for what is named beside it.
#[derive(Debug)]
pub(crate) struct Words {
    /// The choices of a person who is asked whether a tool may be called, this once.
    pub(crate) allow: &'static str,
    pub(crate) deny: &'static str,
    /// The choices of a person whom an MCP server asks something.
    pub(crate) yes: &'static str,
    pub(crate) no: &'static str,
    /// The tool; its arguments follow.
    pub(crate) may_call: &'static str,
    /// The MCP server; its words follow.
    pub(crate) server_asks: &'static str,
    /// The page follows.
    pub(crate) page: &'static str,
    /// What is answered follows.
    pub(crate) yes_answers: &'static str,
    /// A turn was stopped before anything was said.
    pub(crate) stopped: &'static str,
    pub(crate) empty_answer: &'static str,
    /// Ends an answer of which nothing more came.
    pub(crate) broke_off: &'static str,
    /// Why, and what may be done now.
    pub(crate) unanswered: &'static str,
    /// The command that begins another conversation.
    pub(crate) begin_another: &'static str,
    /// The same, of a message with files.
    pub(crate) files_left_out: &'static str,
    /// What was not passed on, for the filter named does not do its work.
    pub(crate) unchecked: &'static str,
    /// The agent is not there as it is configured: the rest is for the operator, who is told by the log and the status.
    pub(crate) agent_is_down: &'static str,
}
