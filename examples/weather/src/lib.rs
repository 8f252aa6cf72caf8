//! Tools that ask a weather service over HTTP.
