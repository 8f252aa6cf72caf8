//! Session ids in order, by status and channel, kept in memory so that a page and a count cost the same however
//! many sessions there are.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use ulid::Ulid;

use super::ids;
use super::sessions::{Session, SessionFilter, SessionStatus};

/// What the index knows of one session.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seat {
    ulid: Ulid,
    channel: String,
    status: SessionStatus,
    last_activity: Timestamp,
}

impl Seat {
    pub(super) fn of(session: &Session) -> Self {
        Self {
            ulid: ids::ulid(&session.id),
            channel: session.channel.clone(),
            status: session.status,
            last_activity: session.last_activity,
        }
    }
}

/// The index over all sessions.
#[derive(Default)]
pub(super) struct SessionIndex {
    active: Group,
    idle: Group,
    terminated: Group,
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
    /// Takes in that a session is new (`before` is none) or has changed.
    pub(super) fn set(&mut self, before: Option<&Seat>, after: &Seat) {
        if before == Some(after) {
            return;
        }
        let stays = before.is_some_and(|before| before.status == after.status);
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
            group.insert(after);
        }
    }

    /// The ids from `offset` on, and how many there are in all.
    pub(super) fn page(&self, filter: &SessionFilter, limit: usize, offset: usize) -> (Vec<String>, usize) {
        let line = self.line(filter.status, filter.channel.as_deref());
        let page = line.iter().skip(offset).take(limit);
        (page.map(|ulid| ids::with_prefix("sess", *ulid)).collect(), line.len())
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
    fn insert(&mut self, seat: &Seat) {
        add(&mut self.all, seat.ulid);
        add(self.channels.entry(seat.channel.clone()).or_default(), seat.ulid);
    }

    fn remove(&mut self, seat: &Seat) {
        drop_from(&mut self.all, seat.ulid);
        if let Some(line) = self.channels.get_mut(&seat.channel) {
            drop_from(line, seat.ulid);
            if line.is_empty() {
                self.channels.remove(&seat.channel);
            }
        }
    }
}

fn add(line: &mut Vec<Ulid>, ulid: Ulid) {
    if let Err(place) = line.binary_search(&ulid) {
        line.insert(place, ulid);
    }
}

fn drop_from(line: &mut Vec<Ulid>, ulid: Ulid) {
    if let Ok(place) = line.binary_search(&ulid) {
        line.remove(place);
    }
}
