//! Buttons: a press is acknowledged, whoever it comes from, and becomes the choice that the button stands for.

use prx_sdk::connector::{Commands, Context};
use prx_sdk::quotes::Quotes;
use serde_json::json;

use crate::call;
use crate::classify::{Ignored, admit};
use crate::config::Config;
use crate::pending::PendingMessage;
use crate::state::State;
use crate::update::{Message, Press, User};

/// The most bytes that a button carries.
pub(crate) const MAX_DATA: usize = 64;

/// Takes in that a button was pressed.
pub(crate) fn pressed(
    cx: &Context<Config>,
    state: &mut State,
    number: i64,
    press: &Press,
    out: &mut Commands,
) -> Result<(), Ignored> {
    acknowledge(cx, state, &press.id, out);
    let (Some(message), Some(data)) = (&press.message, &press.data) else { return Err(Ignored::NoText) };
    admit(&cx.config, &press.from)?;
    if is_asked(&press.from, message) {
        close(cx, state, message, out);
    }
    let pending = PendingMessage {
        dedupe: format!("{}:{number}", state.bot.id),
        place: state.place_of(message),
        reply_to: message.chat.is_group().then_some(message.message_id),
        sender: (press.from.id, press.from.name()),
        language: press.from.language_code.clone(),
        text: message.label(data).to_owned(),
        sent_at: cx.now,
        addressed: true,
        choice: Some(data.clone()),
        album: None,
        awaits: None,
        overheard: false,
        hears: false,
        group: message.chat.is_group(),
        quotes: Quotes::default(),
    };
    state.pending_queue(cx, out).push(pending, Vec::new());
    Ok(())
}

/// Ends the sign of waiting at the button. Nothing is made of the answer: later is too late.
pub(crate) fn acknowledge(cx: &Context<Config>, state: &mut State, id: &str, out: &mut Commands) {
    call::tell(cx, state, "answerCallbackQuery", &json!({ "callback_query_id": id }), out);
}

/// Whether a question is this user's to answer. In a group it answers a message of whom it asks, and stays for them when
/// someone else presses.
fn is_asked(user: &User, question: &Message) -> bool {
    let answered = question.reply_to_message.as_ref().and_then(|message| message.from.as_ref());
    !question.chat.is_group() || answered.is_some_and(|asked| asked.id == user.id)
}

/// Takes the buttons away: the question is answered.
fn close(cx: &Context<Config>, state: &mut State, message: &Message, out: &mut Commands) {
    let body = json!({ "chat_id": message.chat.id, "message_id": message.message_id });
    call::tell(cx, state, "editMessageReplyMarkup", &body, out);
}

impl Message {
    /// What the button that carries this data says.
    fn label<'a>(&'a self, data: &'a str) -> &'a str {
        let rows = self.reply_markup.iter().flat_map(|keyboard| &keyboard.inline_keyboard);
        let button = rows.flatten().find(|button| button.callback_data.as_deref() == Some(data));
        button.map_or(data, |button| &button.text)
    }
}
