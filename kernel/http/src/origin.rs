//! What a request says of itself for the log: its id, the trace it belongs to, and the program that sends it. Anyone may write
//! anything there, so each is taken in a bounded form or not at all.

use hyper::header::{HeaderMap, HeaderName, USER_AGENT};

use prx_base::traces::TraceContext;

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// W3C Trace Context, level 1.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The longest id of a request that is taken over, in characters.
const MAX_ID_CHARS: usize = 128;
/// What is kept of the name of a program, in characters.
const MAX_USER_AGENT_CHARS: usize = 200;

/// The id that a request came with: letters, digits and `-_.:/+=@`, up to 128 of them.
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = only(headers, &X_REQUEST_ID)?;
    let sane = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&byte);
    (!id.is_empty() && id.len() <= MAX_ID_CHARS && id.bytes().all(sane)).then(|| id.to_owned())
}

/// Where a request is in its caller's trace, by its `traceparent`.
pub fn trace_context(headers: &HeaderMap) -> Option<TraceContext> {
    TraceContext::parse(only(headers, &TRACEPARENT)?)
}

/// The beginning of what the sending program calls itself, with what is not printable left out.
pub(super) fn user_agent(headers: &HeaderMap) -> Option<String> {
    let name = String::from_utf8_lossy(headers.get(USER_AGENT)?.as_bytes());
    let printable = |character: &char| character.is_ascii_graphic() || *character == ' ';
    let name: String = name.chars().filter(printable).take(MAX_USER_AGENT_CHARS).collect();
    (!name.is_empty()).then_some(name)
}

/// The value of a header that is there once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(name: &HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.clone(), HeaderValue::from_str(value).expect("a value"))])
    }

    #[test]
    fn a_sane_id_is_taken_over_and_no_other() {
        for id in ["a", "4f3c-11:2/3+=@x_y.z", &"x".repeat(128)] {
            assert_eq!(request_id(&headers(&X_REQUEST_ID, id)).as_deref(), Some(id));
        }
        for id in ["", " ", "a b", "a\tb", "a\"b", "{}", "a;b", "<x>", &"x".repeat(129)] {
            assert_eq!(request_id(&headers(&X_REQUEST_ID, id)), None, "{id}");
        }
        let mut twice = headers(&X_REQUEST_ID, "a");
        twice.append(X_REQUEST_ID, HeaderValue::from_static("b"));
        assert_eq!(request_id(&twice), None);
        assert_eq!(request_id(&HeaderMap::new()), None);
    }

    #[test]
    fn a_request_is_in_one_trace_at_most() {
        let sound = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut headers = headers(&TRACEPARENT, sound);
        assert_eq!(trace_context(&headers).map(TraceContext::traceparent).as_deref(), Some(sound));
        headers.append(TRACEPARENT, HeaderValue::from_static("x"));
        assert_eq!(trace_context(&headers), None);
    }

    #[test]
    fn a_program_can_not_write_the_log() {
        let agent = |value: &[u8]| {
            let value = HeaderValue::from_bytes(value).expect("a value");
            user_agent(&HeaderMap::from_iter([(USER_AGENT, value)]))
        };
        assert_eq!(agent("curl/8.9 (x)\tr\u{202e}".as_bytes()).as_deref(), Some("curl/8.9 (x)r"));
        assert_eq!(agent(&[b'x'; 5_000]).map(|name| name.len()), Some(200));
        assert_eq!(agent(&[0xff]), None);
    }
}
