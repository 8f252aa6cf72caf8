//! A linked component and the calls it answers, each by an instance that no other call has meanwhile.

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::mpsc;
use wasmtime::component::{Linker, Resource};

use super::bindings::common::{Action, Attachment};
use super::bindings::{agent, filter, observer, provider, sink, skill, tool};
use super::call::CallError;
use super::connector::Connector;
use super::delta_sink::DeltaSink;
use super::engine::{Artifact, Engine};
use super::imports::{self, Shared};
use super::instance::{GuestInstance, Lease, Linked, Missing, Size, classify, within};
use super::journal::Journal;
use super::limits::Gauge;
use super::links::{LinkError, Links};
use super::meter::Meter;
use super::scope::Scope;
use super::share::Needs;

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
    /// Whether it is an agent.
    pub agent: bool,
    /// Whether it has jobs; its manifest names them.
    pub job: bool,
    /// The kinds of events that its observer wants, if it has one.
    pub observes: Option<Vec<String>>,
    /// Whether it serves routes; its manifest names those beside its own.
    pub route: bool,
    /// The stages that its filter is to be asked at, if it has one.
    pub filters: Option<Vec<filter::StageKind>>,
}

/// A component linked to what it gets: one generation of a plugin. Cloning it is cheap.
#[derive(Clone)]
pub struct Code(pub(super) Arc<Linked>);

impl Engine {
    /// Links a component to what it gets. Runs none of its code. `core_instances` is how many instances of modules one
    /// instance of it is made of, as [`crate::inspect`] has counted them.
    ///
    /// # Errors
    /// It imports what it does not get, its interfaces have other shapes than the kernel's, or an instance of it takes
    /// more than it may.
    pub fn link(&self, artifact: &Artifact, core_instances: u64, links: Links) -> Result<Code, LinkError> {
        let needs = Needs::of(&artifact.0, core_instances)?;
        let mismatch = |error: wasmtime::Error| LinkError::Mismatch(format!("{error:#}"));
        let mut linker = Linker::new(artifact.0.engine());
        imports::link(&mut linker, &links).map_err(mismatch)?;
        let component = linker.instantiate_pre(&artifact.0).map_err(mismatch)?;
        let share = self.share(&links.name);
        let files = links.file_bytes.map(|quota| self.folders.of(&links.name, quota)).transpose();
        let shared = Shared {
            journal: Journal::new(&links.name, self.services.clock.clone()),
            gauge: Arc::new(Gauge::new(&links.limits)),
            files: files.map_err(|error| LinkError::Files(error.to_string()))?,
            links,
            services: self.services.clone(),
        };
        let size = Size { needs, image_bytes: artifact.image_bytes() };
        Ok(Code(Arc::new(Linked::new(component, shared, share, size))))
    }
}

impl Code {
    /// Asks the component what it has. A connector proves at least that it starts.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn describe(&self) -> Result<Description, CallError> {
        // One at a time, beside the plugin's share: old code that uses it up does not keep new code out.
        self.call_at(Lease::New(None), Scope::default(), async |instance| {
            let GuestInstance { store, guest, .. } = instance;
            let mut description = Description {
                connector: guest.connector.is_some(),
                agent: guest.agent.is_some(),
                job: guest.job.is_some(),
                route: guest.route.is_some(),
                ..Description::default()
            };
            if let Some(tool) = &guest.tool {
                description.tools = tool.call_tools(&mut *store).await?;
            }
            if let Some(skill) = &guest.skill {
                description.skills = skill.call_skills(&mut *store).await?;
            }
            if let Some(provider) = &guest.provider {
                description.models = Some(provider.call_models(&mut *store).await?);
            }
            if let Some(observer) = &guest.observer {
                description.observes = Some(observer.call_kinds(&mut *store).await?);
            }
            if let Some(filter) = &guest.filter {
                description.filters = Some(filter.call_stages(&mut *store).await?);
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
        let answer = self.call(scope, async |instance| {
            let tool = instance.guest.tool.as_ref().ok_or(Missing("tools"))?;
            let mut answer = tool.call_call(&mut instance.store, name, arguments, context).await?;
            if let Ok(output) = &mut answer {
                let named = std::mem::take(&mut output.attachments);
                output.attachments = instance.store.data_mut().keep_named(named).await;
            }
            Ok(answer)
        });
        answer.await?.map_err(CallError::Fault)
    }

    /// Activates a skill.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn activate(
        &self,
        name: &str,
        input: &skill::SkillInput,
        scope: Scope,
    ) -> Result<skill::Activation, CallError> {
        let answer = self.call(scope, async |instance| {
            let skill = instance.guest.skill.as_ref().ok_or(Missing("skills"))?;
            skill.call_activate(&mut instance.store, name, input).await
        });
        answer.await?.map_err(CallError::Fault)
    }

    /// Has a model answer. The answer goes to `deltas` while it grows; when nobody takes them the provider waits. It may
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
        self.call(scope, async move |instance| {
            let GuestInstance { store, guest, .. } = instance;
            let provider = guest.provider.as_ref().ok_or(Missing("models"))?;
            store.data_mut().call.deltas = Some(deltas);
            let sink = store.data_mut().table.push(DeltaSink)?;
            let lent = Resource::new_borrow(sink.rep());
            let answer = provider.call_complete(&mut *store, request, lent).await?;
            store.data_mut().table.delete(sink)?;
            Ok(answer)
        })
        .await
    }

    /// Asks a provider's server for its models.
    ///
    /// # Errors
    /// See [`CallError`]. The inner error is the provider's own.
    pub async fn list_models(
        &self,
    ) -> Result<Result<Vec<provider::ModelInfo>, provider::ProviderError>, CallError> {
        self.call(Scope::default(), async |instance| {
            let provider = instance.guest.provider.as_ref().ok_or(Missing("models"))?;
            provider.call_list_models(&mut instance.store).await
        })
        .await
    }

    /// Has the agent handle events of a turn, in order. `scope` gives it the session's transcript.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn handle_turn(
        &self,
        context: &agent::Context,
        state: &[u8],
        events: &[agent::Event],
        scope: Scope,
    ) -> Result<agent::Step, CallError> {
        let answer = self.call(scope, async |instance| {
            instance.store.data_mut().set_inputs(context.now, context.seed);
            let agent = instance.guest.agent.as_ref().ok_or(Missing("agent"))?;
            agent.call_handle(&mut instance.store, context, state, events).await
        });
        answer.await?.map_err(CallError::Fault)
    }

    /// Brings an agent's state that an older version wrote up to this one's.
    ///
    /// # Errors
    /// As [`Code::handle_turn`].
    pub async fn migrate_turn(&self, from_version: u32, state: &[u8]) -> Result<Vec<u8>, CallError> {
        let answer = self.call(Scope::default(), async |instance| {
            instance.store.data_mut().set_inputs(0, 0);
            let agent = instance.guest.agent.as_ref().ok_or(Missing("agent"))?;
            agent.call_migrate(&mut instance.store, from_version, state).await
        });
        answer.await?.map_err(CallError::Fault)
    }

    /// Runs a job for the time that it was due at, in Unix milliseconds.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn run_job(&self, name: &str, due_ms: u64, run_id: &str) -> Result<Vec<Action>, CallError> {
        let answer = self.call(Scope::default(), async |instance| {
            let job = instance.guest.job.as_ref().ok_or(Missing("jobs"))?;
            job.call_run(&mut instance.store, name, due_ms, run_id).await
        });
        answer.await?.map_err(CallError::Fault)
    }

    /// Tells the observer what has happened, in order.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn observe(&self, happenings: &[observer::Happening]) -> Result<Vec<Action>, CallError> {
        let answer = self.call(Scope::default(), async |instance| {
            let observer = instance.guest.observer.as_ref().ok_or(Missing("observer"))?;
            observer.call_observe(&mut instance.store, happenings).await
        });
        answer.await?.map_err(CallError::Fault)
    }

    /// Has the filter look at something. It may read the files of `scope`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn inspect(&self, stage: &filter::Stage, scope: Scope) -> Result<filter::Verdict, CallError> {
        let answer = self.call(scope, async |instance| {
            let filter = instance.guest.filter.as_ref().ok_or(Missing("filter"))?;
            filter.call_inspect(&mut instance.store, stage).await
        });
        answer.await?.map_err(CallError::Fault)
    }

    /// Starts the connector: an instance that stays warm, for one task to own.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn connector(&self) -> Result<Connector, CallError> {
        Connector::start(Arc::clone(&self.0)).await
    }

    /// Linear memory of all instances and the compiled image, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.instance_bytes() + self.0.image_bytes
    }

    /// Linear memory of all instances, in bytes.
    pub fn instance_bytes(&self) -> u64 {
        self.0.shared.gauge.bytes()
    }

    /// The most linear memory that all instances together ever had, in bytes.
    pub fn most_bytes(&self) -> u64 {
        self.0.shared.gauge.peak()
    }

    /// Its log.
    pub fn journal(&self) -> &Journal {
        &self.0.shared.journal
    }

    /// One call within its limits, on an instance that nobody else has.
    async fn call<R>(
        &self,
        scope: Scope,
        work: impl AsyncFnOnce(&mut GuestInstance) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        let lease = self.0.lease().await?;
        self.call_at(lease, scope, work).await
    }

    async fn call_at<R>(
        &self,
        lease: Lease,
        scope: Scope,
        work: impl AsyncFnOnce(&mut GuestInstance) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        let meter = Meter::new(self.0.shared.links.limits.cpu, &self.0.share);
        metered(&self.0, lease, &meter, scope, work).await
    }
}

/// One call within its limits, which this meter is read for.
///
/// # Errors
/// See [`CallError`].
pub(super) async fn metered<R>(
    linked: &Linked,
    lease: Lease,
    meter: &Arc<Meter>,
    scope: Scope,
    work: impl AsyncFnOnce(&mut GuestInstance) -> wasmtime::Result<R>,
) -> Result<R, CallError> {
    let mut slot = None;
    let work = async {
        let instance = slot.insert(linked.acquire(lease, meter).await?);
        instance.store.data_mut().call = scope.into();
        work(instance).await
    };
    let outcome = within(&linked.shared.links.limits, meter, pin!(work)).await?;
    match outcome {
        Ok(answer) => {
            if let Some(instance) = slot {
                linked.release(instance);
            }
            Ok(answer)
        }
        Err(error) => Err(classify(&error, slot.as_ref(), &linked.shared)),
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
