//! The route table: the handler of each method and path, and who may call it.

use std::fmt;
use std::sync::Arc;

use futures_util::future::FutureExt;
use hyper::Method;

use super::access::Access;
use super::call::{Call, Handler, Params};
use super::decode;
use super::describe::Doc;
use super::mounts::{self, Mounted, Mounts};
use super::reply::Reply;
use prx_base::error::Result;

/// What most paths begin with.
const PREFIX: &str = "/api/v1";
/// The health probe of load balancers.
const HEALTH: &str = "/api/v1/status/health";
/// The longest path that is named as what was meant.
const MAX_HINT: usize = 256;

/// One line of the route table.
pub struct Route<S> {
    /// The method; a `GET` also answers `HEAD`.
    pub method: Method,
    /// The path, with `{name}` for its parameters.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// What there is to say of it.
    pub doc: Option<Doc>,
    /// What the audit log calls it; none where it writes nothing there.
    pub audited: Option<&'static str>,
    /// It is asked so often that its line in the access log is one for debugging.
    pub(super) quiet: bool,
    pub(super) handler: Handler<S>,
}

impl<S> Route<S> {
    /// A line of the table.
    pub fn new<F, A>(method: Method, path: &'static str, access: Access, handler: F) -> Self
    where
        F: Fn(Arc<S>, Call) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Reply>> + Send + 'static,
    {
        let handler = Arc::new(move |state, call| handler(state, call).boxed());
        Self { method, path, access, doc: None, audited: None, quiet: false, handler }
    }

    /// Has every call of it that succeeds written into the audit log under this name. What it is about is what the reply
    /// says ([`Reply::noting`]), or the parameters of the path.
    #[must_use]
    pub const fn audited(mut self, action: &'static str) -> Self {
        self.audited = Some(action);
        self
    }

    /// Keeps calls of it that succeed out of the access log, but for debugging.
    #[must_use]
    pub const fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Says what it takes and answers.
    #[must_use]
    pub fn doc(mut self, doc: Doc) -> Self {
        self.doc = Some(doc);
        self
    }
}

impl<S> From<(Mounted<S>, Method)> for Route<S> {
    fn from((mounted, method): (Mounted<S>, Method)) -> Self {
        let Mounted { access, handler, .. } = mounted;
        Self { method, path: mounts::PATH, access, doc: None, audited: None, quiet: false, handler }
    }
}

impl<S> fmt::Debug for Route<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// Two lines of a route table exclude each other.
#[derive(Debug, thiserror::Error)]
#[error("the route table has a line that can't be served: {0}")]
pub struct BadTable(String);

/// What a path and a method lead to.
#[derive(Debug)]
pub(super) enum Found<'a, S> {
    Route(&'a Route<S>, Params),
    /// The path is there, the method is not; with the value of `Allow`.
    WrongMethod(String),
    Nothing,
}

/// The route table, ready to be asked, and what finds the routes that are not in it.
pub struct Router<S> {
    table: matchit::Router<Vec<Route<S>>>,
    mounts: Option<Mounts<S>>,
}

impl<S> fmt::Debug for Router<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("table", &self.table).finish_non_exhaustive()
    }
}

impl<S> Router<S> {
    /// Takes a table in.
    ///
    /// # Errors
    /// It has two lines that exclude each other.
    pub fn new(table: Vec<Route<S>>) -> Result<Self, BadTable> {
        let mut paths: Vec<(&'static str, Vec<Route<S>>)> = Vec::new();
        for route in table {
            match paths.iter_mut().find(|(path, _)| *path == route.path) {
                Some((_, routes)) if routes.iter().any(|other| other.method == route.method) => {
                    return Err(BadTable(format!("{route:?} is there twice")));
                }
                Some((_, routes)) => routes.push(route),
                None => paths.push((route.path, vec![route])),
            }
        }
        let mut router = matchit::Router::new();
        for (path, routes) in paths {
            router.insert(path, routes).map_err(|error| BadTable(format!("{path}: {error}")))?;
        }
        Ok(Self { table: router, mounts: None })
    }

    /// With routes that are not in the table. What the table has goes before them.
    #[must_use]
    pub fn with_mounts(
        self,
        mounts: impl Fn(&S, &str) -> Option<Mounted<S>> + Send + Sync + 'static,
    ) -> Self {
        Self { mounts: Some(Arc::new(mounts)), ..self }
    }

    /// The route of a path that the table has not.
    pub(super) fn mounted(&self, state: &S, path: &str) -> Option<Mounted<S>> {
        self.mounts.as_ref().and_then(|mounts| mounts(state, path))
    }

    /// A path that serves this method and is what was probably meant: without a slash at its end, under the prefix of
    /// the API, or by the usual other name of a probe.
    pub(super) fn nearest(&self, method: &Method, path: &str) -> Option<String> {
        let bare = path.trim_end_matches('/');
        let renamed = match bare.trim_start_matches(PREFIX) {
            "/healthz" | "/health" | "/ping" | "/_health" => HEALTH.to_owned(),
            "/live" | "/alive" | "/liveness" => "/livez".to_owned(),
            "/ready" | "/readiness" => "/readyz".to_owned(),
            _ => bare.to_owned(),
        };
        let candidates = [
            format!("{PREFIX}{renamed}"),
            renamed.strip_prefix(PREFIX).unwrap_or_default().to_owned(),
            renamed.to_ascii_lowercase(),
            renamed,
        ];
        let serves = |near: &String| near != path && matches!(self.find(method, near), Found::Route(..));
        let near = candidates.into_iter().rev().find(serves);
        // Nothing of what was sent comes back in words, beyond what a path may be made of.
        near.filter(|near| near.len() <= MAX_HINT && near.bytes().all(|byte| byte.is_ascii_graphic()))
    }

    pub(super) fn find(&self, method: &Method, path: &str) -> Found<'_, S> {
        let Ok(matched) = self.table.at(path) else { return Found::Nothing };
        let decoded =
            matched.params.iter().map(|(name, value)| Some((name.to_owned(), decode::percent(value)?)));
        let Some(params) = decoded.collect() else { return Found::Nothing };
        let wanted = if method == Method::HEAD { &Method::GET } else { method };
        match matched.value.iter().find(|route| route.method == *wanted) {
            Some(route) => Found::Route(route, params),
            None => Found::WrongMethod(allow(matched.value)),
        }
    }
}

fn allow<S>(routes: &[Route<S>]) -> String {
    let names = routes.iter().map(|route| match route.method {
        Method::GET => "GET, HEAD",
        _ => route.method.as_str(),
    });
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: Method, path: &'static str) -> Route<()> {
        Route::new(method, path, Access::Public, async |_, _| Ok(Reply::no_content()))
    }

    fn found(method: &Method, path: &str) -> String {
        let table = vec![
            route(Method::GET, "/things"),
            route(Method::POST, "/things"),
            route(Method::GET, "/things/{id}"),
            route(Method::DELETE, "/things/{id}"),
        ];
        match Router::new(table).expect("a sound table").find(method, path) {
            Found::Route(route, params) => format!("{route:?} {params:?}"),
            Found::WrongMethod(allow) => format!("allow {allow}"),
            Found::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn a_path_and_a_method_lead_to_one_route() {
        assert_eq!(found(&Method::GET, "/things"), "GET /things []");
        assert_eq!(found(&Method::HEAD, "/things"), "GET /things []");
        assert_eq!(found(&Method::DELETE, "/things/a%2Fb"), r#"DELETE /things/{id} [("id", "a/b")]"#);
    }

    #[test]
    fn a_wrong_method_says_which_there_are() {
        assert_eq!(found(&Method::PUT, "/things"), "allow GET, HEAD, POST");
        assert_eq!(found(&Method::OPTIONS, "/things/7"), "allow GET, HEAD, DELETE");
    }

    #[test]
    fn anything_else_leads_nowhere() {
        for path in ["/", "/things/", "/things/7/", "/thing", "//things", "/Things", "/things/%ff", ""] {
            assert_eq!(found(&Method::GET, path), "nothing", "{path}");
        }
    }

    #[test]
    fn a_table_with_the_same_line_twice_is_refused() {
        assert!(Router::new(vec![route(Method::GET, "/a"), route(Method::GET, "/a")]).is_err());
        assert!(Router::new(vec![route(Method::GET, "/{a}"), route(Method::GET, "/{b}")]).is_err());
    }
}
