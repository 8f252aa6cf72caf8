//! What a provider has learned of servers and their models, such as the fields that one of them refuses.
//!
//! It is kept for as long as the instance lives, so it may only save asking twice.
//!
//! ```
//! use prx_sdk::learned::Learned;
//! use prx_sdk::server::Server;
//!
//! let (learned, server) = (Learned::new(), Server::new("example", "https://api.example.org"));
//! learned.remember(&server, "small", 7);
//! assert_eq!((learned.of(&server, "small"), learned.of(&server, "large")), (7, 0));
//! ```

use crate::server::Server;
use std::cell::RefCell;

/// How many servers and models are remembered, the ones that were learned of last.
const MAX_KNOWN: usize = 16;

/// What was learned, by server and model.
#[derive(Debug)]
pub struct Learned<T>(RefCell<Vec<(String, T)>>);

impl<T: Clone + Default> Learned<T> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self(RefCell::new(Vec::new()))
    }

    /// What is known of a server and a model; the default if nothing is.
    pub fn of(&self, server: &Server, model: &str) -> T {
        let key = key(server, model);
        self.0.borrow().iter().find(|(of, _)| *of == key).map(|(_, known)| known.clone()).unwrap_or_default()
    }

    /// Remembers this of a server and a model, in place of what was known.
    pub fn remember(&self, server: &Server, model: &str, known: T) {
        let key = key(server, model);
        let mut all = self.0.borrow_mut();
        all.retain(|(of, _)| *of != key);
        if all.len() >= MAX_KNOWN {
            all.remove(0);
        }
        all.push((key, known));
    }
}

impl<T: Clone + Default> Default for Learned<T> {
    fn default() -> Self {
        Self::new()
    }
}

fn key(server: &Server, model: &str) -> String {
    format!("{} {model}", server.base_url())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_and_the_newest_counts() {
        let (learned, server) = (Learned::new(), Server::new("example", "https://api.example.org"));
        for n in 0..=MAX_KNOWN {
            learned.remember(&server, &n.to_string(), n + 1);
        }
        learned.remember(&server, "1", 100);
        assert_eq!(
            (learned.of(&server, "0"), learned.of(&server, "1"), learned.of(&server, "2")),
            (0, 100, 3)
        );
        assert_eq!(learned.0.borrow().len(), MAX_KNOWN);
    }
}
