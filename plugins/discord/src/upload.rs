//! Files to be sent: with the message that names them.

use prx_sdk::connector::{Context, Http};
use prx_sdk::upload::{Form, Upload, quotable};
use serde_json::{Value, json};

use crate::config::Config;

/// The most that a file may take where nobody has paid for more.
pub(crate) const MAX_FILE: u64 = 10 << 20;
/// The most that one message carries.
const MAX_FILES: usize = 10;
const MAX_TOGETHER: u64 = 24 << 20;

/// How many of these files, from the first on, one message carries.
pub(crate) fn together(files: &[Upload]) -> usize {
    let mut sum = 0_u64;
    let fits = |file: &&Upload| {
        sum = sum.saturating_add(file.size);
        sum <= MAX_TOGETHER
    };
    let fitting = files.iter().take(MAX_FILES).take_while(fits).count();
    fitting.max(files.len().min(1))
}

/// Puts a message and its files into a request. What an edited message had of files before makes way.
pub(crate) fn fill(cx: &Context<Config>, call: Http, mut message: Value, files: &[Upload]) -> Http {
    let named = |(number, file): (usize, &Upload)| json!({"id": number, "filename": quotable(&file.name)});
    message["attachments"] = files.iter().enumerate().map(named).collect();
    let form = Form::new(cx).json("payload_json", &message);
    let numbered = files.iter().enumerate();
    call.form(numbered.fold(form, |form, (number, file)| form.file(&format!("files[{number}]"), file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_sizes(sizes: &[u64]) -> usize {
        let file = |size: &u64| Upload { blob: "b".into(), name: "a".into(), mime: None, size: *size };
        together(&sizes.iter().map(file).collect::<Vec<_>>())
    }

    #[test]
    fn a_message_carries_ten_files_and_no_more_than_fit_into_a_request() {
        assert_eq!(of_sizes(&[]), 0);
        assert_eq!(of_sizes(&[1; 11]), 10);
        assert_eq!(of_sizes(&[MAX_FILE, MAX_FILE, MAX_FILE]), 2);
        assert_eq!(of_sizes(&[MAX_FILE, 4 << 20, MAX_FILE, 1]), 3);
        assert_eq!(of_sizes(&[u64::MAX, 1]), 1, "there is always a next one");
    }
}
