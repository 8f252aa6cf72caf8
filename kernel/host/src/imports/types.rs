//! `prx:plugin/types`: types only, nothing to call.

use super::host::Host;
use crate::bindings::types;

impl types::Host for Host {}
