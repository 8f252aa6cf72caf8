//! A look at everything that is kept: whether it can be read, and whether what refers to something finds it.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use jiff::Timestamp;
use redb::{ReadTransaction, ReadableTable, TableHandle};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::blobs::{BLOBS, Blob, PARTIAL, TAKEN, cost};
use super::handle::Store;
use super::ids;
use super::index::{SESSION_INDEX, status_code};
use super::memory::{MEMORIES, OWNERS};
use super::messages::{MESSAGES, PLACES};
use super::queue::{OPENING, TURNS};
use super::rows::{Cause, Result};
use super::sessions::{CONVERSATIONS, SESSIONS, SessionRow};
use super::tables;
use super::tx::{META, Shared, VERSION};
use prx_base::error::Error;

/// Faults that are told; more are counted.
const MAX_TOLD: usize = 100;
/// How long after its file the row of a blob may come: a minute.
const LONGEST_COMMIT: Duration = Duration::from_secs(60);
/// What is told of one of them, in characters.
const MAX_WORDS: usize = 300;

/// What a look at everything that is kept has found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CheckedStore")]
pub struct Checked {
    /// The version of the tables.
    pub format: u64,
    /// How many rows there are, by table.
    pub rows: BTreeMap<String, u64>,
    /// The files that go with messages.
    pub files: u64,
    /// What they take, in bytes.
    pub files_bytes: u64,
    /// How many faults there are.
    pub fault_count: u64,
    /// What is wrong, a sentence each; the first 100.
    pub faults: Vec<String>,
}

impl Checked {
    fn fault(&mut self, words: impl AsRef<str>) {
        self.fault_count += 1;
        if self.faults.len() < MAX_TOLD {
            self.faults.push(words.as_ref().chars().take(MAX_WORDS).collect());
        }
    }

    fn expect(&mut self, holds: bool, words: impl FnOnce() -> String) {
        if !holds {
            self.fault(words());
        }
    }
}

impl Store {
    /// Reads all that is kept, as it is at this moment, and follows what refers to something. Takes as long as reading the
    /// whole file does; nobody waits for it. Changes nothing.
    ///
    /// # Errors
    /// A page of the file can't be read at all.
    pub async fn check(&self) -> Result<Checked> {
        let shared = self.shared.clone();
        let looked = tokio::task::spawn_blocking(move || {
            // The database may panic over what something else has written into its file.
            let checked = catch_unwind(AssertUnwindSafe(|| check(&shared)));
            checked.unwrap_or_else(|_| Err("its pages contradict each other".into()))
        });
        let checked = looked.await.map_err(Error::internal)?;
        checked.map_err(|cause| Error::internal(format!("the store can't be read: {cause}")))
    }
}

fn check(shared: &Shared) -> Result<Checked, Cause> {
    let snapshot = shared.snapshot()?;
    let format = snapshot.open_table(META)?.get(VERSION)?.map_or(0, |version| version.value());
    let mut checked = Checked { format, ..Checked::default() };
    let mut known = HashSet::new();
    for table in tables::all() {
        let name = table.table_name();
        let rows = table.read_through(&snapshot, &mut |key, why| {
            checked.fault(format!("{name}: the row {key} can't be read: {why}"));
        })?;
        checked.rows.insert(name.to_owned(), rows);
        known.insert(name.to_owned());
    }
    for table in snapshot.list_tables()? {
        checked.expect(known.contains(table.name()), || {
            format!("{}: this version knows no such table; it stays, and is in no backup", table.name())
        });
    }
    sessions(&snapshot, &mut checked)?;
    messages(&snapshot, &mut checked)?;
    memories(&snapshot, &mut checked)?;
    files(shared, &snapshot, &mut checked)?;
    Ok(checked)
}

/// Sessions and their index, and the conversations that lead to them.
fn sessions(snapshot: &ReadTransaction, checked: &mut Checked) -> Result<(), Cause> {
    let (sessions, index) = (snapshot.open_table(SESSIONS.table)?, snapshot.open_table(SESSION_INDEX)?);
    for row in sessions.iter()? {
        let (id, row) = row?;
        let Ok(SessionRow { session, .. }) = serde_json::from_slice(row.value()) else { continue };
        let noted = index.get(ids::ulid(id.value()).0)?;
        let is_noted = noted
            .is_some_and(|noted| noted.value() == (status_code(session.status), session.channel.as_str()));
        checked.expect(is_noted, || format!("session_index: {} is not noted as it is", id.value()));
    }
    for row in index.iter()? {
        let id = ids::with_prefix("sess", ulid::Ulid(row?.0.value()));
        let is_there = sessions.get(id.as_str())?.is_some();
        checked.expect(is_there, || format!("session_index: {id} is noted, and there is no such session"));
    }
    for row in snapshot.open_table(CONVERSATIONS)?.iter()? {
        let (conversation, id) = row?;
        let is_there = sessions.get(id.value())?.is_some();
        checked.expect(is_there, || {
            format!("conversations: {:?} leads to {}, which is gone", conversation.value(), id.value())
        });
    }
    Ok(())
}

/// What of a message is looked at.
#[derive(Deserialize)]
struct Named {
    id: String,
}

/// Messages, their sessions and places, and the turns that begin with them.
fn messages(snapshot: &ReadTransaction, checked: &mut Checked) -> Result<(), Cause> {
    let (sessions, places) = (snapshot.open_table(SESSIONS.table)?, snapshot.open_table(PLACES)?);
    let messages = snapshot.open_table(MESSAGES.table)?;
    let mut last_session = String::new();
    for row in messages.iter()? {
        let (key, row) = row?;
        let (session, turn, place) = key.value();
        if session != last_session {
            session.clone_into(&mut last_session);
            let is_there = sessions.get(session)?.is_some();
            checked.expect(is_there, || format!("messages: they are of {session}, which is gone"));
        }
        let Ok(Named { id }) = serde_json::from_slice(row.value()) else { continue };
        let is_found = places.get(id.as_str())?.is_some_and(|noted| noted.value() == (turn, place));
        checked.expect(is_found, || format!("message_places: {id} of {session} is not noted where it is"));
    }
    let (kept, noted) = (checked.rows.get(MESSAGES.table.name()), checked.rows.get(PLACES.name()));
    let more_noted = noted > kept;
    checked.expect(!more_noted, || "message_places: more are noted than there are messages".to_owned());
    for row in snapshot.open_table(TURNS.table)?.iter()? {
        let key = row?.0;
        let (session, turn) = key.value();
        let has_message = messages.get((session, turn, OPENING))?.is_some();
        checked.expect(has_message, || format!("turns: turn {turn} of {session} has lost its message"));
    }
    Ok(())
}

/// Memories, and who they belong to.
fn memories(snapshot: &ReadTransaction, checked: &mut Checked) -> Result<(), Cause> {
    let (memories, owners) = (snapshot.open_table(MEMORIES.table)?, snapshot.open_table(OWNERS)?);
    for row in owners.iter()? {
        let (id, owner) = row?;
        let (channel, user) = owner.value();
        let is_there = memories.get((channel, user, id.value()))?.is_some();
        checked.expect(is_there, || format!("memory_owners: {} is noted, and is gone", id.value()));
    }
    for row in memories.iter()? {
        let key = row?.0;
        let (channel, user, id) = key.value();
        let is_noted = owners.get(id)?.is_some_and(|owner| owner.value() == (channel, user));
        checked.expect(is_noted, || format!("memory_owners: {id} is not noted"));
    }
    Ok(())
}

/// Blobs and their files. What is written or let go of meanwhile is no fault.
fn files(shared: &Shared, snapshot: &ReadTransaction, checked: &mut Checked) -> Result<(), Cause> {
    let blobs = snapshot.open_table(BLOBS.table)?;
    let now = || Ok::<_, Cause>(shared.snapshot()?.open_table(BLOBS.table)?);
    let mut taken = 0;
    for row in blobs.iter()? {
        let (id, row) = row?;
        let Ok(blob) = serde_json::from_slice::<Blob>(row.value()) else { continue };
        taken += cost(&blob);
        checked.files += 1;
        checked.files_bytes += blob.size;
        match fs::metadata(shared.blobs.join(&blob.id)) {
            Ok(file) => checked.expect(file.len() == blob.size, || {
                format!("blobs: the file of {} has {} bytes instead of {}", blob.id, file.len(), blob.size)
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let is_kept = now()?.get(id.value())?.is_some();
                checked.expect(!is_kept, || format!("blobs: the file of {} is gone", blob.id));
            }
            Err(error) => checked.fault(format!("blobs: the file of {} can't be read: {error}", blob.id)),
        }
    }
    let noted = snapshot.open_table(META)?.get(TAKEN)?.map_or(0, |taken| taken.value());
    checked
        .expect(noted == taken, || format!("meta: blobs are noted to take {noted} bytes, and take {taken}"));
    for entry in fs::read_dir(&shared.blobs)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let belongs = name.ends_with(PARTIAL)
            || blobs.get(name.as_str())?.is_some()
            || now()?.get(name.as_str())?.is_some();
        checked.expect(belongs || !is_old(shared, &name), || {
            format!("blobs: the file {name} belongs to nothing; the next start removes it")
        });
    }
    Ok(())
}

/// Whether a file has been there for so long that its row would be, too.
fn is_old(shared: &Shared, name: &str) -> bool {
    let changed = fs::metadata(shared.blobs.join(name)).and_then(|file| file.modified());
    let changed = changed.ok().and_then(|changed| Timestamp::try_from(changed).ok());
    changed.is_some_and(|changed| changed + LONGEST_COMMIT < shared.clock.now())
}
