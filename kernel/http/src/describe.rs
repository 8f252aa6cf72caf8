//! What a route takes and answers, said beside its handler. The OpenAPI document is made of it.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::parameter::Declared;
use prx_base::config::keys::Key;
use prx_base::error::Code;

/// Makes the schema of an answer.
pub type MakeSchema = fn(&mut SchemaGenerator) -> Schema;

/// What there is to say of a route.
#[derive(Debug, Clone, Copy)]
pub struct Doc {
    /// What it does, in a few words.
    pub summary: &'static str,
    /// Its parameters after the `?`.
    pub query: &'static [&'static dyn Declared],
    /// The headers it looks at.
    pub headers: &'static [&'static dyn Declared],
    /// Its body.
    pub takes: Takes,
    /// What it answers when all is well.
    pub answers: Answers,
    /// What may go wrong besides what may go wrong everywhere.
    pub fails: &'static [Code],
}

/// The body of a request.
#[derive(Debug, Clone, Copy)]
pub enum Takes {
    /// None.
    Nothing,
    /// An object with these fields.
    Object(&'static [&'static dyn Declared]),
    /// An object with these keys of the configuration.
    Settings(&'static [Key]),
    /// An object whose fields have names of their own.
    AnyObject,
    /// A file of this media type.
    File(&'static str),
    /// A file of this media type, or an object with these fields.
    FileOr(&'static str, &'static [&'static dyn Declared]),
}

/// The answer when all is well.
#[derive(Debug, Clone, Copy)]
pub struct Answers {
    /// The statuses it may have.
    pub statuses: &'static [u16],
    /// Its body as JSON.
    pub json: Option<MakeSchema>,
    /// Its body in another form: server-sent events, or text.
    pub other: Option<&'static str>,
}

impl Doc {
    /// A route that takes nothing and answers nothing.
    pub const fn new(summary: &'static str) -> Self {
        let answers = Answers { statuses: &[204], json: None, other: None };
        Self { summary, query: &[], headers: &[], takes: Takes::Nothing, answers, fails: &[] }
    }

    /// It has these parameters.
    #[must_use]
    pub const fn query(mut self, query: &'static [&'static dyn Declared]) -> Self {
        self.query = query;
        self
    }

    /// It looks at these headers.
    #[must_use]
    pub const fn headers(mut self, headers: &'static [&'static dyn Declared]) -> Self {
        self.headers = headers;
        self
    }

    /// It takes a body.
    #[must_use]
    pub const fn takes(mut self, takes: Takes) -> Self {
        self.takes = takes;
        self
    }

    /// It answers with one of these statuses and this in JSON.
    #[must_use]
    pub const fn answers<T: JsonSchema>(mut self, statuses: &'static [u16]) -> Self {
        self.answers.statuses = statuses;
        self.answers.json = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    /// It answers with 200 and this media type, if it has no JSON or the caller prefers that.
    #[must_use]
    pub const fn or_as(mut self, media_type: &'static str) -> Self {
        self.answers.other = Some(media_type);
        if self.answers.json.is_none() {
            self.answers.statuses = &[200];
        }
        self
    }

    /// It may fail like this.
    #[must_use]
    pub const fn fails(mut self, fails: &'static [Code]) -> Self {
        self.fails = fails;
        self
    }
}

impl Takes {
    /// The media types that it may have, each with its schema.
    pub fn schemas(self) -> Vec<(&'static str, Value)> {
        const JSON: &str = "application/json";
        let file = json!({"type": "string", "format": "binary"});
        match self {
            Self::Nothing => Vec::new(),
            Self::AnyObject => vec![(JSON, json!({"type": "object"}))],
            Self::File(kind) => vec![(kind, file)],
            Self::Object(fields) => vec![(JSON, object(fields.iter().copied()))],
            Self::FileOr(kind, fields) => vec![(kind, file), (JSON, object(fields.iter().copied()))],
            Self::Settings(keys) => vec![(JSON, object(keys.iter().map(|key| -> &dyn Declared { key })))],
        }
    }
}

fn object<'a>(fields: impl Iterator<Item = &'a dyn Declared> + Clone) -> Value {
    let properties = fields.clone().map(|field| (field.name().to_owned(), nullable(field)));
    let mut schema = json!({"type": "object", "properties": properties.collect::<Map<_, _>>()});
    let required: Vec<_> = fields.filter(|field| field.is_required()).map(|field| field.name()).collect();
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// In a body, `null` is as good as absent.
fn nullable(field: &dyn Declared) -> Value {
    let mut schema = field.schema();
    if !field.is_required() {
        schema = json!({"anyOf": [schema, {"type": "null"}]});
    }
    schema["description"] = json!(field.about());
    schema
}
