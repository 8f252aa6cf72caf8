//! Logins to MCP servers: what was agreed with their authorization servers, and the tokens that came of it.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::handle::Store;
use super::kept::Kept;
use super::rows::{Result, Rows};

/// By the server's name.
const LOGINS: Rows<&str, McpLogin> = Rows::new("mcp_logins");

pub(super) const TABLES: &[&dyn Kept] = &[&LOGINS];

/// What is kept of the login to one MCP server. Its `Debug` shows no secret.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct McpLogin {
    /// The URL that its tokens are for. They go nowhere else.
    pub url: String,
    /// The tokens, while they are good.
    pub tokens: Option<McpTokens>,
    /// A login that has begun and waits for its person.
    pub pending: Option<PendingLogin>,
    /// Why there are no tokens any more.
    pub ended: Option<String>,
}

/// Who the gateway is to an authorization server, and where that is asked for tokens.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OauthClient {
    /// The authorization server.
    pub issuer: String,
    /// Where it gives tokens.
    pub token_endpoint: String,
    /// What tokens are to be for.
    pub resource: String,
    /// The client's id there.
    pub id: String,
    /// Its secret, where it has one.
    pub secret: Option<String>,
    /// The secret goes into the form, not into a header.
    pub secret_in_form: bool,
}

/// Tokens, and how they are renewed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct McpTokens {
    /// Who they were given to.
    pub client: OauthClient,
    /// The token for requests.
    pub access: String,
    /// The token for the next one, if there is one.
    pub refresh: Option<String>,
    /// Until when `access` is good, where that was said.
    pub expires_at: Option<Timestamp>,
}

/// A login between its beginning and the code.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingLogin {
    /// Who asks.
    pub client: OauthClient,
    /// What the answer has to repeat.
    pub state: String,
    /// PKCE's secret.
    pub verifier: String,
    /// Where the person is sent with the code.
    pub redirect_uri: String,
    /// Until when it waits.
    pub expires_at: Timestamp,
}

impl Store {
    /// What is kept of the login to a server.
    pub fn mcp_login(&self, server: &str) -> Result<Option<McpLogin>> {
        self.read(|snapshot| snapshot.get(&LOGINS, server))
    }

    /// Keeps this of the login to a server instead of what was kept.
    pub async fn put_mcp_login(&self, server: &str, login: McpLogin) -> Result<()> {
        let server = server.to_owned();
        self.write(move |tx| tx.put(&LOGINS, server.as_str(), &login)).await
    }

    /// Forgets the login to a server; false when there was none.
    pub async fn remove_mcp_login(&self, server: &str) -> Result<bool> {
        let server = server.to_owned();
        self.write(move |tx| {
            let found = tx.get(&LOGINS, server.as_str())?.is_some();
            tx.remove(&LOGINS, server.as_str())?;
            Ok(found)
        })
        .await
    }
}

impl fmt::Debug for McpLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tokens, pending) = (self.tokens.is_some(), self.pending.is_some());
        f.debug_struct("McpLogin")
            .field("url", &self.url)
            .field("tokens", &tokens)
            .field("pending", &pending)
            .finish()
    }
}
