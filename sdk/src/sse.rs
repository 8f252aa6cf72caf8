//! Server-sent events, read from a response as they come; feature `http`.
//!
//! ```
//! use prx_sdk::http::Response;
//! use prx_sdk::sse;
//!
//! let response = Response::new(200, "event: greeting\ndata: hello\n\ndata: 1\ndata: 2\n\n");
//! let events = sse::read(response.body).collect::<Result<Vec<_>, _>>()?;
//! assert_eq!((events[0].name.as_str(), events[0].data.as_str()), ("greeting", "hello"));
//! assert_eq!((events[1].name.as_str(), events[1].data.as_str()), ("", "1\n2"));
//! # Ok::<(), prx_sdk::http::Error>(())
//! ```

#[cfg(test)]
mod tests;

use crate::http::{Body, Error, ErrorKind};
use std::time::Duration;

/// Most bytes of one line, and of the data of one event.
const MAX_EVENT_BYTES: usize = 4 << 20;

/// Timeout for the end of a body, once the last event wanted has come.
const END_TIMEOUT: Duration = Duration::from_millis(100);

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The field `event`; empty where there is none.
    pub name: String,
    /// The fields `data`, with line feeds between them.
    pub data: String,
}

/// Most bytes of white space before the first of something else, as servers send it to keep a connection alive.
const MAX_BLANK_BYTES: usize = 1 << 20;

/// Most bytes of a body that is no events.
const MAX_WHOLE_BYTES: usize = 16 << 20;

/// What a body holds, whatever its content type says.
#[derive(Debug)]
pub enum Content {
    /// Events.
    Events(Events),
    /// JSON, whole.
    Json(Vec<u8>),
    /// Neither: a page, something compressed, or nothing at all. Its beginning.
    Other(Vec<u8>),
}

/// Reads the events of a body.
pub fn read(body: Body) -> Events {
    Events { body, chunk: Vec::new(), at: 0, line: Line::default(), event: Event::default(), has_data: false }
}

/// Reads the events of a body, or the JSON that a server gives instead of them. Its first byte that is no white space
/// says which it is: content types are often wrong.
///
/// # Errors
/// The body broke off, took too long or is too large.
pub fn read_or_json(mut body: Body) -> Result<Content, Error> {
    let (mut begin, mut blanks) = (Vec::new(), 0);
    let first = loop {
        let shows = |byte: &&u8| !byte.is_ascii_whitespace() && !BYTE_ORDER_MARK.contains(byte);
        if let Some(first) = begin.iter().find(shows) {
            break *first;
        }
        // Only white space so far, of which nothing is needed again.
        blanks += begin.len();
        if blanks > MAX_BLANK_BYTES {
            return Err(Error::new(ErrorKind::TooLarge, "an answer of nothing but white space"));
        }
        match body.chunk()? {
            Some(chunk) => begin = chunk,
            None => return Ok(Content::Other(Vec::new())),
        }
    };
    match first {
        b'{' | b'[' => {
            while let Some(chunk) = body.chunk()? {
                if begin.len() + chunk.len() > MAX_WHOLE_BYTES {
                    return Err(Error::new(ErrorKind::TooLarge, "too large an answer"));
                }
                begin.extend_from_slice(&chunk);
            }
            Ok(Content::Json(begin))
        }
        b'<' | GZIP => Ok(Content::Other(begin)),
        _ => Ok(Content::Events(Events { chunk: begin, ..read(body) })),
    }
}

/// What a text in UTF-8 may begin with.
const BYTE_ORDER_MARK: [u8; 3] = *b"\xef\xbb\xbf";
/// What a body compressed with gzip begins with.
const GZIP: u8 = 0x1f;

/// The events of a body, each as soon as it is there. Comments and the fields `id` and `retry` are left out. An event at
/// the end is given without its blank line, too: servers forget it. What is no UTF-8 is replaced, as the format says.
///
/// An error is the last item: the body broke off, took too long or is too large.
#[derive(Debug)]
pub struct Events {
    body: Body,
    chunk: Vec<u8>,
    /// What of the chunk has been read.
    at: usize,
    line: Line,
    event: Event,
    has_data: bool,
}

/// The line that is being read.
#[derive(Debug, Default)]
struct Line {
    bytes: Vec<u8>,
    /// The line before ended with a carriage return: a line feed now belongs to that.
    after_return: bool,
    /// It is not the first one, before which a byte order mark may stand.
    later: bool,
}

impl Line {
    fn take(&mut self) -> String {
        let bytes = std::mem::take(&mut self.bytes);
        let mut line =
            String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
        if !std::mem::replace(&mut self.later, true) && line.starts_with('\u{feff}') {
            line.remove(0);
        }
        line
    }
}

impl Events {
    /// Reads no more events, and lets the connection serve the next request if the body ends here.
    pub fn finish(self) {
        self.body.finish(END_TIMEOUT);
    }

    /// Takes the next line out of what has come; none when it isn't whole yet.
    fn take_line(&mut self) -> Result<Option<String>, Error> {
        if self.line.after_return && self.at < self.chunk.len() {
            self.line.after_return = false;
            self.at += usize::from(self.chunk[self.at] == b'\n');
        }
        let rest = &self.chunk[self.at..];
        let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let piece = &rest[..end.unwrap_or(rest.len())];
        if self.line.bytes.len() + piece.len() > MAX_EVENT_BYTES {
            return Err(too_large());
        }
        self.line.bytes.extend_from_slice(piece);
        let Some(end) = end else {
            self.at = self.chunk.len();
            return Ok(None);
        };
        self.line.after_return = rest[end] == b'\r';
        self.at += end + 1;
        Ok(Some(self.line.take()))
    }

    /// Takes a line in; an event if it ends one.
    fn take_in(&mut self, line: &str) -> Result<Option<Event>, Error> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return Ok(std::mem::take(&mut self.has_data).then_some(event));
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if self.event.data.len() + value.len() > MAX_EVENT_BYTES {
                    return Err(too_large());
                }
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            _ => {}
        }
        Ok(None)
    }

    fn next_event(&mut self) -> Result<Option<Event>, Error> {
        loop {
            while let Some(line) = self.take_line()? {
                if let Some(event) = self.take_in(&line)? {
                    return Ok(Some(event));
                }
            }
            match self.body.chunk()? {
                Some(chunk) => (self.chunk, self.at) = (chunk, 0),
                None => return self.last_event(),
            }
        }
    }

    /// The event that the body ends with, if its blank line is missing.
    fn last_event(&mut self) -> Result<Option<Event>, Error> {
        let line = self.line.take();
        if !line.is_empty() {
            self.take_in(&line)?;
        }
        self.take_in("")
    }
}

impl Iterator for Events {
    type Item = Result<Event, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let event = self.next_event();
        if event.is_err() {
            self.body = Body::new(std::iter::empty());
            (self.chunk, self.at) = (Vec::new(), 0);
        }
        event.transpose()
    }
}

fn too_large() -> Error {
    Error::new(ErrorKind::TooLarge, "an event that is too large")
}
