//! `prx status`

use super::failure::Failure;
use super::output::{Console, fields};

pub(super) async fn run(console: &Console) -> Result<(), Failure> {
    let status = console.gateway.get("/api/v1/status").await?;
    console.show(&status, |status| {
        let mut shown = status.clone();
        // The same in parts.
        if let Some(parts) = shown.as_object_mut() {
            parts.remove("issue_details");
        }
        fields(&shown)
    })?;
    // What is degraded goes on working, and `prx doctor` says what is wrong.
    match status["status"].as_str() {
        Some("unhealthy") => Err(Failure::new("the gateway is unhealthy; `prx doctor` says what to do")),
        _ => Ok(()),
    }
}
