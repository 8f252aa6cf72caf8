//! The pages of a list, which a server gives one after the other.

use std::collections::HashSet;

use rmcp::model::PaginatedRequestParams;
use serde_json::Value;

/// How far a list is read: up to so many pages, and none of them twice.
pub(super) struct Pages {
    left: usize,
    cursor: Option<String>,
    cursors: HashSet<String>,
}

/// What follows a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another one.
    Page,
    /// None: that was all.
    Nothing,
    /// One that was read before.
    Again,
    /// More than are read.
    TooMany,
}

impl Pages {
    /// At most so many.
    pub(super) fn at_most(most: usize) -> Self {
        Self { left: most, cursor: None, cursors: HashSet::new() }
    }

    /// The parameters of the request for the next page.
    pub(super) fn request(&mut self) -> PaginatedRequestParams {
        self.left = self.left.saturating_sub(1);
        PaginatedRequestParams::default().with_cursor(self.cursor.take())
    }

    /// Goes on behind this page.
    pub(super) fn turn(&mut self, page: &Value) -> Next {
        match cursor(page) {
            None => Next::Nothing,
            Some(next) if !self.cursors.insert(next.to_owned()) => Next::Again,
            Some(_) if self.left == 0 => Next::TooMany,
            Some(next) => {
                self.cursor = Some(next.to_owned());
                Next::Page
            }
        }
    }
}

/// The cursor behind a page. An empty one is none.
pub(super) fn cursor(page: &Value) -> Option<&str> {
    page.get("nextCursor").and_then(Value::as_str).filter(|cursor| !cursor.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_ends_and_no_page_is_read_twice() {
        let page = |cursor: &str| json!({ "nextCursor": cursor });
        let mut pages = Pages::at_most(3);
        assert_eq!(pages.request().cursor, None);
        assert_eq!(pages.turn(&page("a")), Next::Page);
        assert_eq!(pages.request().cursor.as_deref(), Some("a"));
        assert_eq!(pages.turn(&page("a")), Next::Again);
        assert_eq!(pages.turn(&page("")), Next::Nothing);
        assert_eq!(pages.turn(&json!({"nextCursor": null})), Next::Nothing);
        assert_eq!(pages.turn(&page("b")), Next::Page);
        pages.request();
        assert_eq!(pages.turn(&page("c")), Next::TooMany);
        assert_eq!(pages.turn(&page("b")), Next::Again);
    }
}
