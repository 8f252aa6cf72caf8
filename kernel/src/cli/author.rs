//! `prx plugin new`, `sdk`, `build`, `check` and `test`: for those who write plugins. None of them needs a gateway.

mod build;
mod calls;
mod canned;
mod check;
mod kinds;
mod new;
mod route;
pub(super) mod scratch;
mod talk;
mod test;

pub(super) use self::build::{Build, build};
pub(super) use self::check::check;
pub(super) use self::new::{New, Sdk, new, sdk};
pub(super) use self::test::{Test, test};
