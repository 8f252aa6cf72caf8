//! The web, for one test thread.

use crate::http::{Error, ErrorKind, Request, Response};
use std::cell::RefCell;

type Server = Box<dyn FnMut(&Request) -> Result<Response, Error>>;

thread_local! {
    static SERVER: RefCell<Option<Server>> = RefCell::default();
}

/// Answers the requests of `http`, for this thread. Without it every one is denied.
pub fn serve(server: impl FnMut(&Request) -> Result<Response, Error> + 'static) {
    SERVER.set(Some(Box::new(server)));
}

pub(crate) fn send(request: Request) -> Result<Response, Error> {
    SERVER.with_borrow_mut(|server| match server {
        Some(server) => server(&request),
        None => Err(Error::new(ErrorKind::Denied, "nobody serves: call testing::serve")),
    })
}
