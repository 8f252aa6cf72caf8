//! The protocol's errors in words for people.

use rmcp::service::{ClientInitializeError, ServiceError};
use rmcp::transport::DynamicTransportError;
use rmcp::transport::streamable_http_client::StreamableHttpError;

use prx_egress::Failure;

/// Why initializing a connection failed.
pub(super) fn initialize(error: &ClientInitializeError) -> String {
    match error {
        ClientInitializeError::TransportError { error, .. } => transport(error),
        ClientInitializeError::ConnectionClosed(_) => "the server closed the connection".into(),
        ClientInitializeError::JsonRpcError(error) => {
            format!("it refuses to be initialized: {}", error.message)
        }
        ClientInitializeError::ExpectedInitResult(_) | ClientInitializeError::ExpectedInitResponse(_) => {
            "its answer to initialize is none: it takes protocolVersion, capabilities and serverInfo".into()
        }
        error => error.to_string(),
    }
}

/// Whether it was the server that closed the connection before it was initialized.
pub(super) fn is_closed(error: &ClientInitializeError) -> bool {
    matches!(error, ClientInitializeError::ConnectionClosed(_) | ClientInitializeError::TransportError { .. })
}

/// Why a request was not answered.
pub(super) fn request(error: &ServiceError) -> String {
    match error {
        ServiceError::McpError(error) => error.message.to_string(),
        ServiceError::TransportSend(error) => transport(error),
        ServiceError::TransportClosed => "the server closed the connection".into(),
        error => error.to_string(),
    }
}

fn transport(error: &DynamicTransportError) -> String {
    match error.error.downcast_ref::<StreamableHttpError<Failure>>() {
        Some(error) => http(error),
        None => error.error.to_string(),
    }
}

/// Why a server can't be reached over HTTP.
pub(super) fn http(error: &StreamableHttpError<Failure>) -> String {
    match error {
        StreamableHttpError::Client(failure) => failure.to_string(),
        StreamableHttpError::AuthRequired(wanted) => wanted.www_authenticate_header.clone(),
        StreamableHttpError::UnexpectedServerResponse(why) => why.to_string(),
        StreamableHttpError::SessionExpired => {
            "the server does not know the session that it has just opened".into()
        }
        error => error.to_string(),
    }
}
