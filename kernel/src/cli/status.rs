//! `prx status`

use super::failure::Failure;
use super::output::{Console, fields};

pub(super) async fn run(console: &Console) -> Result<(), Failure> {
    let status = console.gateway.get("/api/v1/status").await?;
    console.show(&status, fields)?;
    // What is degraded goes on working, and `prx doctor` says what is wrong.
    match status["status"].as_str() {
        Some("unhealthy") => Err(Failure::new("the gateway is unhealthy; `prx doctor` says what to do")),
        _ => Ok(()),
    }
}
