//! What a server asks a person, read as far as yes or no answers it.

use serde_json::{Map, Value};
use url::Url;

use super::discovery::is_shielded;
use prx_base::text::{escaped, is_seen};
use prx_store::Elicitation;

/// Longest text that a person is shown, in bytes. Nobody is asked what is cut.
const MAX_MESSAGE_BYTES: usize = 4 << 10;
/// Longest URL that a person is shown, in bytes.
const MAX_URL_BYTES: usize = 1 << 10;
/// Most fields of a form that are looked at.
const MAX_FIELDS: usize = 32;
/// Names of fields that a refusal repeats, and how much of each, in characters.
const NAMED_FIELDS: usize = 4;
const MAX_NAME_CHARS: usize = 64;

/// The parameters of `elicitation/create`. `number`: which question of its call it is.
///
/// # Errors
/// It asks for more than yes or no, or can't be shown; says what.
pub(super) fn read(params: &Value, number: u32) -> Result<Elicitation, String> {
    let message = params["message"].as_str().unwrap_or_default().trim();
    if !message.chars().any(|c| is_seen(c) && c != ' ') {
        return Err("it has no text".into());
    }
    if message.len() > MAX_MESSAGE_BYTES {
        return Err(format!(
            "its text has {} bytes, and a person is shown {MAX_MESSAGE_BYTES} at most",
            message.len()
        ));
    }
    let (url, content) = match &params["mode"] {
        Value::Null => (None, Some(form(&params["requestedSchema"])?)),
        Value::String(mode) if mode == "form" => (None, Some(form(&params["requestedSchema"])?)),
        Value::String(mode) if mode == "url" => (Some(page(&params["url"])?), None),
        _ => return Err("it asks neither with a form nor with a URL".into()),
    };
    Ok(Elicitation { number, message: message.to_owned(), url, content })
}

/// What yes fills a form in with: whatever is yes or no, and what the server itself puts in for the rest. The only field
/// that is yes or no is what the question is about; of several, those with a default keep it.
fn form(schema: &Value) -> Result<Value, String> {
    let none = Map::new();
    let fields = schema["properties"].as_object().unwrap_or(&none);
    if fields.len() > MAX_FIELDS {
        return Err(format!("its form has {} fields, and {MAX_FIELDS} are the most", fields.len()));
    }
    let is_flag = |field: &Value| field["type"] == "boolean";
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let open: Vec<&str> = required.filter(|name| !fields.get(*name).is_some_and(is_flag)).collect();
    if !open.is_empty() {
        return Err(format!("it wants {} filled in, and only yes or no can be answered here", named(&open)));
    }
    let is_only_flag = fields.values().filter(|field| is_flag(field)).count() == 1;
    let mut content = Map::new();
    for (name, field) in fields {
        let default = field.get("default").filter(|default| !default.is_null());
        let value = match is_flag(field) {
            true if is_only_flag => Some(Value::Bool(true)),
            true => {
                Some(default.filter(|default| default.is_boolean()).cloned().unwrap_or(Value::Bool(true)))
            }
            false => default.cloned(),
        };
        content.extend(value.map(|value| (name.clone(), value)));
    }
    if content.is_empty() && !fields.is_empty() {
        let names: Vec<&str> = fields.keys().map(String::as_str).collect();
        return Err(format!("it asks for {}, and only yes or no can be answered here", named(&names)));
    }
    Ok(Value::Object(content))
}

/// Names of a form's fields, as many as fit into a sentence.
fn named(names: &[&str]) -> String {
    let shown = names.iter().take(NAMED_FIELDS);
    let shown = shown.map(|name| escaped(name).chars().take(MAX_NAME_CHARS).collect::<String>());
    let shown = shown.collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_FIELDS) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A page that a person may be shown, as a URL in ASCII without backticks.
fn page(given: &Value) -> Result<String, String> {
    let given = given.as_str().unwrap_or_default();
    if given.len() > MAX_URL_BYTES {
        return Err(format!(
            "its URL has {} bytes, and a person is shown {MAX_URL_BYTES} at most",
            given.len()
        ));
    }
    let url = Url::parse(given).map_err(|_| "the page that it wants opened has no URL".to_owned())?;
    if !is_shielded(&url) {
        return Err("the page that it wants opened is not reached by https".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("its URL names a user, which hides where it leads".into());
    }
    let shown = url.as_str().replace('`', "%60");
    match shown.len() > MAX_URL_BYTES {
        true => Err(format!("its URL is longer than the {MAX_URL_BYTES} bytes that a person is shown")),
        false => Ok(shown),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yes_fills_in_what_is_yes_or_no_and_what_the_server_puts_in() {
        let flag = |default: Value| json!({"type": "boolean", "default": default});
        for (properties, required, content) in [
            (json!({}), json!([]), json!({})),
            (json!({"sure": {"type": "boolean"}}), json!(["sure"]), json!({"sure": true})),
            (json!({"sure": flag(json!(false))}), json!([]), json!({"sure": true})),
            (
                json!({"sure": {"type": "boolean"}, "news": flag(json!(false)), "more": flag(json!("x"))}),
                json!(["sure"]),
                json!({"sure": true, "news": false, "more": true}),
            ),
            (
                json!({"sure": flag(json!(false)), "date": {"type": "string", "default": "today"}, "note": {"type": "string"}}),
                json!(["sure"]),
                json!({"sure": true, "date": "today"}),
            ),
        ] {
            let schema = json!({"type": "object", "properties": properties, "required": required});
            let asked = read(&json!({"message": " Sure? ", "requestedSchema": schema}), 1).unwrap();
            assert_eq!((asked.message.as_str(), &asked.url), ("Sure?", &None));
            assert_eq!(asked.content, Some(content), "{schema}");
        }
        assert_eq!(read(&json!({"message": "Sure?"}), 1).unwrap().content, Some(json!({})));
    }

    #[test]
    fn what_yes_or_no_does_not_answer_is_not_asked() {
        let refused = |params: Value| read(&params, 1).unwrap_err();
        let form =
            |schema: Value| refused(json!({"message": "Who?", "mode": "form", "requestedSchema": schema}));
        let text = json!({"type": "string"});
        let many: Map<String, Value> = (0..40).map(|n| (format!("f{n}"), text.clone())).collect();
        insta::assert_snapshot!(
            form(json!({"properties": {"name": text, "sure": {"type": "boolean"}}, "required": ["name", "sure"]})),
            @"it wants name filled in, and only yes or no can be answered here"
        );
        insta::assert_snapshot!(
            form(json!({"properties": {}, "required": ["a\u{202e}", "b", "c", "d", "e", "f"]})),
            @r"it wants a\u202e, b, c, d and 2 more filled in, and only yes or no can be answered here"
        );
        insta::assert_snapshot!(
            form(json!({"properties": {"colour": {"type": "string", "enum": ["red", "blue"]}}})),
            @"it asks for colour, and only yes or no can be answered here"
        );
        insta::assert_snapshot!(form(json!({"properties": many})), @"its form has 40 fields, and 32 are the most");
        insta::assert_snapshot!(refused(json!({"message": " "})), @"it has no text");
        insta::assert_snapshot!(refused(json!({"message": "\u{200b}"})), @"it has no text");
        insta::assert_snapshot!(refused(json!(null)), @"it has no text");
        insta::assert_snapshot!(
            refused(json!({"message": "x".repeat(5_000)})),
            @"its text has 5000 bytes, and a person is shown 4096 at most"
        );
        insta::assert_snapshot!(
            refused(json!({"message": "Look", "mode": "video"})),
            @"it asks neither with a form nor with a URL"
        );
    }

    #[test]
    fn a_page_is_one_that_can_be_shown() {
        let page = |url: &str| read(&json!({"message": "Open it", "mode": "url", "url": url}), 1);
        let shown = |url: &str| page(url).map(|asked| (asked.url.unwrap_or_default(), asked.content));
        for (url, wanted) in [
            ("https://example.org/a?b=`c d", "https://example.org/a?b=%60c%20d"),
            ("https://bücher.example/\u{202e}x", "https://xn--bcher-kva.example/%E2%80%AEx"),
            ("http://127.0.0.1:8000/login", "http://127.0.0.1:8000/login"),
            ("http://[::1]/", "http://[::1]/"),
            ("http://localhost:1/", "http://localhost:1/"),
        ] {
            assert_eq!(shown(url), Ok((wanted.to_owned(), None)), "{url}");
        }
        for (url, why) in [
            ("http://example.org/", "https"),
            ("http://localhost.example.org/", "https"),
            ("ftp://127.0.0.1/", "https"),
            ("javascript:alert(1)", "https"),
            ("https://bank.example@evil.example/", "names a user"),
            ("nowhere", "no URL"),
            ("", "no URL"),
        ] {
            let refused = page(url).unwrap_err();
            assert!(refused.contains(why), "{url}: {refused}");
        }
        assert!(page(&format!("https://example.org/{}", "é".repeat(400))).unwrap_err().contains("1024"));
    }
}
