use super::{Content, Event, MAX_EVENT_BYTES, read, read_or_json};
use crate::http::{Body, Error, ErrorKind};

fn events(chunks: &[&[u8]]) -> Result<Vec<Event>, Error> {
    let chunks: Vec<_> = chunks.iter().map(|chunk| Ok(chunk.to_vec())).collect();
    read(Body::new(chunks.into_iter())).collect()
}

fn event(name: &str, data: &str) -> Event {
    Event { name: name.to_owned(), data: data.to_owned() }
}

/// Every rule of the format at once: byte order mark, three kinds of line ends, comments, several lines of data, one
/// space that goes and one that stays, fields without a value and unknown ones, an event without data, an end
/// without a blank line or a line end.
const STREAM: &str = "\u{feff}data: first\n\n: a comment\r\nevent: named\r\ndata: one\r\ndata:two\r\rdata\r\n\r\n\
    event: nothing\n\nid: 7\nretry: 10\nunknown: x\ndata:  Grüße 🌍\n\r\nevent: last\ndata: one";

#[test]
fn the_format_is_read_however_it_is_cut() {
    let expected = [
        event("", "first"),
        event("named", "one\ntwo"),
        event("", ""),
        event("", " Grüße 🌍"),
        event("last", "one"),
    ];
    let bytes = STREAM.as_bytes();
    assert_eq!(events(&[bytes]).unwrap(), expected);
    for at in 0..=bytes.len() {
        assert_eq!(events(&[&bytes[..at], &bytes[at..]]).unwrap(), expected, "cut at {at}");
    }
    let single: Vec<_> = bytes.chunks(1).collect();
    assert_eq!(events(&single).unwrap(), expected);
}

#[test]
fn an_event_is_there_with_its_blank_line() {
    for end in ["\n\n", "\r\r", "\r\n\r\n"] {
        let first = format!("data: now{end}");
        let late = [Ok(first.into_bytes()), Err(Error::new(ErrorKind::Timeout, "late"))];
        let mut events = read(Body::new(late.into_iter()));
        assert_eq!(events.next(), Some(Ok(event("", "now"))), "{end:?}");
        assert_eq!(events.next().unwrap().unwrap_err().kind, ErrorKind::Timeout);
        assert_eq!(events.next(), None);
    }
}

#[test]
fn what_is_too_much_is_an_error() {
    let long = [b"data: ".to_vec(), vec![b'x'; MAX_EVENT_BYTES]].concat();
    assert_eq!(events(&[&long]).unwrap_err().kind, ErrorKind::TooLarge);
    let line = [b"data: ".to_vec(), vec![b'x'; MAX_EVENT_BYTES / 2], b"\n".to_vec()].concat();
    assert_eq!(events(&[&line, &line, &line]).unwrap_err().kind, ErrorKind::TooLarge);
}

#[test]
fn what_is_no_text_is_replaced() {
    assert_eq!(events(&[b"data: a\xff\n\n"]).unwrap(), [event("", "a\u{fffd}")]);
}

#[test]
fn what_it_is_shows_in_its_first_byte() {
    let open = |body: &[u8]| {
        let single: Vec<_> = body.chunks(1).map(|byte| Ok(byte.to_vec())).collect();
        read_or_json(Body::new(single.into_iter())).unwrap()
    };
    for body in ["{\"a\": 1}", "[1]"] {
        let blank = format!("\u{feff}\n {body}");
        assert!(matches!(open(blank.as_bytes()), Content::Json(bytes) if bytes.ends_with(body.as_bytes())));
    }
    let Content::Events(events) = open("\u{feff}\n\n: hello\n\ndata: one".as_bytes()) else {
        panic!("no events")
    };
    assert_eq!(events.map(Result::unwrap).collect::<Vec<_>>(), [event("", "one")]);
    for body in [&b"<html>"[..], b"\x1f\x8b\x08", b"", b" \n"] {
        assert!(matches!(open(body), Content::Other(_)), "{body:?}");
    }
    let endless = Body::new(std::iter::repeat_with(|| Ok(vec![b'\n'; 1000])));
    assert_eq!(read_or_json(endless).unwrap_err().kind, ErrorKind::TooLarge);
}
