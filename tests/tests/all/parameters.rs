//! Every parameter, every field and every key of the configuration, with every kind of wrong value: a 400 that names
//! it and says what it takes.
use bytes::Bytes;
use hyper::Method;
use prx_tests::client::{Answer, Client};
use prx_tests::gateway::Gateway;
use serde_json::{Map, Value, json};

/// One operation of the OpenAPI document.
struct Operation<'a> {
    method: Method,
    path: String,
    about: &'a Value,
}

fn operations(document: &Value) -> impl Iterator<Item = Operation<'_>> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, methods)| {
        // Where a name is wanted, any will do: what is asked is looked at before whom it is about.
        let path = path.replace(['{', '}'], "");
        methods.as_object().unwrap().iter().map(move |(method, about)| {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            Operation { method, path: path.clone(), about }
        })
    })
}

/// Values that a schema doesn't allow in a query, and what a refusal has to say.
fn wrong_texts(schema: &Value) -> (Vec<String>, Vec<String>) {
    let words: Vec<String> = schema["enum"].as_array().into_iter().flatten().map(text).collect();
    let bounds = ["minimum", "maximum"].map(|bound| schema[bound].as_i64());
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    match schema["type"].as_str().unwrap() {
        "integer" => {
            let [least, most] = bounds;
            let beyond = [least.map(|least| least - 1), most.map(|most| most + 1)];
            let mut wrong = texts(&["many", "", "1.5", "1e3", "99999999999999999999"]);
            wrong.extend(beyond.into_iter().flatten().map(|number| number.to_string()));
            (wrong, bounds.into_iter().flatten().map(|bound| bound.to_string()).collect())
        }
        "boolean" => (texts(&["maybe", "1", "True"]), texts(&["true", "false"])),
        "string" if !words.is_empty() => (texts(&["nonsense", "", &words[0].to_uppercase()]), words),
        "string" if schema["pattern"] == NOT_BLANK => (texts(&["", "%20"]), Vec::new()),
        "string" if schema.get("pattern").is_some() => (texts(&["-", "%20", "nonsense"]), Vec::new()),
        _ => (Vec::new(), Vec::new()),
    }
}

/// What the document says of text that isn't blank.
const NOT_BLANK: &str = r"\S";

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[track_caller]
fn refused(answer: &Answer, name: &str, words: &[String], what: &str) {
    let reason = answer.error(400, "bad_request");
    assert!(reason.contains(&format!("`{name}`")), "{what} names {name}: {reason}");
    for word in words {
        assert!(reason.contains(word.as_str()), "{what} says {word}: {reason}");
    }
}

#[tokio::test]
async fn a_parameter_that_makes_no_sense_is_named_with_what_it_takes() {
    let gateway = Gateway::start("").await;
    let client = gateway.client();
    let document = client.get("/openapi.json").await.expect(200);
    let mut tried = 0;
    for Operation { method, path, about } in operations(&document) {
        for parameter in about["parameters"].as_array().unwrap() {
            let name = text(&parameter["name"]);
            let (wrong, words) = wrong_texts(&parameter["schema"]);
            let send = async |query: &str, header: Option<&str>| {
                let request = client.bare(method.clone(), &format!("{path}?{query}"));
                let request = header.into_iter().fold(request, |request, value| request.header(&name, value));
                client.send(request, Bytes::new()).await
            };
            match parameter["in"].as_str().unwrap() {
                "query" => {
                    for value in &wrong {
                        let query = format!("{name}={value}");
                        refused(
                            &send(&query, None).await,
                            &name,
                            &words,
                            &format!("{method} {path}?{query}"),
                        );
                    }
                    let twice = format!("{name}=1h&{name}=1h");
                    refused(
                        &send(&twice, None).await,
                        &name,
                        &["once".to_owned()],
                        &format!("{path}?{twice}"),
                    );
                    tried += 1;
                }
                "header" if !wrong.is_empty() => {
                    refused(
                        &send("stream=true", Some("")).await,
                        &name,
                        &[],
                        &format!("{method} {path} with an empty {name}"),
                    );
                    tried += 1;
                }
                _ => {}
            }
        }
    }
    assert!(tried > 30, "{tried} parameters are a few");
}

/// A value that a field takes.
fn right(schema: &Value) -> Value {
    match schema["type"].as_str() {
        Some("array") => json!([schema["items"]["enum"].get(0).unwrap_or(&json!("word"))]),
        Some("object") => json!({}),
        Some("integer") => schema["minimum"].clone(),
        Some("boolean") => json!(true),
        _ => json!("https://example.com/"),
    }
}

/// Values that a field doesn't take, each with words of the refusal.
fn wrong(schema: &Value) -> Vec<(Value, Vec<String>)> {
    let words: Vec<String> = schema["items"]["enum"].as_array().into_iter().flatten().map(text).collect();
    let said = |values: Vec<Value>, word: &str| {
        values.into_iter().map(|value| (value, vec![word.to_owned()])).collect::<Vec<_>>()
    };
    match schema["type"].as_str() {
        Some("array") => {
            let mut wrong =
                said(vec![json!("x"), json!(7), json!({}), json!([7]), json!([null])], "list of strings");
            if !words.is_empty() {
                wrong.push((json!(["nonsense"]), words));
            }
            if schema["minItems"] == 1 {
                wrong.push((json!([]), Vec::new()));
            }
            wrong
        }
        Some("object") => said(vec![json!("x"), json!(7), json!([]), json!(true)], "an object"),
        Some("integer") => said(vec![json!("x"), json!({}), json!(1.5)], "number"),
        Some("boolean") => said(vec![json!("x"), json!(7)], "true"),
        _ => {
            let mut wrong = said(vec![json!(7), json!([]), json!({}), json!(false)], "a string");
            wrong.push((json!(" "), vec!["empty".to_owned()]));
            if let Some(most) = schema["maxLength"].as_u64() {
                let most = usize::try_from(most).unwrap();
                wrong.push((json!("é".repeat(most + 1)), vec![format!("{most} characters")]));
                wrong.push((json!("a\u{202e}b"), vec!["\\u{202e}".to_owned()]));
            } else if schema["pattern"] != NOT_BLANK {
                wrong.push((json!("nonsense"), Vec::new()));
            }
            wrong
        }
    }
}

/// The fields of a request's body; none if it takes no fields.
fn fields(about: &Value) -> Option<&Map<String, Value>> {
    about["requestBody"]["content"]["application/json"]["schema"]["properties"].as_object()
}

/// What a field takes besides `null`.
fn schema(field: &Value) -> &Value {
    field["anyOf"].as_array().map_or(field, |either| &either[0])
}

async fn send(client: &Client, operation: &Operation<'_>, body: &Value) -> Answer {
    let request = client.bare(operation.method.clone(), &operation.path);
    client.send(request.header("content-type", "application/json"), body.to_string().into()).await
}

#[tokio::test]
async fn a_field_that_makes_no_sense_is_named_with_what_it_takes() {
    let gateway = Gateway::start("").await;
    let client = gateway.client();
    let document = client.get("/openapi.json").await.expect(200);
    let mut tried = 0;
    for operation in operations(&document) {
        // What a grant takes is said in the words of the configuration; its own tests hold it to them.
        if operation.path.ends_with("/grants") {
            continue;
        }
        let Some(fields) = fields(operation.about) else { continue };
        let sound: Map<_, _> = fields
            .iter()
            .filter(|(_, field)| field.get("anyOf").is_none())
            .map(|(name, field)| (name.clone(), right(field)))
            .collect();
        for (name, field) in fields {
            for (value, words) in wrong(schema(field)) {
                let mut body = sound.clone();
                body.insert(name.clone(), value);
                let body = Value::Object(body);
                let what = format!("{} {} {body}", operation.method, operation.path);
                refused(&send(client, &operation, &body).await, name, &words, &what);
                tried += 1;
            }
            if field.get("anyOf").is_none() {
                let mut body = sound.clone();
                body.remove(name);
                let what = format!("{} without {name}", operation.path);
                refused(
                    &send(client, &operation, &Value::Object(body)).await,
                    name,
                    &["missing".to_owned()],
                    &what,
                );
            }
        }
    }
    assert!(tried > 40, "{tried} wrong values are a few");
    assert_eq!(gateway.sessions("api").await.len(), 0, "nothing was made of any of them");
    assert_eq!(client.get("/hooks").await.expect(200), json!({"hooks": []}));
    assert_eq!(client.get("/auth/tokens").await.expect(200)["tokens"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_setting_that_makes_no_sense_is_named_with_what_it_takes() {
    let gateway = Gateway::start("").await;
    let client = gateway.client();
    let before = client.get("/config").await.expect(200);
    let sections = before.as_object().unwrap().iter().flat_map(|(section, keys)| {
        keys.as_object().unwrap().iter().map(move |(key, value)| (format!("{section}.{key}"), value.clone()))
    });
    let settings: Vec<(String, Value)> = sections.filter(|(_, value)| !value.is_object()).collect();
    assert!(settings.len() > 25, "{settings:?}");
    for (key, value) in &settings {
        let (wrong, takes) = match value {
            Value::Number(_) => {
                (vec![json!("many"), json!(-1), json!(1.5), json!(u64::MAX)], "a whole number from ")
            }
            Value::Bool(_) => (vec![json!("maybe"), json!(1)], "true or false"),
            Value::Array(_) => (vec![json!("x"), json!([1])], "a list of "),
            _ => (vec![json!(7), json!(["x"])], "takes "),
        };
        for wrong in wrong {
            let changes = json!({"agent.max_turns": 7, key: wrong});
            let reason = client.patch("/config", changes).await.error(400, "bad_request");
            assert!(reason.contains(key.as_str()) && reason.contains(takes), "{key} = {wrong}: {reason}");
        }
    }
    assert_eq!(client.get("/config").await.expect(200), before, "a bad key keeps every other from changing");
}
