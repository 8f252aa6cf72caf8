//! `prx:plugin/common`: types only, nothing to call.

use super::host::Host;
use crate::bindings::common;

impl common::Host for Host {}
