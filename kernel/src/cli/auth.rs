//! `prx auth`

use hyper::Method;
use serde_json::{Value, json};

use super::client::{Payload, path};
use super::failure::Failure;
use super::output::{Console, table, warn};
use super::paths::Paths;
use crate::api::tokens;
use prx_base::clock::Clock;
use prx_http::{Scope, mint};
use prx_store::{Deed, Store};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a token and print it, alone; it can't be shown again
    Token {
        /// What it is for
        #[arg(long, default_value = "cli")]
        name: String,
        /// What it may do, such as sessions:read; may be repeated [default: admin]
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// How long it is valid, such as 30d [default: until it is revoked]
        #[arg(long, value_name = "DURATION")]
        expires: Option<String>,
    },
    /// List tokens
    List,
    /// Revoke a token
    Revoke {
        /// The token's id, from `prx auth list`
        id: String,
    },
}

pub(super) async fn run(console: &Console, paths: &Paths, command: Command) -> Result<(), Failure> {
    let answer = if console.gateway.is_running().await? {
        through_gateway(console, &command).await?
    } else {
        if !Store::exists(&paths.data_dir) && !matches!(command, Command::Token { .. }) {
            return Err(Failure::new(format!("{}, so there are no tokens", never_ran(paths))));
        }
        // Nobody else has the store open.
        let store = Store::open(&paths.data_dir, Clock::system())?;
        let answer = in_store(&store, &command).await;
        store.close().await;
        let answer = answer?;
        // Only a gateway compiles.
        if !paths.data_dir.join("cache").exists() {
            warn(&format!("{}; this token is for one that will", never_ran(paths)));
        }
        answer
    };
    match command {
        Command::Token { .. } => {
            console.show(&answer, |made| made["token"].as_str().unwrap_or_default().to_owned())
        }
        Command::List => console.show(&answer, |answer| {
            table(
                &answer["tokens"],
                &["id", "name", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at"],
            )
        }),
        Command::Revoke { id } => console.done(&json!({"id": id, "revoked": true}), &format!("revoked {id}")),
    }
}

/// Nothing has run on this data directory yet: what is made there is known to nobody else.
fn never_ran(paths: &Paths) -> String {
    let folder = paths.data_dir.display();
    format!("no gateway has ever run on {folder} (one elsewhere is named with --data-dir or PRX_DATA_DIR)")
}

/// Has the running gateway do it.
async fn through_gateway(console: &Console, command: &Command) -> Result<Value, Failure> {
    match command {
        Command::Token { name, scopes, expires } => {
            let wanted = json!({"name": name, "scopes": scopes_or_all(scopes), "expires_in": expires});
            console.gateway.post("/api/v1/auth/tokens", wanted).await
        }
        Command::List => {
            all(async |limit, offset| {
                console.gateway.get(&format!("/api/v1/auth/tokens?limit={limit}&offset={offset}")).await
            })
            .await
        }
        Command::Revoke { id } => {
            console.gateway.send(Method::DELETE, &path(&["auth", "tokens", id]), Payload::None).await
        }
    }
}

/// Does it where no gateway runs.
async fn in_store(store: &Store, command: &Command) -> Result<Value, Failure> {
    match command {
        Command::Token { name, scopes, expires } => {
            let new =
                tokens::new_token(Some(name.clone()), Some(&scopes_or_all(scopes)), expires.as_deref())?;
            let minted = mint(store, &Clock::system(), new).await?;
            let (id, about) = (minted.record.id.clone(), tokens::about(&minted.record));
            store.record_audit(Deed::of_owner("token.created", id, about)).await?;
            Ok(json!(tokens::CreatedToken::from(minted)))
        }
        Command::List => {
            all(async |limit, offset| Ok(json!(tokens::TokenPage::from(store.tokens(limit, offset)?)))).await
        }
        Command::Revoke { id } => {
            store.revoke_token(id).await?;
            store.record_audit(Deed::of_owner("token.revoked", id, Value::Null)).await?;
            Ok(Value::Null)
        }
    }
}

/// On a command line, none said are all.
fn scopes_or_all(scopes: &[String]) -> Vec<String> {
    if scopes.is_empty() { vec![Scope::ADMIN.as_str().to_owned()] } else { scopes.to_vec() }
}

/// All pages of the list of tokens as one.
async fn all(page: impl AsyncFn(usize, usize) -> Result<Value, Failure>) -> Result<Value, Failure> {
    const PAGE: usize = 500;
    let mut all = Vec::new();
    loop {
        let mut answer = page(PAGE, all.len()).await?;
        let tokens = answer["tokens"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let last = tokens.len() < PAGE;
        all.extend(tokens);
        if last {
            return Ok(json!({"total": all.len(), "tokens": all}));
        }
    }
}
