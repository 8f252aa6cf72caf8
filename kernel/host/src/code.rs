//! A linked component and the calls it answers, each by an instance of its own.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use wasmtime::component::{InstancePre, Resource};

use super::bindings::types::Attachment;
use super::bindings::{provider, sink, skill, tool};
use super::call::CallError;
use super::connector::Connector;
use super::engine::{Artifact, Services};
use super::imports::log::Journal;
use super::imports::sink::DeltaSink;
use super::imports::{Host, Shared};
use super::instance::{Exports, Live, Missing, judge, within};
use super::limits::{Gauge, Meter};
use super::links::{self, LinkError, Links};
use super::scope::Scope;

/// Calls of one plugin that can be under way at a time; more wait for their turn.
const CALLS: usize = 256;

/// Clean instances that wait for the next call, where the manifest allows it.
const IDLE: usize = 8;

/// An instance that has grown beyond this is not kept.
const KEPT_BYTES: u64 = 16 << 20;

/// Most that a component may hand over in one answer or one host call, in bytes.
const ANSWER_BYTES: usize = 4 << 20;

/// What a component says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Description {
    /// Its tools.
    pub tools: Vec<tool::ToolInfo>,
    /// Its skills.
    pub skills: Vec<skill::SkillInfo>,
    /// Its models, if it is a provider.
    pub models: Option<Vec<String>>,
    /// Whether it is a connector.
    pub connector: bool,
}

/// A component linked to what it gets: one generation of a plugin. Cloning it is cheap.
#[derive(Clone)]
pub struct Code(Arc<Linked>);

/// What all clones of a [`Code`] share.
pub(super) struct Linked {
    pub(super) component: InstancePre<Host>,
    pub(super) exports: Exports,
    pub(super) shared: Arc<Shared>,
    image_bytes: u64,
    turns: Semaphore,
    /// Instances between two calls. The lock is held to take or put one, never across an await.
    idle: Mutex<Vec<Live>>,
}

impl Code {
    pub(super) fn new(artifact: &Artifact, links: Links, services: Services) -> Result<Self, LinkError> {
        let linker = links::linker(&artifact.0, &links)?;
        let component =
            linker.instantiate_pre(&artifact.0).map_err(|error| LinkError::Mismatch(format!("{error:#}")))?;
        let shared = Shared {
            journal: Journal::new(&links.name, services.clock.clone()),
            gauge: Arc::new(Gauge::new(&links.limits)),
            links,
            services,
        };
        Ok(Self(Arc::new(Linked {
            exports: Exports::of(&component),
            component,
            shared: Arc::new(shared),
            image_bytes: artifact.image_bytes(),
            turns: Semaphore::new(CALLS),
            idle: Mutex::default(),
        })))
    }

    /// Asks the component what it has. A connector proves at least that it starts.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn describe(&self) -> Result<Description, CallError> {
        self.call(Scope::default(), async |live| {
            let Live { store, guest } = live;
            let mut description =
                Description { connector: guest.connector.is_some(), ..Description::default() };
            if let Some(tool) = &guest.tool {
                description.tools = tool.call_tools(&mut *store).await?;
            }
            if let Some(skill) = &guest.skill {
                description.skills = skill.call_skills(&mut *store).await?;
            }
            if let Some(provider) = &guest.provider {
                description.models = Some(provider.call_models(&mut *store).await?);
            }
            Ok(description)
        })
        .await
    }

    /// Calls a tool with its arguments, a JSON object. Its answer has the attachments that it may have, and the files
    /// among them that it has made are kept.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call_tool(
        &self,
        name: &str,
        arguments: &str,
        context: &tool::CallContext,
        scope: Scope,
    ) -> Result<tool::ToolOutput, CallError> {
        let answer = self.call(scope, async |live| {
            let tool = live.guest.tool.as_ref().ok_or(Missing("tools"))?;
            let mut answer = tool.call_call(&mut live.store, name, arguments, context).await?;
            if let Ok(output) = &mut answer {
                let named = std::mem::take(&mut output.attachments);
                output.attachments = live.store.data_mut().keep_named(named).await;
            }
            Ok(answer)
        });
        answer.await?.map_err(CallError::Fault)
    }

    /// Brings a skill in.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn activate(
        &self,
        name: &str,
        input: &skill::SkillInput,
        scope: Scope,
    ) -> Result<skill::Activation, CallError> {
        let answer = self.call(scope, async |live| {
            let skill = live.guest.skill.as_ref().ok_or(Missing("skills"))?;
            skill.call_activate(&mut live.store, name, input).await
        });
        answer.await?.map_err(CallError::Fault)
    }

    /// Has a model answer. What it says on the way goes to `deltas`; when nobody takes them the provider waits. It may
    /// read the files in the request, whatever its scope.
    ///
    /// # Errors
    /// See [`CallError`]. The inner error is the provider's own.
    pub async fn complete(
        &self,
        request: &provider::Request,
        deltas: mpsc::Sender<sink::Delta>,
        mut scope: Scope,
    ) -> Result<Result<provider::Completion, provider::ProviderError>, CallError> {
        scope.attachments = attached(request);
        self.call(scope, async move |live| {
            let Live { store, guest } = live;
            let provider = guest.provider.as_ref().ok_or(Missing("models"))?;
            let sink = store.data_mut().table.push(DeltaSink(deltas))?;
            let lent = Resource::new_borrow(sink.rep());
            let answer = provider.call_complete(&mut *store, request, lent).await?;
            store.data_mut().table.delete(sink)?;
            Ok(answer)
        })
        .await
    }

    /// Starts the connector: an instance that stays warm, for one task to own.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn connector(&self) -> Result<Connector, CallError> {
        Connector::start(Arc::clone(&self.0)).await
    }

    /// Linear memory of the instances that live, and the compiled image.
    pub fn memory_bytes(&self) -> u64 {
        self.0.shared.gauge.bytes() + self.0.image_bytes
    }

    /// Where its lines for the operator go.
    pub fn journal(&self) -> &Journal {
        &self.0.shared.journal
    }

    /// One call within its limits, on an instance that nobody else has.
    async fn call<R>(
        &self,
        scope: Scope,
        work: impl AsyncFnOnce(&mut Live) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        let linked = &*self.0;
        let limits = &linked.shared.links.limits;
        let _turn = match linked.turns.try_acquire() {
            Ok(turn) => turn,
            Err(_) => {
                let turn = timeout(limits.deadline, linked.turns.acquire()).await;
                turn.ok().and_then(Result::ok).ok_or(CallError::Busy)?
            }
        };

        let meter = Meter::new(limits.cpu);
        let mut place = None;
        let outcome = within(limits, &meter, async {
            let live = place.insert(linked.instance(&meter).await?);
            live.store.data_mut().call = scope.into();
            work(live).await
        });
        match outcome.await? {
            Ok(answer) => {
                linked.keep(place);
                Ok(answer)
            }
            Err(error) => Err(judge(&error, place.as_ref(), &linked.shared)),
        }
    }
}

/// The files that come with a request.
fn attached(request: &provider::Request) -> Vec<Attachment> {
    let attached = request.messages.iter().filter_map(|message| match message {
        provider::Message::User(user) => Some(&user.attachments),
        _ => None,
    });
    attached.flatten().cloned().collect()
}

impl Linked {
    async fn instance(&self, meter: &Arc<Meter>) -> wasmtime::Result<Live> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(mut live) => {
                live.resume(meter);
                Ok(live)
            }
            None => Live::start(self, Host::new(&self.shared, Arc::clone(meter)), ANSWER_BYTES).await,
        }
    }

    /// Puts an instance that has answered back for the next call, if it may serve one.
    fn keep(&self, live: Option<Live>) {
        let Some(mut live) = live.filter(|live| self.shared.links.reuse && live.is_clean(KEPT_BYTES)) else {
            return;
        };
        live.rest();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(live);
        }
    }
}
