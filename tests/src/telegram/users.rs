//! What users do: each makes an update.

use serde_json::{Value, json};

use super::{FakeTelegram, Sent};

impl FakeTelegram {
    /// A user writes to the bot in a private chat. The number of the update.
    pub fn write(&self, user: i64, text: &str) -> i64 {
        self.say(
            user,
            &json!({"id": user, "type": "private", "first_name": format!("User {user}")}),
            json!({"text": text}),
        )
    }

    /// A user writes in a chat, with these fields of a message. The number of the update.
    pub fn say(&self, user: i64, chat: &Value, fields: Value) -> i64 {
        let mut state = self.bot.state();
        state.numbers.message += 1;
        let number = state.numbers.message;
        state.chats.extend(chat["id"].as_i64());
        drop(state);
        let mut message = json!({
            "message_id": number,
            "from": {"id": user, "is_bot": false, "first_name": format!("User {user}"), "language_code": "en"},
            "chat": chat,
            "date": 1_774_000_000 + number,
        });
        for (key, value) in fields.as_object().into_iter().flatten() {
            message[key] = value.clone();
        }
        self.update("message", message)
    }

    /// A user sends a file, by name and content, in a private chat: a `photo` or a `document`. The number of the
    /// update.
    pub fn send_file(&self, user: i64, kind: &str, (name, content): (&str, &str), caption: &str) -> i64 {
        let id = format!("{kind}s/{user}-{name}");
        self.bot.state().files.insert(id.clone(), content.to_owned());
        let file = json!({"file_id": id, "file_unique_id": name, "file_size": content.len()});
        let mut fields = match kind {
            "photo" => json!({"photo": [{"file_id": "thumbnail", "file_unique_id": "t"}, file]}),
            _ => json!({kind: file}),
        };
        if kind == "document" {
            fields[kind]["file_name"] = json!(name);
        }
        fields["caption"] = json!(caption);
        self.say(user, &json!({"id": user, "type": "private"}), fields)
    }

    /// A user presses the button that says this, under a message that the bot has sent. The number of the update.
    ///
    /// # Panics
    /// When there is no such button.
    pub fn press(&self, user: i64, under: &Sent, label: &str) -> i64 {
        let rows = under.keyboard["inline_keyboard"].as_array().cloned().unwrap_or_default();
        let buttons: Vec<Value> =
            rows.iter().flat_map(|row| row.as_array().cloned().unwrap_or_default()).collect();
        let button = buttons.iter().find(|button| button["text"] == label);
        let button = button.unwrap_or_else(|| panic!("no button says {label:?}: {buttons:?}"));
        let mut state = self.bot.state();
        let id = format!("press-{}", state.numbers.update + 1);
        state.presses.push(id.clone());
        drop(state);
        self.update(
            "callback_query",
            json!({
                "id": id,
                "from": {"id": user, "is_bot": false, "first_name": format!("User {user}")},
                "message": {
                    "message_id": under.message,
                    "from": {"id": 7_000_001, "is_bot": true, "first_name": "Prx", "username": "prx_test_bot"},
                    "chat": {"id": under.chat, "type": if under.chat < 0 { "supergroup" } else { "private" }},
                    "date": 1_774_000_000,
                    "text": under.text,
                    "reply_markup": under.keyboard,
                },
                "chat_instance": "1",
                "data": button["callback_data"],
            }),
        )
    }

    /// An update of a kind that the bot's program can't know.
    pub fn write_unknown_kind(&self) -> i64 {
        self.update("hologram", json!({"id": 7, "of": [null, {"x": 1.5}]}))
    }

    /// Anything happens. The number of the update.
    pub fn update(&self, kind: &str, body: Value) -> i64 {
        let mut state = self.bot.state();
        state.numbers.update += 1;
        let update = state.numbers.update;
        state.waiting.push_back(json!({"update_id": update, kind: body}));
        self.bot.tell(state);
        update
    }
}
