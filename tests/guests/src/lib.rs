//! Components that behave badly on purpose.
