//! One channel at work: events in, steps committed, commands out. Events are handled in order, nothing is locked
//! while the platform is waited for, and nothing goes out before what it follows from is on disk.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tracing::{Instrument, Span, error, info_span, warn};

use super::blobs::Blobs;
use super::code::Code;
use super::convert;
use super::health::{Health, State};
use super::input::{Alarm, Input};
use super::outbound::Outbound;
use super::requests::Requests;
use super::setup::Setup;
use super::socket::INTERRUPTED;
use super::sockets::Sockets;
use super::streams::Streams;
use super::swap::Standing;
use super::timers::Timers;
use super::webhooks::Webhooks;
use super::{Control, Parts, bounds, step};
use prx_host::bindings::connector as wire;
use prx_host::{CallError, Generation};
use prx_store::TurnId;

/// Events handled in one call at most.
const BATCH: usize = 64;
/// How often an event is tried that makes the connector fail.
const TRIES: u32 = 2;
/// How long a connector rests after it failed on an event for good.
const REST: Duration = Duration::from_secs(5);
/// How long a channel that stops waits for what is at work on the platform.
const DRAIN: Duration = Duration::from_secs(5);
/// What a socket is closed with that a disabled channel leaves open.
const NORMAL: u16 = 1000;

/// Why a pump stopped running its connector.
pub(super) enum Ended {
    /// The channel is stopped or restarted.
    Asked(Control),
    /// There is other code, or none: the plugin was disabled, failed or is gone.
    CodeGone,
    /// Nothing is heard from the platform.
    Deaf,
    /// The store failed.
    Broken,
}

/// One life of a channel's connection, from `started` to `stopping`.
pub(super) struct Pump<'a> {
    pub(super) parts: &'a Parts,
    pub(super) code: Code,
    pub(super) told: &'a Told,
    pub(super) work: Work,
    pub(super) queue: VecDeque<wire::Event>,
    /// The newest code there is, whether it took over or failed to.
    pub(super) offered: Arc<Generation>,
    /// The platform should have been heard by now.
    deaf: bool,
    /// Turns that are no longer shown, for the next commit.
    pub(super) forgotten: Vec<TurnId>,
    /// Events at the front of the queue that are handled one at a time, for one of them makes the code fail.
    apart: usize,
    tries: u32,
}

/// What a channel lets others know of itself, over all its lives.
pub(super) struct Told {
    pub(super) health: watch::Sender<Health>,
    pub(super) standing: watch::Sender<Standing>,
}

/// What is on its way outside: it goes when the connection goes.
pub(super) struct Work {
    pub(super) requests: Requests,
    pub(super) blobs: Blobs,
    pub(super) sockets: Sockets,
    pub(super) timers: Timers,
    pub(super) outbound: Outbound,
    pub(super) streams: Streams,
    pub(super) webhooks: Webhooks,
}

impl Work {
    /// How many connections are open.
    pub(super) fn connections(&self) -> usize {
        self.requests.tokens().len() + self.sockets.count()
    }
}

impl<'a> Pump<'a> {
    /// Begins a life: the committed state, and what an earlier life left in the outbox.
    pub(super) async fn start(
        parts: &'a Parts,
        setup: Setup,
        generation: Arc<Generation>,
        told: &'a Told,
        inputs: mpsc::Sender<Input>,
    ) -> Result<Self, String> {
        let name = setup.name.clone();
        let unread = |error: &dyn std::fmt::Display| format!("the store can't be read: {error}");
        let state = parts.store.channel_state(&name).map_err(|error| unread(&error))?;
        let recovered = parts.store.recover_outbox(&name, setup.on_unknown).await;
        for entry in recovered.map_err(|error| unread(&error))? {
            warn!(id = entry.id, "a reply was on its way when the channel stopped; it may be there already");
        }
        let offered = generation.clone();
        let code = Code::begin(generation, setup, state).await.map_err(|error| error.to_string())?;
        let blobs = Blobs::new(name.clone(), parts.store.clone(), parts.config.clone());
        let work = Work {
            requests: Requests::new(parts.egress.clone(), blobs.clone(), parts.clock.clone(), inputs.clone()),
            sockets: Sockets::new(parts.egress.clone(), blobs.clone(), inputs.clone(), parts.clock.now_ms()),
            blobs,
            timers: Timers::new(parts.clock.clone(), inputs),
            outbound: Outbound::new(parts.store.clone(), name),
            streams: Streams::default(),
            webhooks: Webhooks::default(),
        };
        let queue = VecDeque::from([wire::Event::Started]);
        Ok(Self {
            parts,
            code,
            told,
            work,
            queue,
            offered,
            deaf: false,
            forgotten: Vec::new(),
            apart: 0,
            tries: 0,
        })
    }

    /// Runs until something ends this life.
    pub(super) async fn run(
        &mut self,
        inputs: &mut mpsc::Receiver<Input>,
        control: &mut mpsc::Receiver<Control>,
        code: &mut watch::Receiver<Option<Arc<Generation>>>,
    ) -> Ended {
        let mut woken = Vec::new();
        self.listen();
        if self.fill_outbound().is_break() || self.take_up_shown().is_break() {
            return Ended::Broken;
        }
        loop {
            if self.queue_outbound().await.is_break() {
                return Ended::Broken;
            }
            if self.queue.is_empty() {
                tokio::select! {
                    biased;
                    asked = control.recv() => return Ended::Asked(asked.unwrap_or(Control::Stop)),
                    changed = code.changed() => if changed.is_err() { return Ended::CodeGone },
                    _ = inputs.recv_many(&mut woken, BATCH) => {}
                }
            } else if let Ok(asked) = control.try_recv() {
                return Ended::Asked(asked);
            }
            while let Ok(input) = inputs.try_recv() {
                woken.push(input);
                if woken.len() >= BATCH {
                    break;
                }
            }
            // Before anything else can end this life: what came in comes only once.
            for input in woken.drain(..) {
                if self.take(input).is_break() {
                    return Ended::Broken;
                }
            }
            let serving = code.borrow_and_update().clone();
            let Some(serving) = serving else { return Ended::CodeGone };
            if self.swap(serving, inputs).await.is_break() {
                return Ended::Broken;
            }
            if self.deaf {
                return Ended::Deaf;
            }
            if !self.queue.is_empty() && self.step().await.is_break() {
                return Ended::Broken;
            }
            self.work.sockets.handled_but(&self.queue);
        }
    }

    /// Sees what is at work on the platform through to its outcome, for a while, and begins nothing new.
    pub(super) async fn drain(&mut self, inputs: &mut mpsc::Receiver<Input>) {
        let deadline = self.parts.clock.clone();
        let mut deadline = pin!(deadline.sleep(DRAIN));
        while self.work.outbound.is_at_work() || self.work.streams.is_at_work() {
            if self.queue.is_empty() {
                let input = tokio::select! {
                    input = inputs.recv() => input,
                    () = &mut deadline => return,
                };
                if input.is_none_or(|input| self.take(input).is_break()) {
                    return;
                }
            }
            if !self.queue.is_empty() && self.step().await.is_break() {
                return;
            }
        }
    }

    /// Lets the connector close politely, and ends everything that is on its way.
    pub(super) async fn stop(&mut self, last: bool) {
        let stopping = wire::Event::Stopping(wire::Stopping { final_: last });
        if let Ok(step) = self.call(&[stopping]).await {
            let _ = step::commit(self, &[], step).await;
        }
        self.work.timers.clear();
        self.work.sockets.close_all(if last { NORMAL } else { INTERRUPTED }).await;
        self.work.requests.abort_all().await;
    }

    fn take(&mut self, input: Input) -> ControlFlow<()> {
        match input {
            Input::Http(done) => {
                if self.work.requests.finish(done.token) {
                    self.queue.push_back(wire::Event::HttpDone(done));
                }
            }
            Input::Socket(socket, report) => {
                if let Some((event, heard)) = self.work.sockets.take(socket, report) {
                    self.queue.push_back(event);
                    heard.into_iter().for_each(|heard| self.heard(heard.good_for, Some(heard.after)));
                }
            }
            Input::Webhook(knock) => self.queue.push_back(self.work.webhooks.admit(knock)),
            Input::Alarm(alarm, count) => {
                if self.work.timers.rang(&alarm, count) {
                    return self.ring(alarm);
                }
            }
            Input::Outbox => return self.fill_outbound(),
            Input::Activity(activity) => {
                if let Some(turn) = self.work.streams.report(&activity, self.parts.clock.now()) {
                    return self.look_at(turn);
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn ring(&mut self, alarm: Alarm) -> ControlFlow<()> {
        match alarm {
            Alarm::Connector(token) => self.queue.push_back(wire::Event::Timer(token)),
            // The entry is due now, and is taken with the rest.
            Alarm::Outbound(_) => {}
            Alarm::Resume => self.resume(),
            Alarm::Proven => self.code.keep(),
            Alarm::Silence => self.deaf = self.is_deaf(),
            Alarm::Turn(turn) => return self.look_at(turn),
        }
        ControlFlow::Continue(())
    }

    pub(super) fn fill_outbound(&mut self) -> ControlFlow<()> {
        match self.work.outbound.fill(self.parts.clock.now()) {
            Ok(later) => {
                for (id, delay) in later {
                    self.work.timers.set(Alarm::Outbound(id), delay);
                }
                ControlFlow::Continue(())
            }
            Err(error) => self.broken(&error),
        }
    }

    /// Queues what the platform is to be asked for next.
    async fn queue_outbound(&mut self) -> ControlFlow<()> {
        if self.work.outbound.can_read_on() {
            self.fill_outbound()?;
        }
        let streams = &self.work.streams;
        let ready = self.work.outbound.take_ready(self.parts.clock.now(), |place| streams.holds(place));
        for entry in ready {
            let id = entry.id.clone();
            let shown = entry.turn.as_ref().and_then(|turn| self.work.streams.message(turn));
            match convert::outbound(&self.work.blobs, entry.clone(), shown) {
                Ok(operation) => self.queue.push_back(wire::Event::Outbound(operation)),
                Err(error) => step::refuse(self, id, format!("the entry can't be read: {error}")).await?,
            }
        }
        ControlFlow::Continue(())
    }

    /// Queues operations that nobody waits for.
    pub(super) fn queue_all(&mut self, operations: impl IntoIterator<Item = wire::Outbound>) {
        self.queue.extend(operations.into_iter().map(wire::Event::Outbound));
    }

    /// Carries out a command for a socket. One that this ends is reported like any that ends by itself.
    pub(super) fn converse(&mut self, command: wire::Command) {
        let (sockets, policy) = (&mut self.work.sockets, &self.code.setup.policy);
        let ended = match command {
            wire::Command::WsConnect(asked) => sockets.connect(asked, policy.clone()),
            wire::Command::WsSend((socket, frame)) => sockets.send(socket, frame, policy.clone()),
            wire::Command::WsKeepalive((socket, asked)) => sockets.keep_alive(socket, asked, policy),
            _ => None,
        };
        self.queue.extend(ended);
    }

    /// Handles what is queued, as one call and one commit.
    async fn step(&mut self) -> ControlFlow<()> {
        let size = if self.apart > 0 { 1 } else { self.queue.len().min(BATCH) };
        let batch: Vec<wire::Event> = self.queue.drain(..size).collect();
        match self.call(&batch).await.and_then(|step| bounds::keep(&self.work, step)) {
            Ok(step) => {
                self.parts.plugins.report(&self.code.generation, Ok(()));
                self.apart = self.apart.saturating_sub(batch.len());
                self.tries = 0;
                let outside = step::commit(self, &batch, step).await?;
                self.stood(batch, outside);
                ControlFlow::Continue(())
            }
            Err(failure) => self.recover(batch, failure).await,
        }
    }

    async fn call(&mut self, events: &[wire::Event]) -> Result<wire::Step, CallError> {
        let context = wire::Context {
            channel: self.code.setup.name.clone(),
            now: self.parts.clock.now_ms(),
            seed: step::seed(),
            config: self.code.setup.config.clone(),
        };
        self.code.handle(&context, events).await
    }

    /// The code failed on these events. They are handled again: by the code before if this one is new, else one
    /// by one; what fails even alone is put aside, and nothing else waits for it.
    async fn recover(&mut self, batch: Vec<wire::Event>, failure: CallError) -> ControlFlow<()> {
        if self.code.before().is_some() {
            let (failed, size) = (self.code.generation.clone(), batch.len());
            self.requeue(batch);
            self.parts.plugins.report(&failed, Err(&failure));
            if !self.go_back(&failure.to_string()).await? {
                self.apart = size;
            }
            return ControlFlow::Continue(());
        }
        self.parts.plugins.report(&self.code.generation, Err(&failure));
        if batch.len() > 1 {
            self.apart = batch.len();
            self.requeue(batch);
            return ControlFlow::Continue(());
        }
        self.tries += 1;
        if self.tries < TRIES {
            self.apart = self.apart.max(1);
            self.requeue(batch);
            return ControlFlow::Continue(());
        }
        (self.tries, self.apart) = (0, self.apart.saturating_sub(1));
        error!(%failure, "the connector failed on an event; it is put aside");
        self.set_state(State::Reconnecting, Some(format!("the connector failed: {failure}")));
        self.work.timers.set(Alarm::Resume, REST);
        step::put_aside(self, &batch, &failure).await
    }

    /// Events that are to be handled before all others.
    pub(super) fn requeue(&mut self, batch: Vec<wire::Event>) {
        for event in batch.into_iter().rev() {
            self.queue.push_front(event);
        }
    }

    /// How many events wait to be handled.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Has the code told what is open and what is still to come, before anything else comes.
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

    pub(super) fn set_state(&self, state: State, error: Option<String>) {
        super::set_state(self.parts, &self.told.health, &self.code.setup.name, state, error);
    }

    pub(super) fn broken(&self, error: &prx_base::error::Error) -> ControlFlow<()> {
        error!(%error, "the store failed; the channel stops");
        self.set_state(State::Disconnected, Some("the gateway's store failed; see its log".into()));
        ControlFlow::Break(())
    }
}

/// The span that every log line of a channel is in.
pub(super) fn span(channel: &str) -> Span {
    info_span!("channel", module = module(channel))
}

/// What the log lines of a channel are found by.
pub(super) fn module(channel: &str) -> String {
    format!("channel::{channel}")
}

/// Tells a pump of everything that comes from the rest of the gateway, for as long as the task lives.
pub(super) async fn forward(parts: Parts, channel: String, inputs: mpsc::Sender<Input>) {
    let outbox = parts.store.outbox_ready(&channel);
    let mut activity = parts.events.activity();
    let forwarding = async {
        loop {
            let input = tokio::select! {
                () = outbox.notified() => Input::Outbox,
                reported = activity.recv() => match reported {
                    Ok(activity) if activity.channel == channel => Input::Activity(activity),
                    // Someone else's, or some were missed: typing is a courtesy.
                    _ => continue,
                },
            };
            if inputs.send(input).await.is_err() {
                return;
            }
        }
    };
    forwarding.instrument(Span::current()).await;
}
