//! Files that users send.

use serde_json::{Value, json};

use super::api::{Outcome, refusal};
use super::{Bot, State};
use crate::server::Reply;

impl Bot {
    /// What is found at a path that `getFile` has told.
    pub(super) fn download(&self, path: &str) -> Reply {
        match self.state().files.get(path) {
            Some(content) => Reply::Headed(200, Vec::new(), content.clone()),
            None => refusal(404, "Not Found"),
        }
    }
}

impl State {
    pub(super) fn locate(&mut self, parameters: &Value) -> Outcome {
        let id = parameters["file_id"].as_str().unwrap_or_default();
        match self.files.get(id) {
            Some(content) if content.len() > 20 << 20 => Err((400, "Bad Request: file is too big".into())),
            Some(content) => Ok(json!({ "file_id": id, "file_size": content.len(), "file_path": id })),
            None => Err((400, "Bad Request: wrong file_id or the file is temporarily unavailable".into())),
        }
    }
}
