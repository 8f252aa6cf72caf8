//! A model's server: what of its answers is read, and what is said when there is none; feature `http`.
//!
//! Servers that speak like a vendor's leave out what they like, put in what they like, and call it what they like. What
//! nobody needs is passed over here; what makes no sense is quoted, in the log and in the fault.
//!
//! ```
//! use prx_sdk::http::Response;
//! use prx_sdk::server::{Chunk, Server};
//!
//! let server = Server::new("example", "https://api.example.org");
//! let response = Response::new(200, "data: null\n\ndata: {\"text\": \"Hi\"}\n\ndata: [DONE]");
//! let chunks: Vec<Chunk> = server.read(response)?.collect::<Result<_, _>>()?;
//! assert!(matches!(&chunks[0], Chunk::Json { value, .. } if value["text"] == "Hi"));
//! assert_eq!(chunks[1], Chunk::Done);
//! # Ok::<(), prx_sdk::provider::ProviderError>(())
//! ```

mod model;

pub use model::ModelName;

use crate::http::{self, ErrorKind, Response};
use crate::json::{self, Unreadable};
use crate::log;
use crate::provider::{Fault, FaultCode, ModelInfo, ProviderError};
use crate::refusal::Refusal;
use crate::sse::{self, Content, Events};
use serde_json::Value;
use std::time::Duration;

/// What some servers say last.
const DONE: &str = "[DONE]";

/// A server, as an operator knows it.
#[derive(Clone, Debug)]
pub struct Server {
    /// The provider whose settings are meant: `providers_config.<provider>`.
    provider: String,
    base_url: String,
    timeout: Duration,
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Chunk {
    /// An object, of an event or of a body that is JSON.
    Json {
        /// The object.
        value: Value,
        /// The event's name; empty where there is none.
        name: String,
        /// It came in one piece, and not as events.
        is_whole: bool,
    },
    /// What an event named `error` says.
    Error(Value),
    /// Words where an object should be, as gateways in between say them.
    Stray(String),
    /// The server says that this was all.
    Done,
}

/// The pieces of an answer as they come. An error is the last item.
pub struct Chunks<'a> {
    server: &'a Server,
    source: Source,
    /// An event that is cut off: an accident at the end, a defect before it.
    cut: Option<String>,
}

enum Source {
    Events(Events),
    /// The objects of a body that is JSON, the last first.
    Whole(Vec<Value>),
    Over,
}

impl Server {
    /// The server that this provider's settings name, with a timeout of 30 seconds.
    pub fn new(provider: impl Into<String>, base_url: impl Into<String>) -> Self {
        Self { provider: provider.into(), base_url: base_url.into(), timeout: Duration::from_secs(30) }
    }

    /// Sets how long it may stay silent.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Its address.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// How long it may stay silent.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Reads an answer, whatever its content type says.
    ///
    /// # Errors
    /// It is neither events nor JSON.
    pub fn read(&self, response: Response) -> Result<Chunks<'_>, ProviderError> {
        let encoding = response.header("content-encoding").map(str::to_owned);
        let source = match sse::read_or_json(response.body).map_err(|error| self.broken_off(error))? {
            Content::Events(events) => Source::Events(events),
            Content::Json(bytes) => Source::Whole(self.whole(&bytes)?),
            Content::Other(bytes) if bytes.is_empty() => {
                return Err(self.broken_off(http::Error::new(ErrorKind::Unexpected, "it was empty")));
            }
            Content::Other(bytes) => return Err(self.neither(encoding.as_deref(), &bytes)),
        };
        Ok(Chunks { server: self, source, cut: None })
    }

    fn whole(&self, bytes: &[u8]) -> Result<Vec<Value>, ProviderError> {
        match json::read(bytes) {
            Ok(Value::Array(mut chunks)) if !chunks.is_empty() => {
                chunks.reverse();
                Ok(chunks)
            }
            Ok(chunk) => Ok(vec![chunk]),
            Err(Unreadable::Cut) => Err(self.cut_off(bytes)),
            Err(why) => Err(self.nonsense(why, bytes)),
        }
    }

    /// Reads a server's list of its models.
    ///
    /// # Errors
    /// It is none.
    pub fn read_models(&self, response: Response) -> Result<Vec<ModelInfo>, ProviderError> {
        let bytes = response.bytes().map_err(|error| self.broken_off(error))?;
        let said = json::read(&bytes).map_err(|why| self.nonsense(why, &bytes))?;
        models(&said).ok_or_else(|| self.no_answer_in(&said))
    }

    /// Why no answer began.
    pub fn no_answer(&self, error: http::Error) -> ProviderError {
        self.failed("no answer came", error)
    }

    /// Why an answer that had begun did not end.
    pub fn broken_off(&self, error: http::Error) -> ProviderError {
        self.failed("the answer broke off", error)
    }

    fn failed(&self, what: &str, error: http::Error) -> ProviderError {
        let provider = &self.provider;
        let hint = match error.kind {
            ErrorKind::Timeout => format!(
                " ({} s of silence are allowed by providers_config.{provider}.timeout_secs)",
                self.timeout.as_secs()
            ),
            ErrorKind::Denied | ErrorKind::Invalid | ErrorKind::Unreachable => {
                format!("; check providers_config.{provider}.base_url, and whether the server runs")
            }
            ErrorKind::TooLarge | ErrorKind::Unexpected => String::new(),
        };
        let mut failure = ProviderError::from(error);
        failure.fault.message = format!("{what} from {}: {}{hint}", self.base_url, failure.fault.message);
        failure
    }

    /// The server has hung up in the middle of something.
    fn cut_off(&self, chunk: &[u8]) -> ProviderError {
        let message = format!("its end makes no sense, for it is cut off: {}", json::excerpt(chunk));
        log::warn(&message);
        self.broken_off(http::Error::new(ErrorKind::Unexpected, message))
    }

    /// Something that asking again would not mend. What is cut off may have been damaged on its way, though: as a defect
    /// it is asked for once more.
    fn nonsense(&self, why: Unreadable, chunk: &[u8]) -> ProviderError {
        let shown = json::excerpt(chunk);
        log::warn(&format!("a chunk that makes no sense ({why}): {shown}"));
        let message = format!("an answer that makes no sense came from {} ({why}): {shown}", self.base_url);
        match why {
            Unreadable::Cut => ProviderError::passing(Fault::new(FaultCode::Internal, message), None),
            _ => Fault::unavailable(message).into(),
        }
    }

    fn neither(&self, encoding: Option<&str>, bytes: &[u8]) -> ProviderError {
        let (base_url, provider) = (&self.base_url, &self.provider);
        let message = match encoding.filter(|encoding| *encoding != "identity") {
            Some(encoding) => format!(
                "{base_url} encoded its answer ({}) though it was asked not to; switch compression off there",
                json::excerpt(encoding.as_bytes())
            ),
            None => format!(
                "{base_url} answered neither with events nor with JSON; check providers_config.{provider}.base_url ({})",
                json::excerpt(bytes)
            ),
        };
        Fault::bad_config(message).into()
    }

    /// The fault for JSON that holds neither an answer nor an error.
    pub fn no_answer_in(&self, said: &Value) -> ProviderError {
        let shown = json::excerpt(said.to_string().as_bytes());
        log::warn(&format!("JSON with no answer in it: {shown}"));
        let (base_url, provider) = (&self.base_url, &self.provider);
        Fault::bad_config(format!(
            "{base_url} answered, but with no answer in it; check providers_config.{provider}.base_url ({shown})"
        ))
        .into()
    }

    /// The fault for a server that is elsewhere, or another: it does not answer as `what` does.
    pub fn not_here(&self, refusal: &Refusal, what: &str) -> Fault {
        let (base_url, provider, status) = (&self.base_url, &self.provider, refusal.status);
        Fault::bad_config(match &refusal.location {
            Some(location) => format!(
                "{base_url} has moved: it answered with status {status} and wants to be asked at {}; set \
                 providers_config.{provider}.base_url so",
                json::excerpt(location.as_bytes())
            ),
            None => format!(
                "{base_url} answered with status {status}, and not as {what}; check providers_config.{provider}.base_url ({})",
                refusal.message()
            ),
        })
    }
}

impl Chunks<'_> {
    /// Reads no more, and lets the connection serve the next request if the answer ends here.
    pub fn finish(self) {
        if let Source::Events(events) = self.source {
            events.finish();
        }
    }

    fn next_chunk(&mut self) -> Result<Option<Chunk>, ProviderError> {
        match &mut self.source {
            Source::Over => Ok(None),
            Source::Whole(values) => {
                let value = values.pop();
                Ok(value.map(|value| Chunk::Json { value, name: String::new(), is_whole: true }))
            }
            Source::Events(events) => {
                for event in events.by_ref() {
                    let event = event.map_err(|error| self.server.broken_off(error))?;
                    if let Some(chunk) = chunk(self.server, &mut self.cut, event)? {
                        return Ok(Some(chunk));
                    }
                }
                self.cut.take().map_or(Ok(None), |cut| Err(self.server.cut_off(cut.as_bytes())))
            }
        }
    }
}

impl Iterator for Chunks<'_> {
    type Item = Result<Chunk, ProviderError>;

    fn next(&mut self) -> Option<Self::Item> {
        let chunk = self.next_chunk();
        if chunk.is_err() {
            (self.source, self.cut) = (Source::Over, None);
        }
        chunk.transpose()
    }
}

/// What an event says; none: nothing that anybody needs.
fn chunk(
    server: &Server,
    cut: &mut Option<String>,
    event: sse::Event,
) -> Result<Option<Chunk>, ProviderError> {
    let (name, data) = (event.name, event.data.trim());
    if data.is_empty() {
        return Ok(None);
    }
    if let Some(cut) = cut.take() {
        return Err(server.nonsense(Unreadable::Cut, cut.as_bytes()));
    }
    let is_error = name == "error";
    Ok(match json::read(data.as_bytes()) {
        _ if data == DONE => Some(Chunk::Done),
        Ok(value) if is_error => Some(Chunk::Error(value)),
        Ok(value @ Value::Object(_)) => Some(Chunk::Json { value, name, is_whole: false }),
        Ok(_) => None,
        Err(_) if is_error => Some(Chunk::Error(Value::String(data.to_owned()))),
        Err(_) if !data.starts_with('{') => {
            log::warn(&format!("an event that is no JSON is left out: {}", json::excerpt(data.as_bytes())));
            Some(Chunk::Stray(data.to_owned()))
        }
        Err(Unreadable::Cut) => {
            *cut = Some(data.to_owned());
            None
        }
        Err(why) => return Err(server.nonsense(why, data.as_bytes())),
    })
}

/// Most models that a server's list is read to.
const MAX_MODELS: usize = 2000;
/// What servers call the tokens that a model takes, in the order in which they are believed.
const WINDOWS: [&str; 12] = [
    "/loaded_context_length",
    "/meta/n_ctx",
    "/max_model_len",
    "/context_length",
    "/context_window",
    "/top_provider/context_length",
    "/max_context_length",
    "/context_size",
    "/max_input_tokens",
    "/inputTokenLimit",
    "/meta/n_ctx_train",
    "/limits/max_context_window_tokens",
];
/// What they call the tokens of its longest answer.
const MAX_OUTPUTS: [&str; 6] = [
    "/max_output_tokens",
    "/max_completion_tokens",
    "/top_provider/max_completion_tokens",
    "/outputTokenLimit",
    "/max_tokens",
    "/limits/max_output_tokens",
];

/// The models in a server's list of them, whose shape differs; none where it holds no list.
pub fn models(said: &Value) -> Option<Vec<ModelInfo>> {
    let lists = [said, &said["data"], &said["models"]];
    let models = lists.into_iter().find_map(Value::as_array)?;
    let model = |said: &Value| {
        let number = |places: &[&str]| {
            let found = places.iter().filter_map(|place| json::number(said.pointer(place)?));
            found.into_iter().find(|tokens| *tokens > 0)
        };
        let id = [said, &said["id"], &said["name"], &said["model"]].into_iter().find_map(json::text)?;
        let id = id.strip_prefix("models/").unwrap_or(id).to_owned();
        Some(ModelInfo { id, window: number(&WINDOWS), max_output: number(&MAX_OUTPUTS) })
    };
    Some(models.iter().take(MAX_MODELS).filter_map(model).collect())
}
