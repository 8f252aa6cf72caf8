//! Short links, at `/ext/short-links/`. Anyone may follow one; whoever has a token with `tools:write` may list, make and
//! remove them:
//!
//! ```console
//! $ curl -H "Authorization: Bearer $TOKEN" -d '{"url": "https://example.org/a/long/one", "name": "one"}' localhost:3120/ext/short-links/
//! {"name":"one","path":"/ext/short-links/one","url":"https://example.org/a/long/one"}
//! $ curl -i localhost:3120/ext/short-links/one
//! HTTP/1.1 302 Found
//! ```

use prx_sdk::kv;
use prx_sdk::route::{Fault, Request, Response, Route};
use serde::Deserialize;
use serde_json::{Value, json};

/// Most bytes of an address.
const MAX_URL: usize = 2000;
/// Most bytes of a name.
const MAX_NAME: usize = 64;

/// A link to be made.
#[derive(Deserialize)]
struct NewLink {
    url: String,
    /// A number if it is not said.
    name: Option<String>,
}

/// The links.
pub struct ShortLinks;

impl Route for ShortLinks {
    fn handle(mut request: Request) -> Result<Response, Fault> {
        let segments = request.segments();
        let is_known = request.caller().is_some();
        match (request.method.as_str(), &segments[..]) {
            ("GET" | "HEAD", [name]) => follow(name),
            _ if !is_known => Ok(Response::status(401).with("www-authenticate", "Bearer")),
            ("GET" | "HEAD", []) => list(request.prefix()),
            ("POST", []) => make(request.body.json()?, request.prefix()),
            ("DELETE", [name]) => remove(name),
            (_, [] | [_]) => Ok(Response::status(405).with("allow", "GET, HEAD, POST, DELETE")),
            _ => Ok(Response::status(404)),
        }
    }
}

fn follow(name: &str) -> Result<Response, Fault> {
    Ok(kv::get(&key(name))?
        .map_or_else(|| Response::status(404), |url| Response::redirect(&String::from_utf8_lossy(&url))))
}

fn list(prefix: &str) -> Result<Response, Fault> {
    let mut links = Vec::new();
    for key in kv::keys("link/", None)? {
        let url = kv::get(&key)?.unwrap_or_default();
        links.push(shown(&key["link/".len()..], &String::from_utf8_lossy(&url), prefix));
    }
    Ok(Response::json(&json!({"links": links})))
}

fn make(new: NewLink, prefix: &str) -> Result<Response, Fault> {
    let NewLink { url, name } = new;
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    if !is_web || url.len() > MAX_URL || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Fault::bad_input(format!(
            "url: takes http:// or https:// and at most {MAX_URL} characters that need no encoding"
        )));
    }
    let name = match name {
        Some(name) => name,
        None => free_number()?,
    };
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(fits) {
        return Err(Fault::bad_input(format!("name: takes 1 to {MAX_NAME} of a-z, 0-9 and -")));
    }
    if kv::get(&key(&name))?.is_some() {
        let taken =
            json!({"error": {"code": "conflict", "message": format!("{name} is taken"), "details": null}});
        return Ok(Response::json(&taken).with_status(409));
    }
    kv::set(&key(&name), url.as_bytes())?;
    Ok(Response::json(&shown(&name, &url, prefix)).with_status(201))
}

fn remove(name: &str) -> Result<Response, Fault> {
    Ok(Response::status(if kv::delete(&key(name))? { 204 } else { 404 }))
}

/// The first number behind the last one that was given and that no link has.
fn free_number() -> Result<String, Fault> {
    let last = kv::get("last")?.and_then(|last| String::from_utf8(last).ok()?.parse().ok());
    let mut next = last.unwrap_or(0_u64) + 1;
    while kv::get(&key(&next.to_string()))?.is_some() {
        next += 1;
    }
    kv::set("last", next.to_string().as_bytes())?;
    Ok(next.to_string())
}

fn key(name: &str) -> String {
    format!("link/{name}")
}

fn shown(name: &str, url: &str, prefix: &str) -> Value {
    json!({"name": name, "url": url, "path": format!("{prefix}/{name}")})
}

prx_sdk::plugin! { route: ShortLinks, manifest: "plugin.toml" }

#[cfg(test)]
mod tests {
    use prx_sdk::testing::{RouteAnswer, route};

    use super::*;

    fn ask(method: &str, path: &str, body: &str) -> RouteAnswer {
        let request = Request::new(method, path).body(body).with("x-forwarded-prefix", "/ext/short-links");
        route::<ShortLinks>(request.from("01a", &["tools:write"]))
    }

    #[test]
    fn a_link_is_made_followed_and_removed() {
        let made = ask("POST", "/", r#"{"url": "https://example.org/x?y=z", "name": "x"}"#);
        assert_eq!((made.status, made.json::<Value>()["path"].as_str()), (201, Some("/ext/short-links/x")));
        let followed = route::<ShortLinks>(Request::new("GET", "/x"));
        assert_eq!((followed.status, followed.header("location")), (302, Some("https://example.org/x?y=z")));
        assert_eq!(ask("GET", "/", "").json::<Value>()["links"].as_array().map(Vec::len), Some(1));
        assert_eq!((ask("DELETE", "/x", "").status, ask("DELETE", "/x", "").status), (204, 404));
        assert_eq!(ask("GET", "/x", "").status, 404);
    }

    #[test]
    fn links_without_a_name_get_numbers() {
        ask("POST", "/", r#"{"url": "https://example.org/", "name": "2"}"#);
        for number in ["1", "3", "4"] {
            let made = ask("POST", "/", r#"{"url": "https://example.org/"}"#);
            assert_eq!(made.json::<Value>()["name"], number);
        }
    }

    #[test]
    fn without_a_token_links_are_only_followed() {
        for (method, path) in [("GET", "/"), ("POST", "/"), ("DELETE", "/x"), ("PUT", "/x/y")] {
            let answer = route::<ShortLinks>(Request::new(method, path).body("{}"));
            assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{method}");
        }
    }

    #[test]
    fn what_is_no_link_is_refused() {
        ask("POST", "/", r#"{"url": "https://example.org/", "name": "taken"}"#);
        for (body, status) in [
            (r#"{"url": "javascript:alert(1)"}"#, 400),
            (r#"{"url": "https://example.org/\r\nx: y"}"#, 400),
            (r#"{"url": "https://example.org/", "name": "../api"}"#, 400),
            (r#"{"url": "https://example.org/", "name": "taken"}"#, 409),
            ("not json", 400),
        ] {
            let answer = ask("POST", "/", body);
            assert_eq!(answer.status, status, "{body}: {}", answer.text());
            assert!(answer.json::<Value>()["error"]["message"].is_string(), "{body}");
        }
        assert_eq!(ask("PATCH", "/taken", "").status, 405);
        assert_eq!(ask("GET", "/a/b", "").status, 404);
    }
}
