//! The smallest tool there is.
