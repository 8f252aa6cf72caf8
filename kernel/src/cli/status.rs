//! `prx status`

use super::failure::Failure;
use super::output::{Console, fields};

pub(super) async fn run(console: &Console) -> Result<(), Failure> {
    let status = console.gateway.get("/api/v1/status").await?;
    console.show(&status, fields)
}
