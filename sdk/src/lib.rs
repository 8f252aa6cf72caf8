//! Write plugins for PRX: a trait a capability, one macro, and a harness that replays transcripts.
