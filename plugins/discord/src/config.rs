//! What the operator set for this channel.

use serde::Deserialize;

use crate::message::User;

/// The configuration of one channel; `bot_token` never gets here.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Config {
    pub allowed_users: Vec<String>,
    pub allowed_guilds: Vec<String>,
    pub mention_only: bool,
    pub hear_groups: bool,
    pub api_base: String,
    pub gateway_url: String,
    pub public_key: String,
}

const PUBLIC_API: &str = "https://discord.com/api/v10";

impl Default for Config {
    fn default() -> Config {
        Config {
            allowed_users: Vec::new(),
            allowed_guilds: Vec::new(),
            mention_only: true,
            hear_groups: false,
            api_base: PUBLIC_API.to_owned(),
            gateway_url: String::new(),
            public_key: String::new(),
        }
    }
}

impl Config {
    /// Nobody may talk to the bot.
    pub fn refuses_everyone(&self) -> bool {
        self.allowed_users.iter().all(|entry| bare(entry).is_empty())
    }

    /// Whether this user may talk to the bot, by id or by username in any case. What is all digits is an id, whatever
    /// names people give themselves.
    pub(crate) fn allows(&self, user: &User) -> bool {
        self.allowed_users.iter().map(|entry| bare(entry)).filter(|entry| !entry.is_empty()).any(|entry| {
            let named = is_name(entry) && user.username.eq_ignore_ascii_case(entry);
            entry == "*" || entry == user.id || named
        })
    }

    /// Whether the bot listens in this server; outside of servers it always does.
    pub fn listens_in(&self, guild: Option<&str>) -> bool {
        let Some(guild) = guild else { return true };
        let mut listed = self.allowed_guilds.iter().map(|entry| entry.trim()).peekable();
        listed.peek().is_none() || listed.any(|entry| entry == "*" || entry == guild)
    }

    /// Where the REST API is, without a slash at the end.
    pub fn api_base(&self) -> &str {
        if self.api_base.is_empty() { PUBLIC_API } else { self.api_base.trim_end_matches('/') }
    }

    /// The gateway that the operator wants used, whatever the API says.
    pub fn gateway_url(&self) -> Option<&str> {
        Some(self.gateway_url.trim()).filter(|url| !url.is_empty())
    }
}

fn bare(entry: &str) -> &str {
    entry.trim().trim_start_matches('@')
}

/// Whether an entry can be a username: an id of digits never is one.
fn is_name(entry: &str) -> bool {
    entry.chars().any(|character| !character.is_numeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(entries: &[&str], id: &str, username: &str) -> bool {
        let allowed_users = entries.iter().map(|entry| (*entry).to_owned()).collect();
        let user = User { id: id.to_owned(), username: username.to_owned(), ..User::default() };
        Config { allowed_users, ..Config::default() }.allows(&user)
    }

    #[test]
    fn a_user_is_known_by_id_or_username() {
        assert!(allows(&["42"], "42", ""));
        assert!(allows(&["@Ann"], "1", "ann"));
        assert!(allows(&["*"], "1", ""));
        assert!(!allows(&["42"], "4", "bob"));
        for entry in ["123456789", "@123456789", " 123456789 "] {
            assert!(!allows(&[entry], "666", "123456789"), "an id is nobody's name: {entry:?}");
            assert!(allows(&[entry], "123456789", "ann"), "{entry:?}");
        }
        assert!(allows(&["agent007"], "1", "Agent007"));
        assert!(!allows(&["", "@"], "42", ""));
        assert!(Config { allowed_users: vec![" @ ".into()], ..Config::default() }.refuses_everyone());
    }

    #[test]
    fn without_a_list_every_server_counts() {
        let listens = |listed: &[&str], guild| {
            let allowed_guilds = listed.iter().map(|entry| (*entry).to_owned()).collect();
            Config { allowed_guilds, ..Config::default() }.listens_in(guild)
        };
        assert!(listens(&[], Some("5")) && listens(&["5"], Some("5")) && listens(&["5"], None));
        assert!(!listens(&["5"], Some("6")));
    }
}
