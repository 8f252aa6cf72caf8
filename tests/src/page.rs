//! The reference page of the API, read: its endpoints with their parameters and examples, its errors, its limits.

use std::fs;

use serde_json::Value;

use crate::binary::workspace;

/// All that the page says.
#[derive(Debug)]
pub struct Page {
    /// Every endpoint, in order.
    pub endpoints: Vec<Endpoint>,
    /// The example of an error.
    pub error: Value,
    /// Every status of an error with its code.
    pub codes: Vec<(u16, String)>,
    /// Every group of endpoints with its requests per second.
    pub limits: Vec<(String, u64)>,
    /// The headers that are in all responses.
    pub headers: Vec<String>,
}

/// One endpoint and its examples.
#[derive(Debug, Default)]
pub struct Endpoint {
    /// Its method.
    pub method: String,
    /// Its path under `/api/v1`, with `:id` or `:name` in it.
    pub path: String,
    /// Its parameters after the `?`.
    pub parameters: Vec<Parameter>,
    /// The body of its request.
    pub request: Option<Value>,
    /// The status of its response; none for one that is a stream.
    pub status: Option<u16>,
    /// The body of its response.
    pub response: Option<Value>,
}

/// One line of a table of parameters.
#[derive(Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// `String`, `usize` or `bool`.
    pub kind: String,
    /// What it is where it isn't given; none for "all".
    pub default: Option<String>,
    /// The values that its description lists.
    pub words: Vec<String>,
}

impl Page {
    /// Reads `tests/reference/api-reference.txt`.
    pub fn read() -> Self {
        let text = fs::read_to_string(workspace().join("tests/reference/api-reference.txt")).unwrap();
        let (endpoints, rest) = text.split_once("\nError Responses\n").expect("a section on errors");
        let (errors, limits) = rest.split_once("\nRate Limiting\n").expect("a section on limits");
        Self {
            endpoints: endpoints_in(endpoints),
            error: example(&mut errors.lines()),
            codes: errors.lines().filter_map(code).collect(),
            limits: limits.lines().filter_map(limit).collect(),
            headers: limits
                .lines()
                .filter_map(|line| line.split_once(": "))
                .map(|(name, _)| name.to_lowercase())
                .collect(),
        }
    }
}

fn endpoints_in(text: &str) -> Vec<Endpoint> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some((method, path)) = heading(line) {
            endpoints.push(Endpoint { method: method.into(), path: path.into(), ..Endpoint::default() });
        }
        let Some(endpoint) = endpoints.last_mut() else { continue };
        if line == "Request:" {
            endpoint.request = Some(example(&mut lines));
        } else if let Some(rest) = line.strip_prefix("Response (") {
            let (status, rest) = rest.split_once(')').expect("a status in brackets");
            endpoint.status = Some(status.parse().expect("a status"));
            endpoint.response = (rest == ":").then(|| example(&mut lines));
        } else if line == "ParameterTypeDefaultDescription" {
            endpoint.parameters = lines.by_ref().map_while(parameter).collect();
        }
    }
    endpoints
}

fn heading(line: &str) -> Option<(&str, &str)> {
    let (method, path) = line.split_once(" /api/v1")?;
    ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method).then_some((method, path))
}

/// The JSON object that comes next.
fn example<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Value {
    let mut json = String::new();
    for line in lines.skip_while(|line| *line != "{") {
        json += line;
        if line == "}" {
            break;
        }
    }
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("no JSON ({error}): {json}"))
}

/// A line such as `limitusize50Maximum results to return`: the page's table has lost its columns.
fn parameter(line: &str) -> Option<Parameter> {
    let (kind, at) = ["String", "usize", "bool"].iter().find_map(|kind| Some((*kind, line.find(kind)?)))?;
    let (name, rest) = (&line[..at], &line[at + kind.len()..]);
    let (default, about) = match rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
        Some(quoted) => quoted,
        // A description begins with a capital letter.
        None => rest.split_at(rest.find(|letter: char| letter.is_ascii_uppercase())?),
    };
    let words = match kind {
        "String" if about.contains(": \"") => {
            about.split('"').skip(1).step_by(2).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    };
    let default = (default != "all").then(|| default.to_owned());
    Some(Parameter { name: name.into(), kind: kind.into(), default, words })
}

/// A line such as `400bad_requestInvalid request parameters or body`.
fn code(line: &str) -> Option<(u16, String)> {
    let status = line.get(..3)?.parse().ok()?;
    let code = line[3..].split(|letter: char| letter.is_ascii_uppercase()).next()?;
    Some((status, code.to_owned()))
}

/// A line such as `Sessions (read)50 requests/second`.
fn limit(line: &str) -> Option<(String, u64)> {
    let line = line.strip_suffix(" requests/second")?;
    let at = line.find(|letter: char| letter.is_ascii_digit())?;
    Some((line[..at].to_owned(), line[at..].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_without_columns_is_taken_apart() {
        let row = |line| parameter(line).map(|row| (row.name, row.kind, row.default, row.words));
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let said = |text: &str| Some(text.to_owned());
        assert_eq!(
            row("statusString\"active\"Filter by status: \"active\", \"idle\", \"terminated\""),
            Some((
                "status".into(),
                "String".into(),
                said("active"),
                words(&["active", "idle", "terminated"])
            ))
        );
        assert_eq!(
            row("moduleStringallFilter by module name (e.g., \"agent\")"),
            Some(("module".into(), "String".into(), None, words(&[])))
        );
        assert_eq!(
            row("limitusize50Maximum results"),
            Some(("limit".into(), "usize".into(), said("50"), words(&[])))
        );
        assert_eq!(
            row("sinceString1 hour agoISO 8601 timestamp or duration (e.g., \"1h\", \"30m\")"),
            Some(("since".into(), "String".into(), said("1 hour ago"), words(&[])))
        );
        assert_eq!(row(""), None);
    }

    #[test]
    fn the_whole_page_is_read() {
        let page = Page::read();
        let bare: Vec<_> = page.endpoints.iter().filter(|endpoint| endpoint.status.is_none()).collect();
        assert_eq!((page.endpoints.len(), bare.len()), (22, 1), "{bare:?}");
        assert_eq!((page.codes.len(), page.limits.len(), page.headers.len()), (7, 4, 3), "{page:?}");
    }
}
