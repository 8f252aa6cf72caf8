//! Parameters of a query and fields of a body: each is declared once, and both described and read from that.

use std::fmt::Debug;

use serde_json::{Map, Value, json};

use super::body::{Fields, MAX_NAME_CHARS};
use super::query::Query;
use prx_base::config::keys::{Key, Type};
use prx_base::error::{Error, Result};

/// A parameter, a header or a field of a body.
#[derive(Debug, Clone, Copy)]
pub struct Parameter<K> {
    name: &'static str,
    kind: K,
    about: &'static str,
}

/// What the description of the API says of a [`Parameter`].
pub trait Declared: Debug + Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// What it is for.
    fn about(&self) -> &'static str;
    /// Whether it must be given.
    fn is_required(&self) -> bool;
    /// The JSON Schema of its value.
    fn schema(&self) -> Value;
}

/// What a parameter takes.
pub trait Kind: Debug + Copy + Sync {
    /// Whether it must be given.
    const REQUIRED: bool = false;

    /// The JSON Schema of its value.
    fn schema(&self) -> Value;
}

/// What can be a parameter of a query.
pub trait InQuery: Kind {
    /// What it is read as.
    type Value<'a>;

    /// Reads the parameter of this name.
    ///
    /// # Errors
    /// 400 that names the parameter and says what it takes.
    fn read<'a>(&self, name: &str, query: &'a Query) -> Result<Self::Value<'a>>;
}

/// What can be a field of a body.
pub trait InBody: Kind {
    /// What it is read as.
    type Value;

    /// Takes the field of this name.
    ///
    /// # Errors
    /// 400 that names the field and says what it takes.
    fn read(&self, name: &str, fields: &mut Fields) -> Result<Self::Value>;
}

impl<K: Kind> Parameter<K> {
    /// A parameter that may be left out.
    pub const fn new(name: &'static str, kind: K, about: &'static str) -> Self {
        Self { name, kind, about }
    }

    /// A text that must be given.
    #[must_use]
    pub const fn required(self) -> Parameter<Required<K>> {
        self.required_or("is missing; it must be a string")
    }

    /// A parameter that must be given, and what is said of it where it isn't.
    #[must_use]
    pub const fn required_or(self, missing: &'static str) -> Parameter<Required<K>> {
        Parameter { name: self.name, kind: Required { kind: self.kind, missing }, about: self.about }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<K: Kind> Declared for Parameter<K> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn is_required(&self) -> bool {
        K::REQUIRED
    }

    fn schema(&self) -> Value {
        self.kind.schema()
    }
}

impl Declared for Key {
    fn name(&self) -> &'static str {
        self.path
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn is_required(&self) -> bool {
        false
    }

    fn schema(&self) -> Value {
        match self.ty {
            Type::Bool => Flag.schema(),
            Type::Integer(min, max) => json!({"type": "integer", "minimum": min, "maximum": max}),
            Type::Text | Type::TimeZone => Text.schema(),
            Type::FlagOrSize => json!({"type": ["boolean", "string"]}),
            Type::OneOf(words) => json!({"type": "string", "pattern": format!("^({})$", words.join("|"))}),
            Type::TextList | Type::Networks | Type::Models => Texts.schema(),
            Type::TextTable => json!({"type": "object", "additionalProperties": {"type": "string"}}),
            Type::Words(words) => {
                json!({"type": "object", "additionalProperties": {"type": "string", "enum": words}})
            }
            Type::Table(keys) => json!({"type": "object", "properties": properties(keys)}),
            Type::Tables(keys) => {
                json!({"type": "object", "additionalProperties": {"type": "object", "properties": properties(keys)}})
            }
        }
    }
}

fn properties(keys: &[Key]) -> serde_json::Map<String, Value> {
    keys.iter().map(|key| (key.path.to_owned(), key.schema())).collect()
}

impl Query {
    /// The value of a parameter.
    ///
    /// # Errors
    /// 400 that names the parameter and says what it takes.
    pub fn get<K: InQuery>(&self, parameter: &Parameter<K>) -> Result<K::Value<'_>> {
        parameter.kind.read(parameter.name, self)
    }

    /// Whether a parameter is given.
    pub fn has<K>(&self, parameter: &Parameter<K>) -> bool {
        self.text(parameter.name).is_ok_and(|value| value.is_some())
    }
}

impl Fields {
    /// The value of a field, which is taken out.
    ///
    /// # Errors
    /// 400 that names the field and says what it takes.
    pub fn get<K: InBody>(&mut self, field: &Parameter<K>) -> Result<K::Value> {
        field.kind.read(field.name, self)
    }
}

/// Must be given.
#[derive(Debug, Clone, Copy)]
pub struct Required<K> {
    kind: K,
    /// What is said where it isn't.
    missing: &'static str,
}

impl<K> Required<K> {
    fn missing(&self, name: &str) -> Error {
        Error::bad_request(format!("`{name}` {}", self.missing))
    }
}

impl<K: Kind> Kind for Required<K> {
    const REQUIRED: bool = true;

    fn schema(&self) -> Value {
        self.kind.schema()
    }
}

impl InQuery for Required<Text> {
    type Value<'a> = &'a str;

    fn read<'a>(&self, name: &str, query: &'a Query) -> Result<&'a str> {
        query.text(name)?.filter(|text| !text.trim().is_empty()).ok_or_else(|| self.missing(name))
    }
}

impl<V, K: InBody<Value = Option<V>>> InBody for Required<K> {
    type Value = V;

    fn read(&self, name: &str, fields: &mut Fields) -> Result<V> {
        self.kind.read(name, fields)?.ok_or_else(|| self.missing(name))
    }
}

/// Text that isn't blank.
#[derive(Debug, Clone, Copy)]
pub struct Text;

impl Kind for Text {
    fn schema(&self) -> Value {
        json!({"type": "string", "pattern": r"\S"})
    }
}

impl InBody for Text {
    type Value = Option<String>;

    fn read(&self, name: &str, fields: &mut Fields) -> Result<Option<String>> {
        fields.text(name)
    }
}

/// A name or an id that a request makes up: text that isn't blank, of at most 256 characters.
#[derive(Debug, Clone, Copy)]
pub struct Name;

impl Kind for Name {
    fn schema(&self) -> Value {
        // Without the characters of `is_format_control`, and not blank.
        const CONTROLS: &str = r"\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069";
        let pattern = format!(r"^[^{CONTROLS}]*[^\s{CONTROLS}][^{CONTROLS}]*$");
        json!({"type": "string", "pattern": pattern, "maxLength": MAX_NAME_CHARS})
    }
}

impl InBody for Name {
    type Value = Option<String>;

    fn read(&self, name: &str, fields: &mut Fields) -> Result<Option<String>> {
        fields.name(name)
    }
}

/// Any text, also none.
#[derive(Debug, Clone, Copy)]
pub struct AnyText;

impl Kind for AnyText {
    fn schema(&self) -> Value {
        json!({"type": "string"})
    }
}

impl InQuery for AnyText {
    type Value<'a> = Option<&'a str>;

    fn read<'a>(&self, name: &str, query: &'a Query) -> Result<Option<&'a str>> {
        query.text(name)
    }
}

/// Text that this regular expression describes. Whoever reads it says what is wrong with any other.
#[derive(Debug, Clone, Copy)]
pub struct Matching(pub &'static str);

impl Kind for Matching {
    fn schema(&self) -> Value {
        json!({"type": "string", "pattern": self.0})
    }
}

impl InQuery for Matching {
    type Value<'a> = Option<&'a str>;

    fn read<'a>(&self, name: &str, query: &'a Query) -> Result<Option<&'a str>> {
        query.text(name)
    }
}

impl InBody for Matching {
    type Value = Option<String>;

    fn read(&self, name: &str, fields: &mut Fields) -> Result<Option<String>> {
        fields.text(name)
    }
}

/// A whole number within bounds, or the default.
#[derive(Debug, Clone, Copy)]
pub struct Number {
    /// The least.
    pub min: usize,
    /// The most.
    pub max: usize,
    /// What it is where it isn't given.
    pub default: usize,
}

impl Kind for Number {
    fn schema(&self) -> Value {
        let Self { min, max, default } = self;
        json!({"type": "integer", "minimum": min, "maximum": max, "default": default})
    }
}

impl InQuery for Number {
    type Value<'a> = usize;

    fn read(&self, name: &str, query: &Query) -> Result<usize> {
        query.number(name, self.min..=self.max, self.default)
    }
}

/// One of these words, each with its meaning, or the default.
#[derive(Debug, Clone, Copy)]
pub struct OneOf<T: 'static> {
    /// The words.
    pub words: &'static [(&'static str, T)],
    /// What is meant where none is given.
    pub default: T,
}

impl<T: Debug + Copy + Sync + PartialEq> Kind for OneOf<T> {
    fn schema(&self) -> Value {
        let default = self.words.iter().find(|(_, meaning)| *meaning == self.default).map(|(word, _)| word);
        json!({"type": "string", "enum": words(self.words), "default": default})
    }
}

impl<T: Debug + Copy + Sync + PartialEq> InQuery for OneOf<T> {
    type Value<'a> = T;

    fn read(&self, name: &str, query: &Query) -> Result<T> {
        query.word(name, self.words, self.default)
    }
}

/// Either of two words, each with its meaning.
#[derive(Debug, Clone, Copy)]
pub struct Either<T: 'static>(pub &'static [(&'static str, T); 2]);

impl<T: Debug + Copy + Sync> Kind for Either<T> {
    fn schema(&self) -> Value {
        json!({"type": "string", "pattern": format!("^({})$", words(self.0).join("|"))})
    }
}

impl<T: Debug + Copy + Sync> InBody for Either<T> {
    type Value = Option<T>;

    fn read(&self, name: &str, fields: &mut Fields) -> Result<Option<T>> {
        let Some(given) = fields.text(name)? else { return Ok(None) };
        let [(one, _), (other, _)] = self.0;
        let found = self.0.iter().find(|(word, _)| *word == given).map(|(_, meaning)| Some(*meaning));
        found.ok_or_else(|| Error::bad_request(format!("`{name}` must be \"{one}\" or \"{other}\"")))
    }
}

fn words<T>(words: &[(&'static str, T)]) -> Vec<&'static str> {
    words.iter().map(|(word, _)| *word).collect()
}

/// `true` or `false`; `false` where it isn't given.
#[derive(Debug, Clone, Copy)]
pub struct Flag;

impl Kind for Flag {
    fn schema(&self) -> Value {
        json!({"type": "boolean", "default": false})
    }
}

impl InQuery for Flag {
    type Value<'a> = bool;

    fn read(&self, name: &str, query: &Query) -> Result<bool> {
        query.word(name, &[("true", true), ("false", false)], false)
    }
}

/// `true` or `false` in a body, where it is given.
#[derive(Debug, Clone, Copy)]
pub struct Switch;

impl Kind for Switch {
    fn schema(&self) -> Value {
        json!({"type": "boolean"})
    }
}

impl InBody for Switch {
    type Value = Option<bool>;

    fn read(&self, name: &str, fields: &mut Fields) -> Result<Self::Value> {
        fields.flag(name)
    }
}

/// A whole number from the first to the second in a body, where it is given.
#[derive(Debug, Clone, Copy)]
pub struct Whole(pub u64, pub u64);

impl Kind for Whole {
    fn schema(&self) -> Value {
        json!({"type": "integer", "minimum": self.0, "maximum": self.1})
    }
}

impl InBody for Whole {
    type Value = Option<u64>;

    fn read(&self, name: &str, fields: &mut Fields) -> Result<Self::Value> {
        fields.number(name, self.0..=self.1)
    }
}

/// An object.
#[derive(Debug, Clone, Copy)]
pub struct Object;

impl Kind for Object {
    fn schema(&self) -> Value {
        json!({"type": "object"})
    }
}

impl InBody for Object {
    type Value = Option<Map<String, Value>>;

    fn read(&self, name: &str, fields: &mut Fields) -> Result<Self::Value> {
        fields.object(name)
    }
}

/// A list of texts.
#[derive(Debug, Clone, Copy)]
pub struct Texts;

impl Kind for Texts {
    fn schema(&self) -> Value {
        json!({"type": "array", "items": {"type": "string"}})
    }
}

impl InBody for Texts {
    type Value = Option<Vec<String>>;

    fn read(&self, name: &str, fields: &mut Fields) -> Result<Self::Value> {
        fields.texts(name)
    }
}

/// A list of some of these words, one at least. Whoever reads it says what is wrong with any other.
#[derive(Debug, Clone, Copy)]
pub struct Words(pub fn() -> Vec<&'static str>);

impl Kind for Words {
    fn schema(&self) -> Value {
        json!({"type": "array", "minItems": 1, "items": {"type": "string", "enum": (self.0)()}})
    }
}

impl InBody for Words {
    type Value = Option<Vec<String>>;

    fn read(&self, name: &str, fields: &mut Fields) -> Result<Self::Value> {
        fields.texts(name)
    }
}

#[cfg(test)]
mod tests;
