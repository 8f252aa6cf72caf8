//! English.

use super::sentences::Words;

pub(super) const WORDS: Words = Words {
    allow: "Allow once",
    deny: "Deny",
    yes: "Yes",
    no: "No",
    may_call: "May I call the tool `{}` with this?",
    server_asks: "The MCP server `{}` asks:",
    page: "It wants you to open this page. Look where it leads: answer Yes when you have opened it, and No if you don't trust it.",
    yes_answers: "Yes answers this:",
    stopped: "Stopped.",
    empty_answer: "The model has given an empty answer.",
    broke_off: "[The answer broke off here: nothing more of it came. Ask me to go on.]",
    unanswered: "This message could not be answered: {}",
    begin_another: "If this goes on, say {} to begin another conversation",
    files_left_out: "Its files are left out of the conversation from here on; if this goes on, say {}",
    unchecked: "This was stopped, for it could not be checked: the filter {} does not do its work at the moment. Whoever runs this gateway can see why.",
    agent_is_down: "This message could not be answered: the agent is not set up right at the moment. Whoever runs it can see why; please try again later.",
};
