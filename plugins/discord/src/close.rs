//! Why the platform closes a connection, and what is to be done about it.

/// What to do after a connection was closed.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// Take the session up again on another connection.
    Resume,
    /// Begin a new session.
    Identify,
    /// Nothing that helps; says what the operator can do.
    GiveUp(&'static str),
}

const SHARDS: &str = "the bot is in more servers than one connection may serve: let it leave some, \
    or run a channel for each of several bots";
const VERSION: &str = "the gateway does not speak version 10 of its protocol: \
    check gateway_url, or update the discord plugin";
const INTENTS: &str = "the bot may not read messages: in the developer portal, on the application's Bot page, \
    switch on the MESSAGE CONTENT INTENT under Privileged Gateway Intents, then restart the channel";

/// What this close code asks for. None: the connection was lost without one.
pub(crate) fn after(code: Option<u16>) -> Next {
    match code {
        Some(4004) => Next::GiveUp(BAD_TOKEN),
        Some(4010 | 4011) => Next::GiveUp(SHARDS),
        Some(4012) => Next::GiveUp(VERSION),
        Some(4013 | 4014) => Next::GiveUp(INTENTS),
        // Never identified, an impossible sequence number, a session that timed out: it is gone.
        Some(4003 | 4007 | 4009) => Next::Identify,
        _ => Next::Resume,
    }
}

pub(crate) const BAD_TOKEN: &str = "the platform does not accept the token: check bot_token, \
    and api_base and gateway_url if they are set";
