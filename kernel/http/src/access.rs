//! Who may call a route, and which rate limit its requests count against.

use super::scope::Scope;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone, without a token.
    Public,
    /// Whoever has this scope.
    Scope(Scope),
    /// Whoever has one of these two scopes; the handler says what each is enough for.
    Either(Scope, Scope),
}

impl Access {
    /// The group whose rate limit the route shares.
    pub fn group(self) -> Group {
        match self {
            Self::Scope(Scope::SESSIONS_WRITE) => Group::SessionsWrite,
            Self::Scope(Scope::SESSIONS_READ) => Group::SessionsRead,
            Self::Scope(Scope::CONFIG_WRITE) => Group::ConfigWrite,
            Self::Public | Self::Scope(_) | Self::Either(..) => Group::Other,
        }
    }
}

/// Routes that share a rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// Creating and ending sessions, sending messages.
    SessionsWrite,
    /// Reading sessions.
    SessionsRead,
    /// Changing the configuration.
    ConfigWrite,
    /// Everything else.
    Other,
}
