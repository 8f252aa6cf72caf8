//! Why a command did not do what it was asked, and with which exit code it ends.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::error::ErrorKind;
use serde_json::{Value, json};

use crate::backup::Problem;
use crate::gateway::StartError;
use prx_base::config::Invalid;
use prx_base::error::Error;
use prx_http::{BadTable, BindError};
use prx_store::OpenError;

/// `EX_UNAVAILABLE`: a gateway elsewhere can't be reached.
pub(super) const UNAVAILABLE: u8 = 69;
/// `EX_PROTOCOL`: what was reached is no gateway.
pub(super) const PROTOCOL: u8 = 76;
/// `EX_NOPERM`: the token is none, or may not do this.
pub(super) const NO_PERMISSION: u8 = 77;
/// `EX_CONFIG`: the configuration can't be served.
const CONFIG: u8 = 78;

/// Ends the command.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command line is wrong, or help was asked for.
    Usage(clap::Error),
    /// Anything else, told on standard error; with what the API says of it, where it does.
    Message { message: String, code: u8, answer: Option<Value> },
}

impl Failure {
    pub(super) fn new(message: impl Display) -> Self {
        Self::Message { message: message.to_string(), code: 1, answer: None }
    }

    /// What is wrong with a file.
    pub(super) fn about(file: &Path, error: &dyn Display) -> Self {
        Self::new(format!("{}: {error}", file.display()))
    }

    /// What the command line should have said instead.
    pub(super) fn usage(message: impl Display) -> Self {
        Self::Usage(clap::Error::raw(ErrorKind::ValueValidation, format!("{message}\n")))
    }

    /// With an exit code that programs tell it by.
    pub(super) fn with_code(message: impl Display, code: u8) -> Self {
        Self::Message { message: message.to_string(), code, answer: None }
    }

    /// What the API answered: its words, and the whole of its error.
    pub(super) fn answered(message: &str, error: &Value) -> Self {
        let code = match error["code"].as_str() {
            Some("unauthorized" | "forbidden") => NO_PERMISSION,
            _ => 1,
        };
        Self::Message { message: message.to_owned(), code, answer: Some(error.clone()) }
    }

    /// What is wrong, in words.
    pub(super) fn message(&self) -> String {
        match self {
            Self::Usage(error) => error.to_string(),
            Self::Message { message, .. } => message.clone(),
        }
    }

    /// Tells a program, in the API's form, and gives the exit code.
    pub(super) fn report_json(self) -> ExitCode {
        let (error, code) = match self {
            Self::Usage(error) if error.use_stderr() => {
                let message = error.to_string();
                let message = message.trim_start_matches("error: ").trim_end();
                (json!({"code": "usage", "message": message, "details": null}), error.exit_code())
            }
            // Help was asked for.
            Self::Usage(_) => return self.report(),
            Self::Message { answer: Some(error), code, .. } => (error, code.into()),
            Self::Message { message, code, answer: None } => {
                let kind = match code {
                    CONFIG => "config",
                    UNAVAILABLE => "unreachable",
                    PROTOCOL => "no_gateway",
                    _ => "failed",
                };
                (json!({"code": kind, "message": message, "details": null}), code.into())
            }
        };
        let _ = writeln!(io::stderr(), "{}", json!({ "error": error }));
        ExitCode::from(u8::try_from(code).unwrap_or(1))
    }

    /// Tells the user and gives the exit code.
    pub(super) fn report(self) -> ExitCode {
        match self {
            Self::Usage(error) => {
                // There is nowhere else to say that standard error is gone.
                let _ = error.print();
                ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1))
            }
            Self::Message { message, code, .. } => {
                let _ = writeln!(io::stderr(), "prx: {message}");
                ExitCode::from(code)
            }
        }
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        Self::Usage(error)
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self::Message { message: invalid.to_string(), code: CONFIG, answer: None }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(invalid) => invalid.into(),
            StartError::Store(error) => error.into(),
            StartError::Other(error) => error.into(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match std::error::Error::source(&error) {
            Some(cause) => Self::new(format!("{error} ({cause})")),
            None => Self::new(error),
        }
    }
}

macro_rules! from_error {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::new(error)
            }
        }
    )*};
}

from_error!(io::Error, OpenError, BindError, BadTable, Problem);
