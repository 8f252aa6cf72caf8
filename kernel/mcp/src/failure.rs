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
        error => error.to_string(),
    }
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
        _ => error.error.to_string(),
    }
}
