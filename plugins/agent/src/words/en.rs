//! English.

use super::Words;

pub(crate) const WORDS: Words = Words {
    new_conversation: "This is a new conversation: what was said before is left behind.",
    help: "You can talk to me, or say one of these:",
    commands: &[
        ("/new", "begins a new conversation"),
        ("/stop", "stops the answer that is under way"),
        ("/compact", "summarizes what was said so far, so that there is room for more"),
        ("/model", "shows the models, or takes another one: /model NAME"),
        ("/status", "shows the model and how much was said"),
        ("/help", "shows this"),
    ],
    skills: "These bring in a skill:",
    status_model: "Model: {}",
    status_history: "Messages in view: {}, about {} tokens",
    status_summary: "What was said before is summarized.",
    model_chosen: "From now on {} answers.",
    model_unknown: "There is no model {} to be chosen here.",
    models: "These can be chosen:",
    compacted: "{} messages are summarized.",
    nothing_to_compact: "There is too little to summarize.",
    cut_off: "[The answer was cut off here: it reached the greatest length that the provider allows (max_tokens in its settings). Ask me to go on.]",
    refused: "[The model will not answer this.]",
    no_calls_left: "There is no answer yet, and this turn has made its {} tool calls. Ask me to go on.",
    forgotten: "[What was said earlier no longer fits the model and could not be summarized.]",
    session_ends: "[This session ends here, for it has had all its turns (agent.max_turns); the next message begins a new one, which knows what we said.]",
    session_ends_in_part: "[This session ends here, for it has had all its turns (agent.max_turns); the next message begins a new one, which knows only the last of what we said.]",
    part_is_known: "[A new session has begun since we last spoke; of what we said before it I know only the last part.]",
};
