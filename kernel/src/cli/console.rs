//! `prx console`

use serde_json::{Value, json};

use super::failure::Failure;
use super::output::Console;

pub(super) async fn run(console: &Console) -> Result<(), Failure> {
    let made = console.gateway.post("/api/v1/auth/codes", json!({})).await?;
    let link = link(&made);
    console.show(&made, |_| format!("{link}\nopen it within a minute; it can be opened once"))
}

/// The address of the page, with the code where no server is told of it.
fn link(made: &Value) -> String {
    let (url, code) = (made["url"].as_str().unwrap_or_default(), made["code"].as_str().unwrap_or_default());
    // Whoever listens on every address is reached by this name, too.
    let url =
        ["//0.0.0.0:", "//[::]:"].iter().fold(url.to_owned(), |url, any| url.replace(any, "//localhost:"));
    format!("{url}/console/#code={code}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_names_an_address_that_can_be_opened() {
        for (url, opened) in [
            ("http://127.0.0.1:3120", "http://127.0.0.1:3120"),
            ("http://0.0.0.0:3120", "http://localhost:3120"),
            ("https://[::]:443", "https://localhost:443"),
        ] {
            let made = json!({"url": url, "code": "c"});
            assert_eq!(link(&made), format!("{opened}/console/#code=c"));
        }
    }
}
