//! Routes that are not in the table: found anew for each request, for they come and go while the gateway runs.

use std::fmt;
use std::sync::Arc;

use hyper::header::{AUTHORIZATION, HeaderMap};

use super::access::Access;
use super::call::Handler;

/// What the access log and the metrics call the path of such a route.
pub(super) const PATH: &str = "/ext/{plugin}";
/// The methods that such a route may answer, as a preflight is told.
pub(super) const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";

/// A route that is not in the table.
pub struct Mounted<S> {
    /// Whose it is; the access log names it.
    pub plugin: String,
    /// Who may call it.
    pub access: Access,
    /// Answers its calls, of every method.
    pub handler: Handler<S>,
}

impl<S> fmt::Debug for Mounted<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a route of {}", self.plugin)
    }
}

/// Finds the route of a path, as it was sent, that is not in the table; none where nothing serves it.
pub type Mounts<S> = Arc<dyn Fn(&S, &str) -> Option<Mounted<S>> + Send + Sync>;

/// Whether a request comes with a bearer token, good or not.
pub(super) fn bears_token(headers: &HeaderMap) -> bool {
    let header = headers.get(AUTHORIZATION).map(|value| value.as_bytes());
    header.and_then(|value| value.get(..7)).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "))
}
