//! What one generation of a plugin may do without being asked: say something, begin turns, make events and see them.

use std::fmt;

use prx_base::config::fits;

/// The outcome of manifest, grant and settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// Where it may say something: `channel/conversation`, with `*` for any piece.
    pub(super) send: Vec<String>,
    /// Whether it may begin turns there.
    pub(super) turns: bool,
    /// Who is asked about the tools of those turns, by the platform's id; none: they are refused.
    pub(super) approver: Option<String>,
    /// Events that it may make.
    pub(super) publish: Vec<String>,
    /// Events that it may see.
    pub(super) subscribe: Vec<String>,
}

/// Something that it may not do, and what would allow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied(String);

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Rights {
    /// Whether it may say something in a conversation.
    ///
    /// # Errors
    /// It may not.
    pub fn may_send(&self, channel: &str, conversation: &str) -> Result<(), Denied> {
        let place = format!("{channel}/{conversation}");
        match self.send.iter().any(|granted| fits(&whole(granted), &place)) {
            true => Ok(()),
            false => Err(Denied(format!(
                "may not say anything in {place}: its manifest has to ask for it with permissions.send, and the operator \
                 to grant it"
            ))),
        }
    }

    /// Whether it may begin a turn in a conversation.
    ///
    /// # Errors
    /// It may not.
    pub fn may_begin_turn(&self, channel: &str, conversation: &str) -> Result<(), Denied> {
        self.may_send(channel, conversation)?;
        let no = "may not begin turns: its manifest has to ask for it with permissions.turns, and the operator to grant it";
        if self.turns { Ok(()) } else { Err(Denied(no.into())) }
    }

    /// Who is asked about the tools of the turns that it begins, by the platform's id.
    pub fn approver(&self) -> Option<&str> {
        self.approver.as_deref()
    }

    /// Whether it may make an event of this name.
    ///
    /// # Errors
    /// It may not.
    pub fn may_publish(&self, event: &str) -> Result<(), Denied> {
        match self.publish.iter().any(|granted| fits(granted, event)) {
            true => Ok(()),
            false => Err(Denied(format!(
                "may not make the event {event:?}: its manifest has to ask for it with permissions.events, and the \
                 operator to grant it"
            ))),
        }
    }

    /// Whether it may see events of this name.
    pub fn may_see(&self, event: &str) -> bool {
        self.subscribe.iter().any(|granted| fits(granted, event))
    }
}

/// The patterns that are asked for and allowed. Where only a part of what is asked for is allowed, that part.
pub(super) fn patterns(asked: &[String], allowed: &[String]) -> Vec<String> {
    let mut granted = Vec::new();
    for pattern in asked {
        // What stands for any piece is itself covered only by what stands for any piece.
        if allowed.iter().any(|allowed| fits(allowed, pattern)) {
            granted.push(pattern.clone());
        } else {
            granted.extend(allowed.iter().filter(|part| fits(pattern, part)).cloned());
        }
    }
    granted
}

/// The same for places to say something in.
pub(super) fn places(asked: &[String], allowed: &[String]) -> Vec<String> {
    let whole = |places: &[String]| -> Vec<String> { places.iter().map(|place| whole(place)).collect() };
    patterns(&whole(asked), &whole(allowed))
}

/// A place with its conversations: a channel alone stands for all of them.
pub(super) fn whole(place: &str) -> String {
    if place.contains('/') { place.to_owned() } else { format!("{place}/*") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(asked: &[&str], allowed: &[&str]) -> Vec<String> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        places(&owned(asked), &owned(allowed))
    }

    #[test]
    fn a_place_is_granted_as_far_as_it_is_asked_for_and_allowed() {
        assert_eq!(reach(&["work"], &["work"]), ["work/*"]);
        assert_eq!(reach(&["work/-100*"], &["work"]), ["work/-100*"]);
        assert_eq!(reach(&["*"], &["work/7", "home/8"]), ["work/7", "home/8"], "a part of what is asked for");
        assert_eq!(reach(&["work/7"], &["work/8", "homework", "wor"]), [""; 0]);
        assert_eq!(reach(&["work/7*"], &["work/7"]), ["work/7"]);
    }

    #[test]
    fn what_is_not_granted_is_denied_by_name() {
        let rights =
            Rights { send: vec!["work/7*".into()], publish: vec!["a.b*".into()], ..Rights::default() };
        assert_eq!(rights.may_send("work", "71"), Ok(()));
        for (channel, conversation) in [("work", "8"), ("workshop", "7"), ("other", "7"), ("wo", "rk/7")] {
            let denied = rights.may_send(channel, conversation).unwrap_err().to_string();
            assert!(denied.contains(&format!("{channel}/{conversation}")), "{denied}");
        }
        assert!(rights.may_begin_turn("work", "7").unwrap_err().to_string().contains("permissions.turns"));
        assert!(rights.may_publish("a.bc").is_ok() && rights.may_publish("a.c").is_err());
        assert!(!rights.may_see("a.bc"), "to make an event is not to see it");
    }
}
