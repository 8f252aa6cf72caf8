//! Session ids in order, by status and channel, kept in memory so that a page and a count cost the same however
//! many sessions there are. On disk there is a compact copy, from which the index is loaded after a start.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use redb::TableDefinition;
use ulid::Ulid;

use super::ids::{self, lock};
use super::model::{Session, SessionFilter, SessionStatus};

/// By ULID: the status, as [`status_code`] has it, and the channel of every session.
pub(super) const SESSION_INDEX: TableDefinition<'static, u128, (u8, &str)> =
    TableDefinition::new("session_index");

/// What the index knows of one session.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct IndexEntry {
    pub(super) ulid: Ulid,
    pub(super) channel: String,
    pub(super) status: SessionStatus,
    pub(super) last_activity: Timestamp,
}

impl IndexEntry {
    pub(super) fn of(session: &Session) -> Self {
        Self {
            ulid: ids::ulid(&session.id),
            channel: session.channel.clone(),
            status: session.status,
            last_activity: session.last_activity,
        }
    }
}

/// A session is new (`before` is none), has changed, or is gone (`after` is none).
pub(super) struct Change {
    pub(super) before: Option<IndexEntry>,
    pub(super) after: Option<IndexEntry>,
}

/// How a status is written in [`SESSION_INDEX`].
pub(super) const fn status_code(status: SessionStatus) -> u8 {
    match status {
        SessionStatus::Active => 0,
        SessionStatus::Idle => 1,
        SessionStatus::Terminated => 2,
    }
}

/// The status that is written so.
pub(super) const fn status_of(code: u8) -> Option<SessionStatus> {
    match code {
        0 => Some(SessionStatus::Active),
        1 => Some(SessionStatus::Idle),
        2 => Some(SessionStatus::Terminated),
        _ => None,
    }
}

/// The index of an open store. It is loaded behind the start; whoever asks before it is complete waits for it.
pub(super) struct Index {
    state: Mutex<State>,
    loaded: Condvar,
}

enum State {
    /// What has changed since the snapshot that is being loaded.
    Loading(Vec<Change>),
    Loaded(Box<SessionIndex>),
}

impl Index {
    /// One that is still to be loaded.
    pub(super) fn loading() -> Self {
        Self { state: Mutex::new(State::Loading(Vec::new())), loaded: Condvar::new() }
    }

    /// Takes in what was committed. Never waits.
    pub(super) fn change(&self, changes: Vec<Change>) {
        match &mut *lock(&self.state) {
            State::Loading(later) => later.extend(changes),
            State::Loaded(index) => changes.iter().for_each(|change| index.set(change)),
        }
    }

    /// Puts in place what was loaded, with what has changed meanwhile.
    pub(super) fn complete(&self, mut index: SessionIndex) {
        let mut state = lock(&self.state);
        if let State::Loading(changes) = &*state {
            changes.iter().for_each(|change| index.set(change));
            *state = State::Loaded(Box::new(index));
        }
        self.loaded.notify_all();
    }

    /// Puts in place what was loaded of a file that was opened anew; nothing changes meanwhile.
    pub(super) fn replace(&self, index: SessionIndex) {
        *lock(&self.state) = State::Loaded(Box::new(index));
        self.loaded.notify_all();
    }

    /// Looks into the complete index.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut SessionIndex) -> T) -> T {
        let mut state: MutexGuard<'_, State> = lock(&self.state);
        loop {
            match &mut *state {
                State::Loaded(index) => return look(index),
                State::Loading(_) => {
                    state = self.loaded.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

/// The index over all sessions.
#[derive(Default)]
pub(super) struct SessionIndex {
    active: Group,
    idle: Group,
    terminated: Group,
    /// Sessions that are not over whose last activity was not read yet.
    undated: BTreeSet<Ulid>,
}

/// The sessions of one status.
#[derive(Default)]
struct Group {
    all: Vec<Ulid>,
    channels: HashMap<String, Vec<Ulid>>,
    /// Longest without activity first. Empty for terminated sessions: nothing more happens to them.
    quiet: BTreeSet<(Timestamp, Ulid)>,
}

impl SessionIndex {
    /// Adds a session of which only the compact copy was read.
    pub(super) fn load(&mut self, ulid: Ulid, status: SessionStatus, channel: &str) {
        self.group_mut(status).insert(ulid, channel);
        if status != SessionStatus::Terminated {
            self.undated.insert(ulid);
        }
    }

    /// Some of the sessions whose last activity is still to be read.
    pub(super) fn undated(&self, limit: usize) -> Vec<String> {
        self.undated.iter().take(limit).map(|ulid| ids::with_prefix("sess", *ulid)).collect()
    }

    /// Takes in when something was last said in a session, if that is not known by now.
    pub(super) fn date(&mut self, session: &Session) {
        let ulid = ids::ulid(&session.id);
        if self.undated.remove(&ulid) && session.status != SessionStatus::Terminated {
            self.group_mut(session.status).quiet.insert((session.last_activity, ulid));
        }
    }

    /// Takes in that a session is new or has changed.
    fn set(&mut self, Change { before, after }: &Change) {
        let Some(after) = after else {
            return before.iter().for_each(|gone| self.forget(gone));
        };
        if before.as_ref() == Some(after) {
            return;
        }
        self.undated.remove(&after.ulid);
        let stays = before.as_ref().is_some_and(|before| before.status == after.status);
        if let Some(before) = before {
            let group = self.group_mut(before.status);
            group.quiet.remove(&(before.last_activity, before.ulid));
            if !stays {
                group.remove(before);
            }
        }
        let group = self.group_mut(after.status);
        if after.status != SessionStatus::Terminated {
            group.quiet.insert((after.last_activity, after.ulid));
        }
        if !stays {
            group.insert(after.ulid, &after.channel);
        }
    }

    /// Takes out a session that is gone.
    fn forget(&mut self, gone: &IndexEntry) {
        self.undated.remove(&gone.ulid);
        let group = self.group_mut(gone.status);
        group.quiet.remove(&(gone.last_activity, gone.ulid));
        group.remove(gone);
    }

    /// The ids from `offset` on, and how many there are in all.
    pub(super) fn page(&self, filter: &SessionFilter, limit: usize, offset: usize) -> (Vec<Ulid>, usize) {
        let line = self.line(filter.status, filter.channel.as_deref());
        (line.iter().skip(offset).take(limit).copied().collect(), line.len())
    }

    /// How many there are.
    pub(super) fn count(&self, status: SessionStatus, channel: Option<&str>) -> usize {
        self.line(status, channel).len()
    }

    /// Those of a status whose last activity was at `moment` or before.
    pub(super) fn quiet_since(&self, status: SessionStatus, moment: Timestamp) -> Vec<String> {
        let quiet = self.group(status).quiet.iter();
        let due = quiet.take_while(|(last_activity, _)| *last_activity <= moment);
        due.map(|(_, ulid)| ids::with_prefix("sess", *ulid)).collect()
    }

    fn line(&self, status: SessionStatus, channel: Option<&str>) -> &[Ulid] {
        let group = self.group(status);
        match channel {
            None => &group.all,
            Some(channel) => group.channels.get(channel).map_or(&[], Vec::as_slice),
        }
    }

    fn group(&self, status: SessionStatus) -> &Group {
        match status {
            SessionStatus::Active => &self.active,
            SessionStatus::Idle => &self.idle,
            SessionStatus::Terminated => &self.terminated,
        }
    }

    fn group_mut(&mut self, status: SessionStatus) -> &mut Group {
        match status {
            SessionStatus::Active => &mut self.active,
            SessionStatus::Idle => &mut self.idle,
            SessionStatus::Terminated => &mut self.terminated,
        }
    }
}

impl Group {
    fn insert(&mut self, ulid: Ulid, channel: &str) {
        add(&mut self.all, ulid);
        match self.channels.get_mut(channel) {
            Some(line) => add(line, ulid),
            None => drop(self.channels.insert(channel.to_owned(), vec![ulid])),
        }
    }

    fn remove(&mut self, entry: &IndexEntry) {
        drop_from(&mut self.all, entry.ulid);
        if let Some(line) = self.channels.get_mut(&entry.channel) {
            drop_from(line, entry.ulid);
            if line.is_empty() {
                self.channels.remove(&entry.channel);
            }
        }
    }
}

fn add(line: &mut Vec<Ulid>, ulid: Ulid) {
    if line.last().is_none_or(|last| *last < ulid) {
        line.push(ulid);
    } else if let Err(place) = line.binary_search(&ulid) {
        line.insert(place, ulid);
    }
}

fn drop_from(line: &mut Vec<Ulid>, ulid: Ulid) {
    if let Ok(place) = line.binary_search(&ulid) {
        line.remove(place);
    }
}
