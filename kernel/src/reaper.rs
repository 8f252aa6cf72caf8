//! Processes that lose their parents become children of the gateway: as the first process of a container, and because it
//! asks for them, so that what MCP servers leave behind shows where it comes from. Nobody waits for those; here their ends
//! are taken note of, lest they stay in the process table.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, waitpid};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use prx_base::clock::Clock;

/// How long whoever has started a process may take to wait for it, 2 seconds. What has ended and is still there then has
/// nobody else.
const WAIT: Duration = Duration::from_secs(2);

/// Takes note of ends until `stopping`.
pub(crate) async fn run(clock: Clock, stopping: CancellationToken) {
    if let Err(error) = set_child_subreaper(Some(getpid())) {
        tracing::debug!(%error, "processes without parents go elsewhere");
    }
    let mut ended = match signal(SignalKind::child()) {
        Ok(ended) => ended,
        Err(error) => return tracing::warn!(%error, "processes that ended may stay in the process table"),
    };
    while stopping.run_until_cancelled(ended.recv()).await.flatten().is_some() {
        // Ends come in crowds, and a signal that comes meanwhile is not lost.
        loop {
            let before = ended_strangers();
            if before.is_empty() || stopping.run_until_cancelled(clock.sleep(WAIT)).await.is_none() {
                break;
            }
            for process in ended_strangers().intersection(&before) {
                let _ = Pid::from_raw(*process).map(|process| waitpid(Some(process), WaitOptions::NOHANG));
            }
        }
    }
}

/// Children that have ended and that nobody here has started.
fn ended_strangers() -> BTreeSet<i32> {
    let children = children().unwrap_or_default().into_iter();
    let strangers =
        children.filter(|child| u32::try_from(*child).is_ok_and(|child| !prx_mcp::is_ours(child)));
    strangers.filter(|child| has_ended(*child)).collect()
}

fn children() -> io::Result<Vec<i32>> {
    let mut children = Vec::new();
    for thread in fs::read_dir("/proc/self/task")? {
        // A thread may have ended meanwhile.
        let of_thread = fs::read_to_string(thread?.path().join("children")).unwrap_or_default();
        children.extend(of_thread.split_whitespace().filter_map(|id| id.parse::<i32>().ok()));
    }
    Ok(children)
}

fn has_ended(process: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name before it is in parentheses, and may have some in it.
    status.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}
