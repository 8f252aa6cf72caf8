//! Routes, called as a gateway calls them.

use crate::route::{Content, Request, Route, answer};
use crate::types::Fault;
use serde::de::DeserializeOwned;

/// What a route has answered.
#[derive(Debug)]
pub struct RouteAnswer {
    /// The status.
    pub status: u16,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Why the body broke off, if it did.
    pub broken: Option<Fault>,
}

impl RouteAnswer {
    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// It is none of this shape.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Has a route answer a request, whoever may call it. A body that it writes as it comes is read to its end.
///
/// # Panics
/// It answers with what no gateway passes on.
pub fn route<R: Route>(request: Request) -> RouteAnswer {
    let (status, headers, content) = answer::<R>(request).into_parts();
    assert!((200..600).contains(&status), "{status} is no status of an answer");
    let (mut body, mut broken) = (Vec::new(), None);
    match content {
        Content::Whole(bytes) => body = bytes,
        Content::Stream(write) => broken = write(&mut body).err(),
    }
    RouteAnswer { status, headers, body, broken }
}
