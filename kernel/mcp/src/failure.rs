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
        Some(StreamableHttpError::Client(failure)) => failure.to_string(),
        Some(StreamableHttpError::AuthRequired(_)) => "HTTP 401 Unauthorized".into(),
        Some(StreamableHttpError::UnexpectedServerResponse(why)) => why.to_string(),
        Some(StreamableHttpError::SessionExpired) => {
            "the server does not know the session that it has just opened".into()
        }
        _ => error.error.to_string(),
    }
}
