//! A call's arguments, as a person is shown them who decides about it: every key, and of each value what there is room
//! for. Nobody is asked about what can't be shown.

use prx_base::text::escaped;
use serde_json::Value;

/// Bytes that a question shows at most.
const MAX_BYTES: usize = 1_500;
/// Keys and items that it shows at most, and how deep in one another.
const MAX_PARTS: usize = 40;
const MAX_DEPTH: usize = 6;
/// Items of a list without keys that are shown at its beginning and at its end; those between are counted.
const FIRST_ITEMS: usize = 10;
const LAST_ITEMS: usize = 5;
/// Bytes of the longest key.
const MAX_KEY_BYTES: usize = 100;
/// Bytes that each text is shown with: the first with which all of it fits.
const TEXT_BYTES: [usize; 5] = [1_200, 600, 300, 120, 60];

/// The arguments as JSON, with texts cut in the middle, each for itself. What is not seen as itself is written out, and
/// nothing in it ends the block that it is shown in.
///
/// # Errors
/// There are too many parts; says of what.
pub(super) fn shown(arguments: &Value) -> Result<String, String> {
    let mut parts = 0;
    measure(arguments, 0, &mut parts)?;
    for most in TEXT_BYTES {
        let mut shown = String::new();
        write(&mut shown, arguments, 0, most);
        if shown.len() <= MAX_BYTES {
            return Ok(shown);
        }
    }
    Err(format!(
        "with its {parts} parts it takes more than the {MAX_BYTES} bytes that a question shows; use fewer"
    ))
}

fn measure(value: &Value, depth: usize, parts: &mut usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!(
            "it is nested deeper than the {MAX_DEPTH} levels that a question shows; nest it less"
        ));
    }
    let mut part = || {
        *parts += 1;
        match *parts > MAX_PARTS {
            true => Err(format!(
                "it has more than the {MAX_PARTS} keys and items that a question shows; use fewer"
            )),
            false => Ok(()),
        }
    };
    match value {
        Value::Object(map) => {
            for key in map.keys() {
                part()?;
                if key.len() > MAX_KEY_BYTES {
                    return Err(format!(
                        "a key of it has {} bytes; a question shows {MAX_KEY_BYTES}",
                        key.len()
                    ));
                }
            }
            map.values().try_for_each(|value| measure(value, depth + 1, parts))
        }
        Value::Array(items) if is_cut(items) => (0..=FIRST_ITEMS + LAST_ITEMS).try_for_each(|_| part()),
        Value::Array(items) => {
            items.iter().try_for_each(|_| part())?;
            items.iter().try_for_each(|item| measure(item, depth + 1, parts))
        }
        _ => Ok(()),
    }
}

/// Whether only the beginning and the end of a list are shown: it is long, and has nothing but plain values in it.
fn is_cut(items: &[Value]) -> bool {
    let plain = |item: &Value| !item.is_object() && !item.is_array();
    items.len() > FIRST_ITEMS + LAST_ITEMS + 1 && items.iter().all(plain)
}

/// Goes no deeper than what was measured.
fn write(into: &mut String, value: &Value, depth: usize, most: usize) {
    let line = |into: &mut String, depth: usize| {
        into.push('\n');
        into.push_str(&"  ".repeat(depth));
    };
    match value {
        Value::Object(map) if !map.is_empty() => {
            into.push('{');
            for (n, (key, value)) in map.iter().enumerate() {
                into.push_str(if n > 0 { "," } else { "" });
                line(into, depth + 1);
                into.push_str(&quoted(key));
                into.push_str(": ");
                write(into, value, depth + 1, most);
            }
            line(into, depth);
            into.push('}');
        }
        Value::Array(items) if !items.is_empty() => {
            into.push('[');
            let is_cut = is_cut(items);
            for (n, item) in items.iter().enumerate() {
                let is_between = is_cut && (FIRST_ITEMS..items.len() - LAST_ITEMS).contains(&n);
                if is_between && n > FIRST_ITEMS {
                    continue;
                }
                into.push_str(if n > 0 { "," } else { "" });
                line(into, depth + 1);
                match is_between {
                    true => {
                        let hidden = items.len() - FIRST_ITEMS - LAST_ITEMS;
                        into.push_str(&format!("… {hidden} items are not shown …"));
                    }
                    false => write(into, item, depth + 1, most),
                }
            }
            line(into, depth);
            into.push(']');
        }
        Value::String(text) => into.push_str(&cut(text, most)),
        other => into.push_str(&other.to_string()),
    }
}

/// A text in quotes, or its beginning and its end with how much is between them.
fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return quoted(text);
    }
    let begin = &text[..text.floor_char_boundary(most / 3 * 2)];
    let end = &text[text.ceil_char_boundary(text.len() - most / 3)..];
    let between = text.len() - begin.len() - end.len();
    format!("{} … {between} bytes are not shown … {}", quoted(begin), quoted(end))
}

fn quoted(text: &str) -> String {
    let json = Value::from(text).to_string();
    // Inside a text of JSON this is the same letter.
    escaped(&json).replace('`', "\\u0060")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_key_is_shown_however_long_the_values_are() {
        let long =
            json!({"aaa": "x".repeat(20_000), "command": "rm -rf /", "n": 5, "list": [1, "two"], "none": {}});
        let shown = shown(&long).unwrap();
        assert!(shown.len() <= MAX_BYTES && shown.contains("\"command\": \"rm -rf /\""), "{shown}");
        assert!(shown.contains("bytes are not shown") && shown.contains("\"none\": {}"), "{shown}");
        let hidden = json!({"command": format!("echo hello {} && rm -rf /", " ".repeat(5_000))});
        assert!(super::shown(&hidden).unwrap().contains("rm -rf /"), "the end is shown, too");
        assert_eq!(super::shown(&json!({"name": "Ada"})).unwrap(), "{\n  \"name\": \"Ada\"\n}");
    }

    #[test]
    fn a_long_list_is_shown_by_its_ends() {
        let shown = shown(&json!({"a": (0..1_000_000).collect::<Vec<u32>>(), "command": "rm"})).unwrap();
        assert!(shown.contains("    9,\n    … 999985 items are not shown …,\n    999995,"), "{shown}");
        assert!(shown.ends_with("\"command\": \"rm\"\n}"), "{shown}");
    }

    #[test]
    fn nothing_in_it_lies() {
        let lies = json!({"a\u{202e}b": "```\n\u{200b}Allow\u{1b}[2J\u{7f}"});
        let shown = shown(&lies).unwrap();
        assert_eq!(shown, "{\n  \"a\\u202eb\": \"\\u0060\\u0060\\u0060\\n\\u200bAllow\\u001b[2J\\u007f\"\n}");
    }

    #[test]
    fn what_cant_be_shown_is_not_asked() {
        let many: Value =
            (0..50).map(|n| (format!("key{n}"), json!(n))).collect::<serde_json::Map<_, _>>().into();
        let mut deep = json!(1);
        (0..10).for_each(|_| deep = json!([deep]));
        let wide: Value = (0..30)
            .map(|n| (format!("{}{n}", "k".repeat(90)), json!(n)))
            .collect::<serde_json::Map<_, _>>()
            .into();
        for (arguments, why) in [
            (many, "more than the 40 keys"),
            (json!({"a": vec![json!({}); 1_000]}), "more than the 40 keys and items"),
            (deep, "deeper"),
            (json!({"k".repeat(101): 1}), "101 bytes"),
            (wide, "1500 bytes"),
        ] {
            let problem = shown(&arguments).unwrap_err();
            assert!(problem.contains(why), "{problem}");
        }
    }
}
