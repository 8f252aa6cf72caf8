//! The OpenAPI document, made from the route table and what stands beside the handlers.

use std::collections::BTreeMap;

use hyper::{Method, StatusCode};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::gateway::Gateway;
use prx_base::error::Code;
use prx_http::describe::Answers;
use prx_http::parameter::{Declared, Matching, Parameter};
use prx_http::{Access, Doc, Route};

/// What every answer carries.
const HEADERS: [(&str, &str, &str); 4] = [
    ("X-Request-Id", "string", "Names the request in the log"),
    ("X-RateLimit-Limit", "integer", "Requests per second that the caller may make in this group of routes"),
    ("X-RateLimit-Remaining", "integer", "Requests that the caller may make now"),
    ("X-RateLimit-Reset", "integer", "Unix second at which as many as ever may be made at once"),
];

/// What every POST with a token may carry.
const IDEMPOTENCY_KEY: Parameter<Matching> = Parameter::new(
    "Idempotency-Key",
    Matching("^[!-~]{1,255}$"),
    "the same request with the same key is done once and answered alike for 24 hours",
);

/// The OpenAPI document, 3.1.
#[derive(Serialize, JsonSchema)]
pub(super) struct Document {
    openapi: &'static str,
    info: Map<String, Value>,
    /// By path and method.
    paths: BTreeMap<String, Map<String, Value>>,
    components: Map<String, Value>,
}

/// The one form in which errors are told.
#[derive(JsonSchema)]
#[schemars(rename = "Error")]
#[expect(dead_code, reason = "only its schema is used; http/ makes the envelope")]
struct Envelope {
    error: ErrorDetail,
}

/// What went wrong.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used; http/ makes the envelope")]
struct ErrorDetail {
    code: String,
    message: String,
    #[schemars(required)]
    details: Option<Value>,
}

pub(super) const SHOW: Doc = Doc::new("Show this document").answers::<Document>(&[200]);

/// Describes a route table.
pub(super) fn document(table: &[Route<Gateway>]) -> Document {
    let settings = SchemaSettings::draft2020_12()
        .for_serialize()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut generator = SchemaGenerator::new(settings);
    let error = generator.subschema_for::<Envelope>();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for route in table {
        let Some(doc) = &route.doc else { continue };
        let method = route.method.as_str().to_lowercase();
        paths
            .entry(route.path.replace("{*", "{"))
            .or_default()
            .insert(method, operation(route, doc, &mut generator));
    }
    let info = [
        ("title", json!("PRX")),
        ("version", json!(env!("CARGO_PKG_VERSION"))),
        ("description", json!("The REST API of the PRX gateway.")),
        ("license", json!({"name": "Apache-2.0", "identifier": "Apache-2.0"})),
    ];
    let bearer = json!({
        "type": "http",
        "scheme": "bearer",
        "description": "A token that `prx auth token` made; the roles of a route are the scopes it must have.",
    });
    let headers = HEADERS.map(|(name, kind, about)| {
        (name.to_owned(), json!({"description": about, "schema": {"type": kind}}))
    });
    let responses = Code::ALL.iter().map(|code| (code.as_str().to_owned(), failure(*code, &error)));
    let components = [
        ("securitySchemes", json!({"bearer": bearer})),
        ("headers", Value::Object(headers.into_iter().collect())),
        ("responses", Value::Object(responses.collect())),
        ("schemas", Value::Object(generator.take_definitions(true))),
    ];
    Document { openapi: "3.1.0", info: owned(info), paths, components: owned(components) }
}

fn owned<const N: usize>(entries: [(&str, Value); N]) -> Map<String, Value> {
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn operation(route: &Route<Gateway>, doc: &Doc, generator: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "summary": doc.summary,
        "operationId": operation_id(route),
        "parameters": parameters(route, doc),
        "responses": responses(route, doc, generator),
    });
    operation["security"] = match route.access {
        Access::Public | Access::Health | Access::Signed => json!([]),
        Access::Token => json!([{"bearer": []}]),
        Access::Scope(scope) => json!([{"bearer": [scope.as_str()]}]),
        Access::Optional(scope) => json!([{}, {"bearer": [scope.as_str()]}]),
        Access::Either(one, other) => json!([{"bearer": [one.as_str()]}, {"bearer": [other.as_str()]}]),
    };
    let bodies = doc.takes.schemas().into_iter();
    let bodies: Map<_, _> =
        bodies.map(|(kind, schema)| (kind.to_owned(), json!({"schema": schema}))).collect();
    if !bodies.is_empty() {
        operation["requestBody"] = json!({"required": true, "content": bodies});
    }
    operation
}

/// Such as `post_sessions_id_messages`.
fn operation_id(route: &Route<Gateway>) -> String {
    let path = route.path.trim_start_matches("/api/v1");
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let method = route.method.as_str().to_lowercase();
    std::iter::once(method.as_str()).chain(words).collect::<Vec<_>>().join("_")
}

fn parameters(route: &Route<Gateway>, doc: &Doc) -> Vec<Value> {
    let in_path = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path.map(|name| name.trim_start_matches('*'));
    let in_path = in_path.map(|name| {
        json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}})
    });
    let in_query = doc.query.iter().map(|declared| parameter(*declared, "query"));
    let key: Option<&dyn Declared> = if takes_idempotency_key(route) { Some(&IDEMPOTENCY_KEY) } else { None };
    let in_header = doc.headers.iter().copied().chain(key).map(|declared| parameter(declared, "header"));
    in_path.chain(in_query).chain(in_header).collect()
}

/// Whether `Idempotency-Key` is looked at: it is its caller's, so there has to be one.
fn takes_idempotency_key(route: &Route<Gateway>) -> bool {
    route.method == Method::POST && !route.access.is_open()
}

fn parameter(declared: &dyn Declared, place: &str) -> Value {
    json!({
        "name": declared.name(),
        "in": place,
        "required": declared.is_required(),
        "description": declared.about(),
        "schema": declared.schema(),
    })
}

fn responses(route: &Route<Gateway>, doc: &Doc, generator: &mut SchemaGenerator) -> Value {
    let fails = failures(route, doc).into_iter().map(|code| {
        let place = format!("#/components/responses/{}", code.as_str());
        (code.status().to_string(), json!({"$ref": place}))
    });
    let mut responses: Map<String, Value> = fails.collect();
    let Answers { statuses, json, other } = doc.answers;
    let json = json.map(|schema| ("application/json", json!({"schema": schema(generator)})));
    let other = other.map(|kind| (kind, json!({"schema": {"type": "string"}})));
    let content: Map<_, _> =
        json.into_iter().chain(other).map(|(kind, content)| (kind.to_owned(), content)).collect();
    for status in statuses {
        let mut response = json!({"description": reason(*status), "headers": headers()});
        if !content.is_empty() {
            response["content"] = json!(content);
        }
        responses.insert(status.to_string(), response);
    }
    Value::Object(responses)
}

/// Everything that may go wrong with a request to this route.
fn failures(route: &Route<Gateway>, doc: &Doc) -> Vec<Code> {
    let mut codes =
        vec![Code::BadRequest, Code::Forbidden, Code::RateLimited, Code::Internal, Code::Unavailable];
    if !route.access.is_open() {
        codes.push(Code::Unauthorized);
    }
    if route.path.contains('{') {
        codes.push(Code::NotFound);
    }
    if takes_idempotency_key(route) {
        // These come with `Idempotency-Key`.
        codes.extend([Code::Conflict, Code::RequestTimeout]);
    }
    if !doc.takes.schemas().is_empty() {
        codes.extend([Code::RequestTimeout, Code::PayloadTooLarge, Code::UnsupportedMediaType]);
    }
    codes.extend(doc.fails);
    codes
}

fn failure(code: Code, schema: &schemars::Schema) -> Value {
    let mut headers = headers();
    if code == Code::RateLimited {
        headers["Retry-After"] = json!({"description": "Seconds to wait", "schema": {"type": "integer"}});
    }
    let content = json!({"application/json": {"schema": schema}});
    json!({"description": reason(code.status()), "headers": headers, "content": content})
}

fn headers() -> Value {
    let each =
        HEADERS.map(|(name, ..)| (name.to_owned(), json!({"$ref": format!("#/components/headers/{name}")})));
    Value::Object(Map::from_iter(each))
}

fn reason(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Done")
}
