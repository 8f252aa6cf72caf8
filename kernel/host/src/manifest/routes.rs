//! `[routes]`: what a plugin serves over HTTP beside `/ext/<its name>/`, and who may call it.

use serde::{Deserialize, Deserializer};

/// Most prefixes of one plugin.
const MAX_PATHS: usize = 16;
/// Most bytes of one.
const MAX_BYTES: usize = 128;
/// Most segments of one.
pub(crate) const MAX_ROUTE_DEPTH: usize = 8;
/// How a path is written, for people.
const RULE: &str = "write \"/\", or up to 8 segments of a-z, 0-9, -, _, . and ~, such as \"/v1\"";
/// First segments of paths that are the gateway's.
const RESERVED: [&str; 7] = ["api", "ext", "in", "livez", "mcp", "metrics", "readyz"];

/// `[routes]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Routes {
    /// Prefixes of paths that it asks for, by whole segments; `/` is that path alone.
    #[serde(deserialize_with = "paths")]
    pub paths: Vec<String>,
    /// What a caller's token has to be good for.
    pub scope: RouteScope,
    /// It asks to be called without a token as well.
    pub public: bool,
}

/// What a caller's token has to be good for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum RouteScope {
    /// `tools:write`: to call tools.
    #[default]
    #[serde(rename = "tools:write")]
    ToolsWrite,
    /// `tools:read`
    #[serde(rename = "tools:read")]
    ToolsRead,
    /// `sessions:write`
    #[serde(rename = "sessions:write")]
    SessionsWrite,
    /// `sessions:read`
    #[serde(rename = "sessions:read")]
    SessionsRead,
    /// `admin`
    #[serde(rename = "admin")]
    Admin,
}

fn paths<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    let paths = Vec::<String>::deserialize(input)?;
    match check(&paths) {
        Ok(()) => Ok(paths),
        Err(wrong) => Err(serde::de::Error::custom(wrong)),
    }
}

/// Whether these are paths that a plugin can serve.
///
/// # Errors
/// The first that is none, and why.
pub(crate) fn check(paths: &[String]) -> Result<(), String> {
    if paths.len() > MAX_PATHS {
        return Err(format!("there are {} paths; {MAX_PATHS} are the most", paths.len()));
    }
    paths.iter().try_for_each(|path| check_path(path))
}

fn check_path(path: &str) -> Result<(), String> {
    if path == "/" {
        return Ok(());
    }
    let wrong = |why: &str| Err(format!("{path:?} is no path that a plugin can serve: {why}; {RULE}"));
    let Some(rest) = path.strip_prefix('/') else { return wrong("it does not begin with /") };
    let is_plain = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_' | '.' | '~');
    let is_segment =
        |segment: &str| !segment.is_empty() && segment.chars().all(is_plain) && !segment.starts_with('.');
    if path.len() > MAX_BYTES || rest.split('/').count() > MAX_ROUTE_DEPTH {
        return wrong("it is too long");
    }
    if !rest.split('/').all(is_segment) {
        return wrong("it has a segment that is empty, or has other characters");
    }
    match rest.split('/').next() {
        Some(first) if RESERVED.contains(&first) => {
            Err(format!("{path:?} is the gateway's own: what begins with /{first} can't be a plugin's"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_that_can_be_told_apart() {
        for path in ["/", "/v1", "/a/b-c/d_e.f~g", "/well-known"] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
        for (path, why) in [
            ("", "does not begin with /"),
            ("v1", "does not begin with /"),
            ("/v1/", "a segment that is empty"),
            ("//v1", "a segment that is empty"),
            ("/V1", "other characters"),
            ("/../api", "other characters"),
            ("/%61pi", "other characters"),
            ("/{x}", "other characters"),
            ("/a/b/c/d/e/f/g/h/i", "too long"),
            ("/api/v2", "the gateway's own"),
            ("/mcp", "the gateway's own"),
            ("/ext/other", "the gateway's own"),
        ] {
            let told = check_path(path).unwrap_err();
            assert!(told.contains(why), "{path}: {told}");
        }
    }
}
