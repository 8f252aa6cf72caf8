//! Sends the spans of traces to the collector that `[telemetry]` names, by OTLP over HTTP. Turns never wait for it: what the
//! collector is too slow for, or away, is dropped and counted, and the status says so.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use self::otlp::Exporter;
use prx_base::Base;
use prx_base::config::{self, Config};
use prx_base::issue::{Issue, IssueKind};
use prx_base::traces::Ended;
use prx_egress::Egress;

mod otlp;

/// Most spans of one request.
const MAX_BATCH: usize = 512;
/// How long a span waits for others to go with it: a second.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// Attempts at a batch, after which it is dropped.
const MAX_ATTEMPTS: u32 = 5;
/// The backoff before the second attempt, a second. It doubles with each further one.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);

/// What is wrong with settings that are to be put in force, if anything is.
pub(crate) fn problem(settings: &config::Telemetry) -> Option<String> {
    Exporter::problem(settings).map(|problem| format!("telemetry.{problem}"))
}

/// A cheap-clone handle to what sends spans.
#[derive(Clone)]
pub(crate) struct Telemetry {
    base: Base,
    egress: Egress,
    /// Why the last attempt failed; none if it did not.
    problem: Arc<Mutex<Option<String>>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Spans on their way.
#[derive(Default)]
struct Batch {
    spans: Vec<Ended>,
    attempts: u32,
}

impl Telemetry {
    /// Follows the configuration from now on. What is begun after this is noted.
    pub(crate) fn start(base: Base, egress: Egress) -> Self {
        let (problem, stop, tasks) = (Arc::default(), CancellationToken::new(), TaskTracker::new());
        let telemetry = Self { base, egress, problem, stop, tasks };
        if let Some(ended) = telemetry.base.traces.take() {
            telemetry.base.traces.set_on(!telemetry.base.config.current().telemetry.otlp_endpoint.is_empty());
            telemetry.tasks.spawn(telemetry.clone().run(ended));
        }
        telemetry.tasks.close();
        telemetry
    }

    /// That spans are not exported, and what to do about it.
    pub(crate) fn issue(&self) -> Option<Issue> {
        let problem = self.noted().clone()?;
        let (_, dropped) = self.base.traces.counts();
        let problem = format!("traces are not exported, and {dropped} spans were dropped: {problem}");
        let fix =
            "mend what it says, or `telemetry.otlp_endpoint`; it is tried again by itself, and turns go on";
        Some(Issue::new(IssueKind::Telemetry, problem, fix))
    }

    /// Sends what there is once more, and ends within `limit`.
    pub(crate) async fn stop(&self, limit: Duration) {
        self.stop.cancel();
        tokio::select! {
            () = self.tasks.wait() => {}
            () = self.base.clock.sleep(limit) => info!("the last spans of traces are not exported"),
        }
    }

    async fn run(self, mut ended: mpsc::Receiver<Ended>) {
        let mut config = self.base.config.subscribe();
        let mut batch = Batch::default();
        while !self.stop.is_cancelled() {
            let settings = config.borrow_and_update().telemetry.clone();
            let exporter = match settings.otlp_endpoint.is_empty() {
                true => Ok(None),
                false => Exporter::new(&settings, &self.egress).map(Some),
            };
            self.base.traces.set_on(matches!(exporter, Ok(Some(_))));
            let exporter = exporter.unwrap_or_else(|problem| {
                self.note(Some(format!("telemetry.{problem}")));
                None
            });
            let changed = changed(&mut config, &settings);
            match exporter {
                None => {
                    if settings.otlp_endpoint.is_empty() {
                        self.note(None);
                    }
                    while ended.try_recv().is_ok() {}
                    tokio::select! { () = changed => {}, () = self.stop.cancelled() => {} }
                }
                Some(exporter) => tokio::select! {
                    () = changed => {}
                    () = self.export(&exporter, &mut ended, &mut batch) => {}
                },
            }
        }
    }

    /// Sends batches until the gateway stops, and then what is left.
    async fn export(&self, exporter: &Exporter, ended: &mut mpsc::Receiver<Ended>, batch: &mut Batch) {
        while !self.stop.is_cancelled() {
            tokio::select! {
                () = fill(ended, batch, &self.base) => {}
                () = self.stop.cancelled() => break,
            }
            if let Err(wait) = self.send(exporter, batch).await {
                tokio::select! {
                    () = self.base.clock.sleep(wait) => {}
                    () = self.stop.cancelled() => {}
                }
            }
        }
        loop {
            while batch.spans.len() < MAX_BATCH
                && let Ok(span) = ended.try_recv()
            {
                batch.spans.push(span);
            }
            if batch.spans.is_empty() || self.send(exporter, batch).await.is_err() {
                return;
            }
        }
    }

    /// Sends a batch, which is empty then, or tells how long to wait before the next attempt.
    async fn send(&self, exporter: &Exporter, batch: &mut Batch) -> Result<(), Duration> {
        batch.attempts += 1;
        match exporter.export(&batch.spans).await {
            Ok(()) => {
                self.base.traces.count_exported(batch.spans.len());
                *batch = Batch::default();
                self.note(None);
                Ok(())
            }
            Err(problem) => {
                self.note(Some(problem));
                let wait = FIRST_BACKOFF * (1 << (batch.attempts - 1));
                if batch.attempts == MAX_ATTEMPTS {
                    self.base.traces.count_dropped(batch.spans.len());
                    *batch = Batch::default();
                }
                Err(wait)
            }
        }
    }

    /// Notes how it went, and tells the log when that changed.
    fn note(&self, problem: Option<String>) {
        let mut noted = self.noted();
        match (&*noted, &problem) {
            (None, Some(problem)) => warn!("traces are not exported: {problem}"),
            (Some(_), None) => info!("traces are exported"),
            _ => {}
        }
        *noted = problem;
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a span, unless there are some that were not sent, and a little for others to go with it.
async fn fill(ended: &mut mpsc::Receiver<Ended>, batch: &mut Batch, base: &Base) {
    if !batch.spans.is_empty() {
        return;
    }
    if ended.recv_many(&mut batch.spans, MAX_BATCH).await == 0 {
        return std::future::pending().await;
    }
    let more = async {
        while batch.spans.len() < MAX_BATCH {
            let room = MAX_BATCH - batch.spans.len();
            ended.recv_many(&mut batch.spans, room).await;
        }
    };
    tokio::select! { () = more => {}, () = base.clock.sleep(BATCH_DELAY) => {} }
}

/// Ends when the settings are others.
async fn changed(config: &mut watch::Receiver<Arc<Config>>, settings: &config::Telemetry) {
    if config.wait_for(|config| config.telemetry != *settings).await.is_err() {
        std::future::pending().await
    }
}
