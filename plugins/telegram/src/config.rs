//! What the operator set for this channel.

use serde::Deserialize;

use crate::update::User;

/// The configuration of one channel; `bot_token` never gets here.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Config {
    pub allowed_users: Vec<String>,
    pub api_base: String,
    pub poll_timeout_secs: u32,
    pub mention_only: bool,
    pub hear_groups: bool,
    pub webhook: bool,
    pub webhook_url: String,
    pub rich_messages: String,
}

const NOBODY_ALLOWED: &str = "allowed_users is empty, so everyone is refused: \
    list user ids or usernames there, or \"*\" for everyone";
const NO_ADDRESS: &str = "webhook is on and webhook_url is empty: set it to this gateway's public https address \
    followed by /in/ and the channel's name, or turn webhook off";

const NO_SUCH_FORM: &str = "rich_messages takes \"auto\" or \"off\"";

/// What `rich_messages` takes.
const AUTO: &str = "auto";
const OFF: &str = "off";

const PUBLIC_API: &str = "https://api.telegram.org";

impl Default for Config {
    fn default() -> Config {
        Config {
            allowed_users: Vec::new(),
            api_base: PUBLIC_API.to_owned(),
            poll_timeout_secs: 30,
            mention_only: true,
            hear_groups: false,
            webhook: false,
            webhook_url: String::new(),
            rich_messages: AUTO.to_owned(),
        }
    }
}

impl Config {
    /// What keeps the channel from being of any use, and what to do about it.
    pub fn problem(&self) -> Option<&'static str> {
        if self.refuses_everyone() {
            return Some(NOBODY_ALLOWED);
        }
        if ![AUTO, OFF].contains(&self.rich_messages.as_str()) {
            return Some(NO_SUCH_FORM);
        }
        (self.webhook && self.webhook_url.is_empty()).then_some(NO_ADDRESS)
    }

    /// Nobody may talk to the bot.
    fn refuses_everyone(&self) -> bool {
        self.allowed_users.iter().all(|entry| bare(entry).is_empty())
    }

    /// Whether this user may talk to the bot, by id or by username in any case. What is all digits is an id, whatever
    /// names people give themselves.
    pub fn allows(&self, user: &User) -> bool {
        let id = user.id.to_string();
        self.allowed_users.iter().map(|entry| bare(entry)).any(|entry| {
            let named =
                user.username.as_ref().is_some_and(|name| is_name(entry) && name.eq_ignore_ascii_case(entry));
            entry == "*" || entry == id || named
        })
    }

    /// Where the Bot API is, without a slash at the end.
    pub fn api_base(&self) -> &str {
        if self.api_base.is_empty() { PUBLIC_API } else { self.api_base.trim_end_matches('/') }
    }

    /// Whether texts that gain by it go out as rich messages.
    pub fn rich_messages(&self) -> bool {
        self.rich_messages == AUTO
    }

    /// How long the platform may hold a poll open, in seconds.
    pub fn poll_timeout(&self) -> u32 {
        self.poll_timeout_secs.min(50)
    }
}

fn bare(entry: &str) -> &str {
    entry.trim().trim_start_matches('@')
}

/// Whether an entry can be a username: an id of digits never is one.
fn is_name(entry: &str) -> bool {
    entry.trim_start_matches('-').chars().any(|character| !character.is_numeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(entries: &[&str], id: i64, username: Option<&str>) -> bool {
        let allowed_users = entries.iter().map(|entry| (*entry).to_owned()).collect();
        let user = User { id, username: username.map(str::to_owned), ..User::default() };
        Config { allowed_users, ..Config::default() }.allows(&user)
    }

    #[test]
    fn a_user_is_known_by_id_or_username() {
        assert!(allows(&["42"], 42, None));
        assert!(allows(&["@Ann"], 1, Some("ann")));
        assert!(allows(&["ann"], 1, Some("Ann")));
        assert!(allows(&["*"], 1, None));
        assert!(!allows(&["42"], 4, Some("bob")));
        assert!(!allows(&["ann"], 1, None));
    }

    #[test]
    fn an_id_is_nobodys_name() {
        for entry in ["123456789", "@123456789", " 123456789 "] {
            assert!(!allows(&[entry], 666, Some("123456789")), "{entry:?}");
            assert!(allows(&[entry], 123_456_789, Some("ann")), "{entry:?}");
        }
        assert!(!allows(&["-5"], 666, Some("-5")), "nor is a negative one");
        assert!(allows(&["agent007"], 1, Some("Agent007")));
    }

    #[test]
    fn an_empty_list_refuses_everyone() {
        assert!(!allows(&[], 42, Some("ann")));
        assert!(!allows(&["", "@"], 42, Some("")));
        assert!(Config { allowed_users: vec![" @ ".into()], ..Config::default() }.refuses_everyone());
        assert!(!Config { allowed_users: vec!["*".into()], ..Config::default() }.refuses_everyone());
    }
}
