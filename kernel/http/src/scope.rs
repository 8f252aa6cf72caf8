//! What a token may do.

use std::fmt;

use serde::{Serialize, Serializer};

use prx_base::error::{Error, Result};

/// One permission of a token, written `<section>:read`, `<section>:write` or `admin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scope(&'static str);

macro_rules! scopes {
    ($($name:ident = $text:literal,)*) => {
        impl Scope {
            $(#[doc = concat!("`", $text, "`")] pub const $name: Self = Self($text);)*

            /// Every scope there is.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

scopes! {
    SESSIONS_READ = "sessions:read",
    SESSIONS_WRITE = "sessions:write",
    CHANNELS_READ = "channels:read",
    CHANNELS_WRITE = "channels:write",
    HOOKS_READ = "hooks:read",
    HOOKS_WRITE = "hooks:write",
    MCP_READ = "mcp:read",
    MCP_WRITE = "mcp:write",
    PLUGINS_READ = "plugins:read",
    PLUGINS_WRITE = "plugins:write",
    SKILLS_READ = "skills:read",
    TOOLS_READ = "tools:read",
    TOOLS_WRITE = "tools:write",
    JOBS_READ = "jobs:read",
    JOBS_WRITE = "jobs:write",
    MEMORY_READ = "memory:read",
    MEMORY_WRITE = "memory:write",
    STATUS_READ = "status:read",
    CONFIG_READ = "config:read",
    CONFIG_WRITE = "config:write",
    LOGS_READ = "logs:read",
    EVENTS_READ = "events:read",
    AUDIT_READ = "audit:read",
    ADMIN = "admin",
}

impl Scope {
    /// The scope of this name.
    ///
    /// # Errors
    /// There is none; the message lists those there are.
    pub fn parse(text: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|scope| scope.0 == text);
        found.copied().ok_or_else(|| {
            let all: Vec<_> = Self::ALL.iter().map(|scope| scope.0).collect();
            let there_are = format!("there are {}", all.join(", "));
            Error::bad_request(format!("`scopes` has \"{text}\", which there is none of; {there_are}"))
        })
    }

    /// The scope's name.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}
