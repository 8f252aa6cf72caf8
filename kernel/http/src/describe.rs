//! What a route takes and answers, said beside its handler. The OpenAPI document is made of it.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::body::MAX_NAME_CHARS;
use prx_base::error::Code;

/// Makes the schema of an answer.
pub type MakeSchema = fn(&mut SchemaGenerator) -> Schema;

/// What there is to say of a route.
#[derive(Debug, Clone, Copy)]
pub struct Doc {
    /// What it does, in a few words.
    pub summary: &'static str,
    /// Its parameters after the `?`.
    pub query: &'static [Field],
    /// The headers it looks at.
    pub headers: &'static [Field],
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
    Object(&'static [Field]),
    /// An object whose fields have names of their own.
    AnyObject,
    /// A file of this media type.
    File(&'static str),
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

/// A parameter, or a field of a body.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: Shape,
    /// Whether it must be there.
    pub required: bool,
    /// What it is for.
    pub about: &'static str,
}

/// What a parameter or a field takes.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Text that isn't blank.
    Text,
    /// Text that isn't blank, of at most [`MAX_NAME_CHARS`].
    Name,
    /// Text that this regular expression matches.
    Matching(&'static str),
    /// Any text, also none.
    AnyText,
    /// A whole number from the first to the second, or the third if it isn't given.
    Number(usize, usize, usize),
    /// One of these words, or the first if it isn't given.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Bool,
    /// An object.
    Object,
    /// A list of texts.
    Texts,
    /// A list of some of these words, one at least.
    Words(fn() -> Vec<&'static str>),
}

impl Doc {
    /// A route that takes nothing and answers nothing.
    pub const fn new(summary: &'static str) -> Self {
        let answers = Answers { statuses: &[204], json: None, other: None };
        Self { summary, query: &[], headers: &[], takes: Takes::Nothing, answers, fails: &[] }
    }

    /// It has these parameters.
    #[must_use]
    pub const fn query(mut self, query: &'static [Field]) -> Self {
        self.query = query;
        self
    }

    /// It looks at these headers.
    #[must_use]
    pub const fn headers(mut self, headers: &'static [Field]) -> Self {
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

impl Field {
    /// A field that may be left out.
    pub const fn new(name: &'static str, kind: Shape, about: &'static str) -> Self {
        Self { name, kind, required: false, about }
    }

    /// A field that must be there.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }
}

impl Shape {
    /// Its JSON Schema.
    pub fn schema(self) -> Value {
        match self {
            Self::Text => json!({"type": "string", "pattern": r"\S"}),
            Self::Name => json!({"type": "string", "pattern": r"\S", "maxLength": MAX_NAME_CHARS}),
            Self::Matching(pattern) => json!({"type": "string", "pattern": pattern}),
            Self::AnyText => json!({"type": "string"}),
            Self::Number(least, most, usual) => {
                json!({"type": "integer", "minimum": least, "maximum": most, "default": usual})
            }
            Self::Word(words) => json!({"type": "string", "enum": words, "default": words.first()}),
            Self::Bool => json!({"type": "boolean", "default": false}),
            Self::Object => json!({"type": "object"}),
            Self::Texts => json!({"type": "array", "items": {"type": "string"}}),
            Self::Words(words) => {
                json!({"type": "array", "minItems": 1, "items": {"type": "string", "enum": words()}})
            }
        }
    }
}

impl Takes {
    /// Its media type and schema.
    pub fn schema(self) -> Option<(&'static str, Value)> {
        match self {
            Self::Nothing => None,
            Self::AnyObject => Some(("application/json", json!({"type": "object"}))),
            Self::File(kind) => Some((kind, json!({"type": "string", "format": "binary"}))),
            Self::Object(fields) => {
                let properties = fields.iter().map(|field| (field.name.to_owned(), nullable(field)));
                let required: Vec<_> =
                    fields.iter().filter(|field| field.required).map(|field| field.name).collect();
                let mut schema = json!({"type": "object", "properties": properties.collect::<Map<_, _>>()});
                if !required.is_empty() {
                    schema["required"] = json!(required);
                }
                Some(("application/json", schema))
            }
        }
    }
}

/// In a body, `null` is as good as absent.
fn nullable(field: &Field) -> Value {
    let mut schema = field.kind.schema();
    if !field.required {
        schema = json!({"anyOf": [schema, {"type": "null"}]});
    }
    schema["description"] = json!(field.about);
    schema
}
