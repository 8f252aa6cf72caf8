//! Who may call a route, and which rate limit its requests count against.

use super::auth::Caller;
use super::scope::Scope;
use prx_base::error::Result;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone, without a token.
    Public,
    /// Anyone, without a token and however often: those who ask whether the gateway is well.
    Health,
    /// Platforms: their handlers look at what proves where a message comes from. What is proven counts for the channel in the
    /// path, and the rest for the address it comes from.
    Signed,
    /// Whoever has a token, whatever it may do.
    Token,
    /// Whoever has this scope.
    Scope(Scope),
    /// Anyone without a token, and of those who send one whoever has this scope.
    Optional(Scope),
    /// Whoever has one of these two scopes; the handler says what each is enough for.
    Either(Scope, Scope),
}

impl Access {
    /// Whether it can be called without a token.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Public | Self::Health | Self::Signed)
    }

    /// Makes sure that a caller may call it.
    ///
    /// # Errors
    /// 403 that names the scope that the caller lacks.
    pub(super) fn permit(self, caller: &Caller) -> Result<()> {
        match self {
            Self::Public | Self::Health | Self::Signed | Self::Token => Ok(()),
            Self::Optional(_) if *caller == Caller::Anyone => Ok(()),
            Self::Scope(scope) | Self::Optional(scope) => caller.require(scope),
            Self::Either(one, other) => caller.require_either(one, other),
        }
    }

    /// The group whose rate limit the route shares.
    pub fn group(self) -> Group {
        match self {
            Self::Scope(Scope::SESSIONS_WRITE) => Group::SessionsWrite,
            Self::Scope(Scope::SESSIONS_READ) => Group::SessionsRead,
            Self::Scope(Scope::CONFIG_WRITE) => Group::ConfigWrite,
            Self::Health => Group::Health,
            Self::Signed => Group::Webhooks,
            Self::Public | Self::Token | Self::Scope(_) | Self::Optional(_) | Self::Either(..) => {
                Group::Other
            }
        }
    }
}

impl From<Scope> for Access {
    fn from(scope: Scope) -> Self {
        Self::Scope(scope)
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
    /// Asking whether the gateway is well; counted, and never refused.
    Health,
    /// What platforms say to their channels.
    Webhooks,
    /// Everything else.
    Other,
}
