//! The builtin skills code_review and summarize.
