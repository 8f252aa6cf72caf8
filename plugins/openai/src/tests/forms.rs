//! Servers that want a request in another form say so, and get it.

use super::*;

/// Asks a server that refuses with this, until `takes` says that the body is as it wants it. Every body that was sent.
fn until_taken(
    keys: Value,
    request: Request,
    refusal: (u16, Value),
    takes: impl Fn(&http::Request, &Value) -> bool + 'static,
) -> (Outcome, Vec<Value>) {
    configure(keys);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let keep = Rc::clone(&seen);
    testing::serve(move |request| {
        let asked = body(request);
        keep.borrow_mut().push(asked.clone());
        if !takes(request, &asked) {
            return Ok(Response::new(refusal.0, refusal.1.to_string()));
        }
        let answer = json!({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]});
        Ok(Response::new(200, answer.to_string()))
    });
    let outcome = complete(request);
    (outcome, seen.take())
}

fn refusal(message: &str, code: Option<&str>) -> (u16, Value) {
    (400, json!({"error": {"message": message, "type": "invalid_request_error", "code": code}}))
}

fn with_tools(count: usize, schema: Value, description: &str) -> Request {
    let mut wanted = request(vec![user("Hello")]);
    let tool = |n: usize| ToolSpec {
        name: format!("t{n}"),
        description: description.to_owned(),
        parameters: schema.to_string(),
    };
    wanted.tools = (0..count).map(tool).collect();
    wanted
}

#[test]
fn the_newer_name_for_the_most_tokens() {
    let says = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
    let (outcome, bodies) = until_taken(
        json!({"max_tokens": 50}),
        request(vec![user("Hello")]),
        refusal(says, Some("unsupported_parameter")),
        |_, body| body.get("max_tokens").is_none(),
    );
    assert_eq!(outcome.0.unwrap().text, "Hi");
    assert_eq!((bodies.len(), &bodies[1]["max_completion_tokens"]), (2, &json!(50)));
    let again = complete(request(vec![user("Hello")])).0;
    assert_eq!(again.unwrap().text, "Hi", "it is known from then on");
}

#[test]
fn as_many_tools_as_the_server_takes() {
    for says in [
        "Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length 130 instead.",
        "'tools' : maximum number of items is 128",
        "Too many tools: 130, at most 128 are allowed",
    ] {
        let (outcome, bodies) = until_taken(
            json!({ "model": says }),
            with_tools(130, json!({"type": "object"}), ""),
            refusal(says, None),
            |_, body| body["tools"].as_array().is_some_and(|tools| tools.len() <= 128),
        );
        assert_eq!((outcome.0.unwrap().text.as_str(), bodies.len()), ("Hi", 2), "{says}");
        let tools = bodies[1]["tools"].as_array().unwrap();
        assert_eq!((tools.len(), &tools[127]["function"]["name"]), (128, &json!("t127")));
    }
}

#[test]
fn schemas_and_descriptions_that_the_server_takes() {
    let schema = json!({"properties": {"a": {"oneOf": [{}]}}, "oneOf": [{}], "not": {}, "required": ["a"]});
    let says = "Invalid schema for function 't0': schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level.";
    let (outcome, bodies) = until_taken(
        json!({}),
        with_tools(1, schema.clone(), ""),
        refusal(says, Some("invalid_function_parameters")),
        |_, body| body["tools"][0]["function"]["parameters"].get("oneOf").is_none(),
    );
    assert_eq!(outcome.0.unwrap().text, "Hi");
    assert_eq!(bodies[0]["tools"][0]["function"]["parameters"]["oneOf"], schema["oneOf"], "others take more");
    let left = json!({"type": "object", "properties": {"a": {"oneOf": [{}]}}, "required": ["a"]});
    assert_eq!(bodies[1]["tools"][0]["function"]["parameters"], left);

    let says = "Invalid 'tools[0].function.description': string too long. Expected a string with maximum length 1024, but got a string with length 1100 instead.";
    let (outcome, bodies) = until_taken(
        json!({}),
        with_tools(1, json!({}), &"é".repeat(1_100)),
        refusal(says, Some("string_above_max_length")),
        |_, body| body["tools"][0]["function"]["description"].as_str().unwrap().chars().count() <= 1_024,
    );
    assert_eq!((outcome.0.unwrap().text.as_str(), bodies.len()), ("Hi", 2));
}

#[test]
fn fields_that_a_server_does_not_know_are_left_out() {
    for (field, status, says) in [
        (
            "stream_options",
            422,
            json!({"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]}),
        ),
        (
            "temperature",
            400,
            json!({"error": {"message": "Unsupported value: 'temperature' does not support 0.5 with this model.", "code": "unsupported_value"}}),
        ),
        (
            "reasoning_effort",
            400,
            json!({"error": {"message": "Unrecognized request argument supplied: reasoning_effort"}}),
        ),
        (
            "tools",
            400,
            json!({"error": {"message": "registry.ollama.ai/library/gemma does not support tools"}}),
        ),
    ] {
        let (outcome, bodies) = until_taken(
            json!({"temperature": 0.5, "effort": "low", "model": field}),
            with_tools(1, json!({}), ""),
            (status, says),
            move |_, body| body.get(field).is_none(),
        );
        assert_eq!((outcome.0.unwrap().text.as_str(), bodies.len()), ("Hi", 2), "{field}");
        assert_eq!(
            bodies[0].as_object().unwrap().len(),
            bodies[1].as_object().unwrap().len() + 1,
            "only {field}"
        );
    }
    let says = "Unsupported value: 'reasoning_effort' does not support 'much' with this model.";
    let (outcome, bodies) = until_taken(
        json!({"effort": "much"}),
        request(vec![user("Hello")]),
        refusal(says, Some("unsupported_value")),
        |_, _| false,
    );
    let failure = outcome.0.unwrap_err();
    assert!(
        failure.fault.message.contains("providers_config.openai.effort") && bodies.len() == 1,
        "{failure:?}"
    );
}

#[test]
fn the_other_of_two_addresses() {
    for (base_url, right) in [
        ("http://127.0.0.1:9", "http://127.0.0.1:9/chat/completions"),
        ("http://127.0.0.1:9/proxy", "http://127.0.0.1:9/proxy/v1/chat/completions"),
        ("http://127.0.0.1:9/v1", "http://127.0.0.1:9/chat/completions"),
    ] {
        let (outcome, bodies) = until_taken(
            json!({ "base_url": base_url }),
            request(vec![user("Hello")]),
            (404, json!({"detail": "Not Found"})),
            move |request, _| request.url == right,
        );
        assert_eq!((outcome.0.unwrap().text.as_str(), bodies.len()), ("Hi", 2), "{base_url}");
    }
    let (outcome, bodies) = until_taken(
        json!({}),
        request(vec![user("Hello")]),
        (404, json!({"detail": "Not Found"})),
        |_, _| false,
    );
    let failure = outcome.0.unwrap_err();
    assert!(failure.fault.message.contains("openai.base_url") && bodies.len() == 2, "{failure:?}");
}

#[test]
fn a_server_that_always_wants_another_form_is_given_up() {
    configure(json!({"max_tokens": 5, "temperature": 0.5, "effort": "low"}));
    let mut asked = 0;
    let fields =
        ["max_completion_tokens", "temperature", "reasoning_effort", "stream_options", "v1/responses"];
    testing::serve(move |_| {
        let says = format!("unknown: {}", fields[asked % fields.len()]);
        asked += 1;
        assert!(asked < 20, "it goes on for ever");
        Ok(Response::new(400, json!({ "error": says }).to_string()))
    });
    assert!(!complete(request(vec![user("Hello")])).0.unwrap_err().retryable);
}

#[test]
fn what_is_set_is_not_learned() {
    let schema = json!({"type": "object", "properties": {}, "oneOf": [{}]});
    let set =
        json!({"max_tokens": 50, "token_limit": "max_completion_tokens", "max_tools": 3, "schemas": "plain"});
    let asked = until_taken(set, with_tools(5, schema.clone(), ""), refusal("no", None), |_, _| true).1;
    assert_eq!((asked.len(), &asked[0]["max_completion_tokens"]), (1, &json!(50)));
    assert_eq!(asked[0].get("max_tokens"), None);
    let tools = asked[0]["tools"].as_array().unwrap();
    assert_eq!(tools.len(), 3);
    assert!(tools.iter().all(|tool| tool["function"]["parameters"].get("oneOf").is_none()), "{tools:?}");

    for (set, says, setting) in [
        (
            json!({"model": "a", "token_limit": "max_tokens", "max_tokens": 50}),
            "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            "providers_config.openai.max_tokens and token_limit",
        ),
        (
            json!({"model": "b", "max_tools": 5}),
            "Invalid 'tools': array too long. Expected an array with maximum length 2.",
            "providers_config.openai.max_tools",
        ),
        (
            json!({"model": "c", "schemas": "whole"}),
            "Invalid schema for function 't0': schema must not have 'oneOf' at the top level ('tools[0]').",
            "providers_config.openai.schemas",
        ),
    ] {
        let (outcome, asked) =
            until_taken(set, with_tools(5, schema.clone(), ""), refusal(says, None), |_, _| false);
        let message = outcome.0.unwrap_err().fault.message;
        assert!(asked.len() == 1 && message.contains(setting), "{}: {message}", asked.len());
    }
}

#[test]
fn a_refusal_that_says_nothing_teaches_nothing() {
    for said in ["Bad request.", "Invalid request", "Unprocessable entity", ""] {
        let mut wanted = with_tools(5, json!({"oneOf": [{}]}), "Does things");
        wanted.options = json!({"max_tokens": 50, "temperature": 0.5, "effort": "low"}).to_string();
        let refused = (
            400,
            json!({"error": {"message": said, "type": "invalid_request_error", "code": "bad_request"}}),
        );
        let (outcome, asked) = until_taken(json!({"model": said}), wanted, refused, |_, _| false);
        assert!(outcome.0.is_err() && asked.len() == 1, "{said}: asked {} times", asked.len());
    }
}
