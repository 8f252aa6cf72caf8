//! A request as its handler sees it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use hyper::{HeaderMap, Method, Uri};
use tokio_util::sync::CancellationToken;

use super::auth::Caller;
use super::body::Body;
use super::query::Query;
use super::reply::Reply;
use prx_base::error::Result;

/// Answers the calls of a route.
pub type Handler<S> = Arc<dyn Fn(Arc<S>, Call) -> BoxFuture<'static, Result<Reply>> + Send + Sync>;

/// The parameters of a path, decoded.
pub(super) type Params = Vec<(String, String)>;

/// A request on its way to a handler.
#[derive(Debug)]
pub struct Call {
    /// Who is calling.
    pub caller: Caller,
    /// The method of the request.
    pub method: Method,
    /// What it is for, as it was sent.
    pub uri: Uri,
    /// The parameters after the `?`.
    pub query: Query,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, not read yet.
    pub body: Body,
    /// Cancelled when the client hangs up before it is answered. A handler runs to its end all the same, unless it
    /// looks at this.
    pub hung_up: CancellationToken,
    pub(super) params: Params,
}

impl Call {
    /// A parameter of the path; empty if the route has none of that name.
    pub fn param(&self, name: &str) -> &str {
        let found = self.params.iter().find(|(given, _)| given == name);
        found.map_or("", |(_, value)| value)
    }
}
