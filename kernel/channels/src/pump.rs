//! The state of one run of a connector, and what every part of the run does with it.

use std::collections::VecDeque;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{error, warn};

use super::blobs::Blobs;
use super::component::Component;
use super::health::State;
use super::input::{Input, TimerKey};
use super::live_reply::LiveReplies;
use super::outbound::Outbound;
use super::requests::Requests;
use super::services::Services;
use super::setup::Setup;
use super::sockets::Sockets;
use super::status::StatusFeed;
use super::timers::Timers;
use super::webhook::PendingReplies;
use prx_base::error::Error;
use prx_host::Generation;
use prx_host::bindings::connector as wire;
use prx_store::TurnId;

/// One run of a channel's connector, from `started` to `stopping`.
pub(super) struct Pump<'a> {
    pub(super) services: &'a Services,
    pub(super) component: Component,
    pub(super) status: &'a StatusFeed,
    pub(super) work: Work,
    /// Events that the connector has still to handle.
    pub(super) queue: VecDeque<wire::Event>,
    /// The newest code there is, whether it took over or failed to.
    pub(super) offered: Arc<Generation>,
    /// Turns whose live reply is gone from the platform or final, for the next commit.
    pub(super) ended_live_replies: Vec<TurnId>,
    /// The platform was not heard within the timeout.
    pub(super) silent: bool,
    pub(super) failures: Failures,
}

/// What the connector failed on, and how often.
#[derive(Default)]
pub(super) struct Failures {
    /// Events at the front of the queue that are handled one at a time, for one of them makes the code fail.
    pub(super) isolated: usize,
    /// Attempts at the first of them.
    pub(super) attempts: u32,
}

/// What is on its way outside: it ends with the run.
pub(super) struct Work {
    pub(super) requests: Requests,
    pub(super) blobs: Blobs,
    pub(super) sockets: Sockets,
    pub(super) timers: Timers,
    pub(super) outbound: Outbound,
    pub(super) live_replies: LiveReplies,
    pub(super) webhooks: PendingReplies,
}

impl Work {
    /// How many connections are open.
    pub(super) fn connections(&self) -> usize {
        self.requests.count() + self.sockets.count()
    }
}

impl<'a> Pump<'a> {
    /// Begins a run with the committed state, and with what an earlier run left in the outbox.
    ///
    /// # Errors
    /// The store can't be read, or the code can't be instantiated or can't migrate the state; says why.
    pub(super) async fn start(
        services: &'a Services,
        setup: Setup,
        generation: Arc<Generation>,
        status: &'a StatusFeed,
        inputs: mpsc::Sender<Input>,
    ) -> Result<Self, String> {
        let name = setup.name.clone();
        let unread = |error: &dyn fmt::Display| format!("the store can't be read: {error}");
        let state = services.store.channel_state(&name).map_err(|error| unread(&error))?;
        let recovered = services.store.recover_outbox(&name, setup.on_unknown).await;
        for entry in recovered.map_err(|error| unread(&error))? {
            warn!(id = entry.id, "a reply was on its way when the channel stopped; it may be there already");
        }
        let offered = generation.clone();
        let component =
            Component::begin(generation, setup, state).await.map_err(|error| error.to_string())?;
        Ok(Self {
            services,
            component,
            status,
            work: Work::new(services, name, inputs),
            queue: VecDeque::from([wire::Event::Started]),
            offered,
            ended_live_replies: Vec::new(),
            silent: false,
            failures: Failures::default(),
        })
    }

    /// Reads what came into the outbox, and sets a timer for each entry in backoff.
    pub(super) fn fill_outbound(&mut self) -> ControlFlow<()> {
        match self.work.outbound.fill(self.services.base.clock.now()) {
            Ok(later) => {
                for (id, delay) in later {
                    self.work.timers.set(TimerKey::OutboundRetry(id), delay);
                }
                ControlFlow::Continue(())
            }
            Err(error) => self.store_failed(&error),
        }
    }

    /// Queues operations that are in no outbox.
    pub(super) fn queue_all(&mut self, operations: impl IntoIterator<Item = wire::Outbound>) {
        self.queue.extend(operations.into_iter().map(wire::Event::Outbound));
    }

    /// Queues events before all others.
    pub(super) fn requeue(&mut self, batch: Vec<wire::Event>) {
        for event in batch.into_iter().rev() {
            self.queue.push_front(event);
        }
    }

    /// Has the code told what is open and what is pending, before anything else comes.
    pub(super) fn resume(&mut self) {
        let (mut requests, mut timers) = (self.work.requests.tokens(), self.work.timers.tokens());
        for event in &self.queue {
            match event {
                wire::Event::HttpDone(done) => requests.push(done.token),
                wire::Event::Timer(token) => timers.push(*token),
                _ => {}
            }
        }
        let sockets = self.work.sockets.open(&self.queue);
        self.queue.push_front(wire::Event::Resumed(wire::Resumed { sockets, requests, timers }));
    }

    /// Notes how the channel stands.
    pub(super) fn set_state(&self, state: State, error: Option<String>) {
        self.status.set_state(state, error);
    }

    /// Ends the run, for the store failed.
    pub(super) fn store_failed<C>(&self, error: &Error) -> ControlFlow<(), C> {
        error!(%error, "the store failed; the channel waits for it");
        let reason = "the gateway's store takes nothing now; the channel goes on by itself when it does";
        self.set_state(State::Disconnected, Some(reason.into()));
        ControlFlow::Break(())
    }
}

impl Work {
    fn new(services: &Services, channel: String, inputs: mpsc::Sender<Input>) -> Self {
        let Services { base, store, egress, .. } = services;
        let clock = &base.clock;
        let blobs = Blobs::new(channel.clone(), store.clone(), base.config.clone());
        Self {
            requests: Requests::new(egress.clone(), blobs.clone(), clock.clone(), inputs.clone()),
            sockets: Sockets::new(egress.clone(), blobs.clone(), inputs.clone(), clock.now_ms()),
            blobs,
            timers: Timers::new(clock.clone(), inputs),
            outbound: Outbound::new(store.clone(), base.traces.clone(), channel),
            live_replies: LiveReplies::default(),
            webhooks: PendingReplies::default(),
        }
    }
}
