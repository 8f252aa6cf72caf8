//! What an attack does to everyone else: how soon health answers meanwhile, whether others' calls succeed, and what memory
//! it costs. Each attack is a row of a table.

use std::fmt;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::gateway::Gateway;
use crate::usage::memory;

/// How often health is asked, and a neighbour called: every 20 ms.
const INTERVAL: Duration = Duration::from_millis(20);

/// The attacks on one gateway so far. Printed, it is a table.
pub struct Attacks<'a> {
    gateway: &'a Gateway,
    rows: Vec<Row>,
}

/// One attack.
struct Row {
    done: String,
    got: String,
    /// What 99 of 100 requests for health took at most meanwhile.
    health: Duration,
    /// Mebibytes before and after.
    memory: (u64, u64),
    /// How many calls of the neighbour succeeded meanwhile, and how many there were.
    neighbours: (usize, usize),
}

impl<'a> Attacks<'a> {
    /// On a gateway that has the plugin `hello-tool`, which is the neighbour. The first row is for no attack at all.
    pub async fn on(gateway: &'a Gateway) -> Self {
        let mut attacks = Self { gateway, rows: Vec::new() };
        attacks
            .run("nothing", async {
                sleep(INTERVAL * 25).await;
                "nothing".to_owned()
            })
            .await;
        attacks
    }

    /// Does something, which says what it got.
    ///
    /// # Panics
    /// Health fails.
    pub async fn run(&mut self, done: &str, attack: impl Future<Output = String>) {
        let before = memory(self.gateway.process_id());
        let (mut health, mut neighbours) = (Vec::new(), (0, 0));
        let watch = async {
            loop {
                let asked = Instant::now();
                let answer = self.gateway.client().get("/status/health").await;
                health.push(asked.elapsed());
                assert_eq!(answer.expect(200)["healthy"], true, "during {done}");
                let answer = self.gateway.call_tool("hello", json!({"name": "Ada"})).await;
                neighbours.0 += usize::from(answer.status == 200);
                neighbours.1 += 1;
                sleep(INTERVAL).await;
            }
        };
        let got = tokio::select! {
            got = attack => got,
            () = watch => unreachable!("it watches for ever"),
        };
        health.sort();
        let health = health.get(health.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default();
        let memory = (before, memory(self.gateway.process_id()));
        self.rows.push(Row { done: done.to_owned(), got, health, memory, neighbours });
    }

    /// Fails the test if an attack was felt by anyone else.
    ///
    /// # Panics
    /// A neighbour's call failed, or health took much longer than without any attack.
    pub fn expect_harmless(&self) {
        // Where a machine is busy with other things, health takes its time also at rest.
        let bound = self.rows[0].health * 10 + Duration::from_millis(250);
        for Row { done, health, neighbours: (fine, all), .. } in &self.rows {
            assert!(*health < bound, "health took {health:?} during {done}\n{self}");
            assert_eq!(fine, all, "neighbours' calls succeed during {done}\n{self}");
        }
    }
}

impl fmt::Display for Attacks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| what was done | what it got | health p99 | memory before, after | neighbours' calls |"
        )?;
        writeln!(f, "|---|---|---|---|---|")?;
        for Row { done, got, health, memory: (before, after), neighbours: (fine, all) } in &self.rows {
            let health = health.as_millis();
            writeln!(f, "| {done} | {got} | {health} ms | {before}, {after} MiB | {fine} of {all} |")?;
        }
        Ok(())
    }
}
