//! The page for people, at `/console/`; `/` leads there. It is made of files that hold nothing of the gateway's: what they show
//! and do goes through the API, with the token of whoever looks at them. So anyone may load them.
//!
//! The page itself is asked for anew each time, and names its other files under the name of their release. Those never change,
//! so they are loaded once; after a swap the page names others.

mod files;
#[cfg(test)]
mod tests;

use files::File;
use prx_sdk::route::{Fault, Request, Response, Route};

/// Where the page is.
const HOME: &str = "/console/";
/// What the page may load and do: its own files, the API of its own gateway, pictures that it was given by that.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; \
                      form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// The routes.
pub struct Console;

impl Route for Console {
    fn handle(request: Request) -> Result<Response, Fault> {
        let answer = match request.method.as_str() {
            "GET" | "HEAD" => find(&request)?,
            _ => failed(405, "This page is only read: GET and HEAD.").with("allow", "GET, HEAD"),
        };
        Ok(secured(answer))
    }
}

fn find(request: &Request) -> Result<Response, Fault> {
    let path = request.path.as_str();
    let Some(path) = path.strip_prefix(HOME).filter(|_| request.prefix().is_empty()) else {
        // The page finds the API from where it is: it is in one place only.
        return Ok(match path {
            "/" | "/console" | HOME => Response::status(303).with("location", HOME),
            _ => missing(),
        });
    };
    match path {
        "" | "index.html" => page(request),
        _ => match path.split_once('/').filter(|(release, _)| *release == files::RELEASE) {
            Some((_, path)) => File::find(path).map_or_else(|| Ok(missing()), |file| part(request, file)),
            None => Ok(missing()),
        },
    }
}

/// The page itself: whoever has it asks whether it is still the same.
fn page(request: &Request) -> Result<Response, Fault> {
    let Some(file) = File::find("index.html") else { return Ok(missing()) };
    let packed = takes_gzip(request);
    let tag = format!("\"{}{}\"", files::RELEASE, if packed { "-gz" } else { "" });
    if request.header("if-none-match").is_some_and(|known| names(known, &tag)) {
        return Ok(described(Response::status(304), &tag));
    }
    Ok(described(file.answer(packed)?, &tag))
}

fn described(answer: Response, tag: &str) -> Response {
    answer.with("etag", tag).with("cache-control", "no-cache").with("vary", "accept-encoding")
}

/// Any other file, which is another one under another name.
fn part(request: &Request, file: File) -> Result<Response, Fault> {
    let answer = file.answer(takes_gzip(request))?;
    let kept = "public, max-age=31536000, immutable";
    Ok(answer.with("cache-control", kept).with("vary", "accept-encoding"))
}

/// Whether a list of tags has this one, or all.
fn names(list: &str, tag: &str) -> bool {
    list.split(',').map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

fn takes_gzip(request: &Request) -> bool {
    let accepted = request.header("accept-encoding").unwrap_or_default();
    accepted.split(',').any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

fn missing() -> Response {
    failed(404, "There is no such file. The console is at /console/.")
}

fn failed(status: u16, words: &str) -> Response {
    Response::text(words).with_status(status).with("cache-control", "no-store")
}

fn secured(answer: Response) -> Response {
    answer
        .with("content-security-policy", POLICY)
        .with("cross-origin-opener-policy", "same-origin")
        .with("cross-origin-resource-policy", "same-origin")
        .with("permissions-policy", "camera=(), geolocation=(), microphone=()")
        .with("referrer-policy", "no-referrer")
        .with("x-content-type-options", "nosniff")
        .with("x-frame-options", "DENY")
}

prx_sdk::plugin! { route: Console, manifest: "plugin.toml" }
