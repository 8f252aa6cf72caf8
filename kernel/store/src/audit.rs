//! The audit log: who changed what of the gateway. It is kept apart from the running log, in the store, and holds no secrets
//! and nothing that was said.

use std::time::Duration;

use jiff::Timestamp;
use redb::{ReadableTable, ReadableTableMetadata, TableDefinition};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::handle::Store;
use super::kept::Kept;
use super::rows::{Failure, LAST_ID, MAX_PAGE, Result, Rows};
use super::tx::Tx;

/// By id, and so by age.
const AUDIT: Rows<&str, AuditEntry> = Rows::new("audit");
/// The row in which refused callers are summed at present, by what it is about.
const SUMMED: TableDefinition<'static, &str, &str> = TableDefinition::new("audit_summed");

/// The most rows that are kept.
const MAX_ROWS: u64 = 100_000;
/// Rows that adding one may forget: bounded work, and yet they never pile up.
const FORGET: usize = 16;
/// Rows that one commit of a sweep forgets.
const SWEEP_BATCH: usize = 256;
/// Rows that one look goes over, whether they fit or not.
const MAX_SCANNED: usize = 5_000;
/// What refused callers come under.
const REFUSED: &str = "auth.refused";
/// How long refused callers are summed in one row: an hour.
const SUMMED_FOR: Duration = Duration::from_secs(60 * 60);

pub(super) const TABLES: &[&dyn Kept] = &[&SUMMED, &AUDIT];

/// Who did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Actor {
    /// Whoever may open the socket or the files in the data directory: the command line.
    Owner,
    /// Whoever has a token.
    Token,
    /// Someone without a valid token.
    Anyone,
    /// Whoever has edited a file that the gateway follows.
    File,
}

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// `aud_<ulid>`
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// By whom, what, to what.
    #[serde(flatten)]
    pub deed: Deed,
}

/// What is to be written into the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deed {
    /// Who did it.
    pub actor: Actor,
    /// The id of the token, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The address it came from; none for what came over no network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The request, as the running log names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// What was done, as `hook.created`.
    pub action: String,
    /// To what: an id or a name; empty where the action says it.
    pub target: String,
    /// What else there is to say, without secrets.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub details: Value,
}

/// Callers who were refused, for they had no valid token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefusedCallers {
    /// Requests.
    pub requests: u64,
    /// The addresses that they came from, as far as they are known.
    pub addresses: u64,
    /// The first one.
    pub first_address: String,
}

/// Which entries to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Those of this action, or whose action begins with this and a dot.
    pub action: Option<String>,
    /// Those that were done with this token.
    pub token: Option<String>,
    /// Those about this.
    pub target: Option<String>,
    /// Those before the one with this id.
    pub before: Option<String>,
}

/// Part of the audit log, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditPage {
    /// The part.
    pub entries: Vec<AuditEntry>,
    /// How many entries there are in all, whether they fit the filter or not.
    pub total: u64,
    /// Before which id to go on; none at the end.
    pub next: Option<String>,
}

impl Deed {
    /// Something that the owner of the data directory did, without a gateway.
    pub fn of_owner(action: &str, target: impl Into<String>, details: Value) -> Self {
        Self {
            actor: Actor::Owner,
            token: None,
            address: None,
            request: None,
            action: action.to_owned(),
            target: target.into(),
            details,
        }
    }

    /// What an edit of a file did.
    pub fn of_file(action: &str, target: impl Into<String>, details: Value) -> Self {
        Self { actor: Actor::File, ..Self::of_owner(action, target, details) }
    }
}

impl AuditFilter {
    fn fits(&self, Deed { token, action, target, .. }: &Deed) -> bool {
        let of_action = |wanted: &String| {
            action.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.action.as_ref().is_none_or(of_action)
            && self.token.as_ref().is_none_or(|wanted| token.as_ref() == Some(wanted))
            && self.target.as_ref().is_none_or(|wanted| target == wanted)
    }
}

impl Store {
    /// Writes down what was done. The oldest of more than 100,000 entries make room.
    pub async fn record_audit(&self, deed: Deed) -> Result<()> {
        self.write(move |tx| add(tx, deed).map(drop)).await
    }

    /// Forgets what is older than `age`, and says how many entries that were.
    pub async fn sweep_audit(&self, age: Duration) -> Result<usize> {
        let mut swept = 0;
        loop {
            let gone = self.write(move |tx| drop_older(tx, age)).await?;
            swept += gone;
            if gone < SWEEP_BATCH {
                return Ok(swept);
            }
        }
    }

    /// Writes down that callers were refused: in one entry an hour, in which they are summed.
    pub async fn record_refused(&self, refused: RefusedCallers) -> Result<()> {
        self.write(move |tx| {
            let summed = tx.open(SUMMED)?.get(REFUSED)?.map(|id| id.value().to_owned());
            let summed = summed.map(|id| tx.get(&AUDIT, id.as_str())).transpose()?.flatten();
            let fresh = |entry: &AuditEntry| entry.at + SUMMED_FOR > tx.now();
            match summed.filter(fresh) {
                Some(mut entry) => {
                    let before = |name: &str| entry.deed.details[name].as_u64().unwrap_or_default();
                    let requests = before("requests").saturating_add(refused.requests);
                    let addresses = before("addresses").max(refused.addresses);
                    entry.deed.details = serde_json::json!({ "requests": requests, "addresses": addresses });
                    tx.put(&AUDIT, entry.id.as_str(), &entry)
                }
                None => {
                    let details =
                        serde_json::json!({ "requests": refused.requests, "addresses": refused.addresses });
                    let deed = Deed {
                        actor: Actor::Anyone,
                        address: Some(refused.first_address),
                        ..Deed::of_owner(REFUSED, "", details)
                    };
                    let id = add(tx, deed)?;
                    tx.change(SUMMED)?.insert(REFUSED, id.as_str())?;
                    Ok(())
                }
            }
        })
        .await
    }

    /// Up to `limit` entries that fit, newest first. Where few fit there may be fewer than that, and more behind them.
    pub fn audit(&self, filter: &AuditFilter, limit: usize) -> Result<AuditPage> {
        self.read(|snapshot| {
            let total = snapshot.count(&AUDIT)?;
            let (mut entries, mut before) = (Vec::new(), filter.before.clone().unwrap_or(LAST_ID.to_owned()));
            let mut scanned = 0;
            while scanned < MAX_SCANNED && entries.len() < limit {
                let page = snapshot.last_page(&AUDIT, ..before.as_str(), MAX_PAGE)?;
                let Some(oldest) = page.first() else { return Ok(AuditPage { entries, total, next: None }) };
                let (last, whole) = (oldest.id.clone(), page.len() == MAX_PAGE);
                scanned += page.len();
                for entry in page.into_iter().rev() {
                    before.clone_from(&entry.id);
                    if filter.fits(&entry.deed) {
                        entries.push(entry);
                        if entries.len() == limit {
                            break;
                        }
                    }
                }
                if !whole && before == last {
                    return Ok(AuditPage { entries, total, next: None });
                }
            }
            Ok(AuditPage { entries, total, next: Some(before) })
        })
    }
}

/// Adds an entry and tells its id.
pub(super) fn add(tx: &Tx<'_>, deed: Deed) -> Result<String, Failure> {
    let entry = AuditEntry { id: tx.id("aud"), at: tx.now(), deed };
    tx.put(&AUDIT, entry.id.as_str(), &entry)?;
    let more = tx.open(AUDIT.table())?.len()?.saturating_sub(MAX_ROWS);
    for oldest in tx.page(&AUDIT, .., FORGET.min(usize::try_from(more).unwrap_or(FORGET)))? {
        tx.remove(&AUDIT, oldest.id.as_str())?;
    }
    Ok(entry.id)
}

fn drop_older(tx: &Tx<'_>, age: Duration) -> Result<usize, Failure> {
    let mut gone = 0;
    for oldest in tx.page(&AUDIT, .., SWEEP_BATCH)? {
        if oldest.at + age >= tx.now() {
            break;
        }
        tx.remove(&AUDIT, oldest.id.as_str())?;
        gone += 1;
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use prx_base::clock::Clock;

    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    fn deed(action: &str, target: &str) -> Deed {
        Deed::of_owner(action, target, json!({ "name": "x" }))
    }

    #[tokio::test]
    async fn entries_are_kept_filtered_and_forgotten() {
        let home = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::UNIX_EPOCH + YEAR);
        let store = Store::open(home.path(), clock.clone()).unwrap();
        for n in 0..1_200 {
            let action = ["hook.created", "hook.removed", "token.created"][n % 3];
            store.record_audit(deed(action, &n.to_string())).await.unwrap();
        }
        store.close().await;
        let store = Store::open(home.path(), clock.clone()).unwrap();
        let page = |action: Option<&str>, before: Option<String>, limit| {
            let action = action.map(str::to_owned);
            store.audit(&AuditFilter { action, before, ..AuditFilter::default() }, limit).unwrap()
        };
        let newest = page(None, None, 2);
        assert_eq!((newest.total, newest.entries[0].deed.target.as_str()), (1_200, "1199"));
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let AuditPage { entries, next, .. } = page(Some("hook"), before, 7);
            seen.extend(entries.into_iter().map(|entry| entry.deed.target));
            before = next;
            if before.is_none() {
                break;
            }
        }
        let expected: Vec<_> = (0..1_200).rev().filter(|n| n % 3 < 2).map(|n| n.to_string()).collect();
        assert_eq!(seen, expected);
        assert_eq!(page(Some("hook.created"), None, 500).entries.len(), 400);
        assert_eq!(page(Some("hoo"), None, 500).entries.len(), 0, "a word is a word");

        clock.advance(YEAR + Duration::from_secs(1));
        for _ in 0..100 {
            store.record_audit(deed("hook.created", "late")).await.unwrap();
        }
        assert_eq!(store.sweep_audit(YEAR).await.unwrap(), 1_200);
        assert_eq!(page(None, None, 500).total, 100, "what is older than a year is gone");
    }

    #[tokio::test]
    async fn refused_callers_are_summed_by_the_hour() {
        let home = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::UNIX_EPOCH + YEAR);
        let store = Store::open(home.path(), clock.clone()).unwrap();
        let refused = RefusedCallers { requests: 5, addresses: 2, first_address: "192.0.2.1".into() };
        for _ in 0..61 {
            store.record_refused(refused.clone()).await.unwrap();
            clock.advance(Duration::from_secs(60));
        }
        let page = store.audit(&AuditFilter::default(), 10).unwrap();
        let sums: Vec<_> = page.entries.iter().map(|entry| entry.deed.details["requests"].clone()).collect();
        assert_eq!(sums, [json!(5), json!(300)]);
        assert_eq!(page.entries[0].deed.address.as_deref(), Some("192.0.2.1"));
    }
}
