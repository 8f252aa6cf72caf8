//! The OpenAPI document, made from the route table and what stands beside the handlers.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use hyper::{Method, StatusCode};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::gateway::Kernel;
use prx_base::error::{Code, Result};
use prx_http::describe::{Answers, Field, Shape};
use prx_http::{Access, Call, Doc, Reply, Route};

/// What every answer carries.
const HEADERS: [(&str, &str, &str); 4] = [
    ("X-Request-Id", "string", "Names the request in the log"),
    ("X-RateLimit-Limit", "integer", "Requests per second that the caller may make in this group of routes"),
    ("X-RateLimit-Remaining", "integer", "Requests that the caller may make now"),
    ("X-RateLimit-Reset", "integer", "Unix second at which as many as ever may be made at once"),
];

/// What every POST with a token may carry.
const KEY: Field = Field::new(
    "Idempotency-Key",
    Shape::Matching("^[!-~]{1,255}$"),
    "the same request with the same key is done once and answered alike for 24 hours",
);

/// The OpenAPI document, 3.1.
#[derive(Serialize, JsonSchema)]
struct Document {
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
    error: Told,
}

/// What went wrong.
#[derive(JsonSchema)]
#[schemars(rename = "ErrorDetail")]
#[expect(dead_code, reason = "only its schema is used; http/ makes the envelope")]
struct Told {
    code: String,
    message: String,
    #[schemars(required)]
    details: Option<Value>,
}

pub(super) const SHOW: Doc = Doc::new("Show this document").answers::<Document>(&[200]);

pub(super) async fn show(_: Arc<Kernel>, _: Call) -> Result<Reply> {
    static DOCUMENT: LazyLock<Document> = LazyLock::new(|| document(&super::table()));
    Reply::ok(&*DOCUMENT)
}

fn document(table: &[Route<Kernel>]) -> Document {
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

fn operation(route: &Route<Kernel>, doc: &Doc, generator: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "summary": doc.summary,
        "operationId": operation_id(route),
        "parameters": parameters(route, doc),
        "responses": responses(route, doc, generator),
    });
    operation["security"] = match route.access {
        Access::Public => json!([]),
        Access::Scope(scope) => json!([{"bearer": [scope.as_str()]}]),
    };
    if let Some((kind, schema)) = doc.takes.schema() {
        operation["requestBody"] = json!({"required": true, "content": {kind: {"schema": schema}}});
    }
    operation
}

/// Such as `post_sessions_id_messages`.
fn operation_id(route: &Route<Kernel>) -> String {
    let path = route.path.trim_start_matches("/api/v1");
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let method = route.method.as_str().to_lowercase();
    std::iter::once(method.as_str()).chain(words).collect::<Vec<_>>().join("_")
}

fn parameters(route: &Route<Kernel>, doc: &Doc) -> Vec<Value> {
    let in_path = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path.map(|name| name.trim_start_matches('*'));
    let in_path = in_path.map(|name| {
        json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}})
    });
    let in_query = doc.query.iter().map(|field| parameter(field, "query"));
    let key = may_repeat(route).then_some(&KEY);
    let in_header = doc.headers.iter().chain(key).map(|field| parameter(field, "header"));
    in_path.chain(in_query).chain(in_header).collect()
}

/// Whether `Idempotency-Key` is looked at: it is its caller's, so there has to be one.
fn may_repeat(route: &Route<Kernel>) -> bool {
    route.method == Method::POST && route.access != Access::Public
}

fn parameter(field: &Field, place: &str) -> Value {
    let Field { name, kind, required, about } = field;
    json!({"name": name, "in": place, "required": required, "description": about, "schema": kind.schema()})
}

fn responses(route: &Route<Kernel>, doc: &Doc, generator: &mut SchemaGenerator) -> Value {
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
fn failures(route: &Route<Kernel>, doc: &Doc) -> Vec<Code> {
    let mut codes =
        vec![Code::BadRequest, Code::Forbidden, Code::RateLimited, Code::Internal, Code::Unavailable];
    if route.access != Access::Public {
        codes.push(Code::Unauthorized);
    }
    if route.path.contains('{') {
        codes.push(Code::NotFound);
    }
    if may_repeat(route) {
        // These come with `Idempotency-Key`.
        codes.extend([Code::Conflict, Code::RequestTimeout]);
    }
    if doc.takes.schema().is_some() {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_holds_together() {
        let table = crate::api::table();
        let document = json!(document(&table));
        let text = document.to_string();
        for place in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(document.pointer(place).is_some(), "{place} leads nowhere");
        }
        let operations = document["paths"].as_object().expect("paths").values();
        let operations: Vec<_> =
            operations.flat_map(|path| path.as_object().expect("methods").values()).collect();
        assert_eq!(operations.len(), table.len());
        let ids: BTreeSet<_> = operations.iter().map(|operation| operation["operationId"].as_str()).collect();
        assert_eq!(ids.len(), operations.len(), "every operation has a name of its own");
    }

    #[test]
    fn a_session_is_described_as_it_is_shown() {
        let document = json!(document(&crate::api::table()));
        let session = &document["components"]["schemas"]["Session"];
        let mut required: Vec<_> = session["required"].as_array().expect("a list").iter().collect();
        required.sort_by_key(|name| name.as_str());
        let shown = [
            "channel",
            "created_at",
            "id",
            "last_activity",
            "metadata",
            "status",
            "token_usage",
            "turn_count",
            "user_id",
        ];
        assert_eq!(required, shown);
    }
}
