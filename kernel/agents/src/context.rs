//! What a provider is shown: who it is, what was said before, and which tools it may call.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::context_window::{self, estimate};
use super::quoting;
use super::recall;
use super::tool::{Names, Room, Tool};
use super::windows::Limit;
use super::work::{Services, Work};
use prx_base::config::{Policy, Provider};
use prx_base::error::{Error, Result};
use prx_host::Scope;
use prx_host::bindings::provider as wire;
use prx_host::bindings::skill;
use prx_store::{
    Attachment, AttachmentKind, MAX_PAGE, Message, MessageContext, NewMessage, ProviderData, Role, Store,
    ToolCall, Turn,
};

/// Ends an answer that a person has stopped.
const STOPPED: &str = "[stopped here by the user]";
/// The answer of a turn that has failed.
const NO_ANSWER: &str = "[there was no answer: something went wrong]";
/// An answer without words.
const EMPTY_ANSWER: &str = "[an empty answer]";

/// Who is asked.
pub(super) struct Model<'a> {
    /// The provider, by its name in the configuration.
    pub(super) provider: &'a str,
    /// One of its models.
    pub(super) name: &'a str,
    /// It reads pictures.
    pub(super) takes_pictures: bool,
    /// What a request may cost.
    pub(super) limit: Limit,
    /// Tokens of its longest answer, where that is set.
    pub(super) max_output: Option<u64>,
}

/// What stays the same while a turn lasts.
pub(super) struct Context {
    /// Who is asked.
    pub(super) provider: Provider,
    /// The model that the session names, as `provider/model`.
    named: Option<String>,
    /// What the calls of the turn may see.
    pub(super) scope: Scope,
    /// The channel of the session, to which the files belong that tools make.
    pub(super) channel: String,
    /// What models call the tools.
    pub(super) names: Arc<Names>,
    /// The tools that may be called, and what the operator says about each.
    offered: BTreeMap<String, Policy>,
    /// The same, and as a provider is told of each.
    tools: Vec<(Arc<Tool>, wire::ToolSpec)>,
    system: String,
    /// Up to and with the message that began this turn.
    history: Vec<NewMessage>,
}

impl Context {
    /// What a turn begins with.
    ///
    /// # Errors
    /// The store has failed.
    pub(super) async fn of(work: &Work<'_>, instructions: Option<skill::Instructions>) -> Result<Self> {
        let Services { base, store, tools, .. } = work.services;
        let config = base.config.current();
        let (text, only) = instructions.map(|given| (given.text, given.tools)).unwrap_or_default();
        let history = history(store, work.turn, config.agent.history_messages)?;
        let history: Vec<NewMessage> = history.into_iter().map(Message::said).collect();
        let called = history.iter().flat_map(|message| &message.tool_calls).map(|call| call.name.as_str());
        let catalog = tools.catalog().await;
        let names = catalog.names().with(called);
        let policy = |tool: &Tool| config.tools.policy_of(tool.name());
        let told: Vec<&Arc<Tool>> = catalog
            .tools()
            .filter(|_| config.agent.max_tool_calls_per_turn > 0)
            .filter(|tool| only.is_empty() || only.iter().any(|name| name == tool.name()))
            .filter(|tool| policy(tool) != Policy::Deny && tool.problem().is_none())
            .collect();
        let left_out = Room::of(config.agent.max_context_tokens).left_out(told.iter().copied());
        let told: Vec<_> = told.into_iter().filter(|tool| !left_out.has(tool.name())).collect();
        let offered = told.iter().map(|tool| (tool.name().to_owned(), policy(tool))).collect();
        let specs = told.into_iter().map(|tool| (Arc::clone(tool), spec(tool, &names))).collect();
        let scope = scope(store, work.turn)?;
        let session = store.session(&work.turn.session)?;
        let remembered = recall::block(work.services, work.turn, scope.owner.as_ref())?;
        let system = [config.agent.system_prompt.as_str(), &text, &remembered];
        let system: Vec<&str> = system.into_iter().filter(|text| !text.is_empty()).collect();
        Ok(Self {
            provider: config.provider.with_model(session.model.as_deref()),
            named: session.model,
            scope,
            channel: session.channel,
            offered,
            tools: specs,
            names,
            system: system.join("\n\n"),
            history,
        })
    }

    /// What a model may do with a tool in this turn; none if it is not to be called.
    pub(super) fn policy_of(&self, tool: &str) -> Option<Policy> {
        self.offered.get(tool).copied()
    }

    /// The request, for this model, with what was said in this turn so far; where it takes pictures, with what tools
    /// returned for the eye.
    ///
    /// # Errors
    /// There is no room for it, whatever is left out.
    pub(super) fn request(&self, since: &[NewMessage], model: &Model<'_>) -> Result<wire::Request> {
        let own = self.history.len().saturating_sub(1);
        let (shown, pictures) = (|said| message(said, &self.names, model), model.takes_pictures);
        let mut messages: Vec<wire::Message> = self.history.iter().map(shown).collect();
        for results in since.chunk_by(|one, other| one.role == other.role) {
            messages.extend(results.iter().map(shown));
            messages.extend(pictures.then(|| self.pictures(results)).flatten());
        }
        let (lowest, allowed) = (model.limit.lowest(), model.limit.allowed);
        let tools = self.tools_within(model.limit.with_tools);
        if lowest > 0 {
            let fixed = estimate(&self.system) + context_window::tools_cost(&tools);
            let needed = fixed + context_window::fit(&mut messages, own, lowest.saturating_sub(fixed));
            if allowed > 0 && needed > allowed {
                return Err(too_much(needed, model));
            }
        }
        Ok(wire::Request {
            model: model.name.to_owned(),
            system: self.system.clone(),
            messages,
            tools,
            options: self.options(model),
        })
    }

    /// What is set for a model, as a JSON object. A model that the session names counts for more than one of the
    /// provider's own settings.
    fn options(&self, model: &Model<'_>) -> String {
        let mut options = serde_json::Map::new();
        if let Some(longest) = model.max_output {
            options.insert("max_tokens".to_owned(), longest.into());
        }
        if self.named.as_deref() == Some(format!("{}/{}", model.provider, model.name).as_str()) {
            options.insert("model".to_owned(), model.name.into());
        }
        serde_json::Value::Object(options).to_string()
    }

    /// The tools that a model is told of whose requests may cost so much; 0: any number.
    fn tools_within(&self, max_tokens: u64) -> Vec<wire::ToolSpec> {
        let left_out = Room::of(max_tokens).left_out(self.tools.iter().map(|(tool, _)| tool));
        let told = self.tools.iter().filter(|(tool, _)| !left_out.has(tool.name()));
        told.map(|(_, spec)| spec.clone()).collect()
    }

    /// What tools have returned for the eye, as from the user: models take pictures from nobody else. What the person
    /// sent is before them already.
    fn pictures(&self, results: &[NewMessage]) -> Option<wire::Message> {
        let is_new = |file: &&Attachment| {
            let sent = self.scope.attachments.iter().any(|sent| sent.blob == file.blob);
            file.kind == AttachmentKind::Image && !sent
        };
        let tools = results.iter().filter(|said| said.role == Role::Tool);
        let pictures: Vec<_> = tools.flat_map(|said| &said.attachments).filter(is_new).cloned().collect();
        let names = pictures.iter().map(|file| file.name.as_deref().unwrap_or("a picture"));
        let text = format!("[from the tools, not from the user: {}]", names.collect::<Vec<_>>().join(", "));
        let attachments: Vec<_> = pictures.iter().cloned().map(Into::into).collect();
        (!attachments.is_empty()).then_some(wire::Message::User(wire::UserMessage { text, attachments }))
    }

    /// A completion with the tools' own names.
    pub(super) fn own_names(&self, mut completion: wire::Completion) -> wire::Completion {
        for call in &mut completion.tool_calls {
            call.name = self.names.own(&call.name).to_owned();
        }
        completion
    }
}

/// There is no room for what a model is to be asked.
fn too_much(needed: u64, model: &Model<'_>) -> Error {
    let Model { provider, name, limit, .. } = model;
    Error::bad_request(format!(
        "This needs about {needed} tokens, and {provider}/{name} is shown {} at most: say less at once, or raise \
         agent.max_context_tokens, and providers_config.{provider}.models.{name:?}.window where that is set",
        limit.allowed
    ))
}

/// Everything earlier in the session, up to and with the message that began this turn.
pub(super) fn history(store: &Store, turn: &Turn, limit: u32) -> Result<Vec<Message>> {
    let mut messages = match usize::try_from(limit).unwrap_or(usize::MAX) {
        0 => Vec::new(),
        limit => answered(window(store, turn, limit)?),
    };
    messages.push(turn.message.clone());
    for message in &mut messages {
        drop_gone(store, &mut message.attachments)?;
    }
    Ok(messages)
}

/// The last messages before a turn, from the beginning of an earlier one on: what is left of a turn whose question fell
/// out makes no sense to a provider. Where that is all there is, its question and what followed come with it.
fn window(store: &Store, turn: &Turn, limit: usize) -> Result<Vec<Message>> {
    let mut messages = store.messages(&turn.session, limit, Some(&turn.message.id))?.items;
    loop {
        let begins = messages.iter().position(|message| message.role == Role::User);
        if let Some(begins) = begins {
            messages.drain(..begins);
            return Ok(messages);
        }
        let Some(first) = messages.first() else { return Ok(messages) };
        let mut earlier = store.messages(&turn.session, MAX_PAGE, Some(&first.id))?.items;
        // Of those only the turn that was cut.
        let begins = earlier.iter().rposition(|message| message.role == Role::User);
        earlier.drain(..begins.unwrap_or_default());
        if earlier.is_empty() {
            return Ok(earlier);
        }
        earlier.append(&mut messages);
        messages = earlier;
    }
}

/// The same with an answer to each question, as vendors want it: there is none where a turn has failed, and an empty one
/// where a model had nothing to say.
fn answered(messages: Vec<Message>) -> Vec<Message> {
    let mut whole: Vec<Message> = Vec::with_capacity(messages.len());
    let mut messages = messages.into_iter().peekable();
    while let Some(mut message) = messages.next() {
        let is_empty = message.content.is_empty() && message.tool_calls.is_empty() && !message.stopped;
        if message.role == Role::Assistant && is_empty {
            EMPTY_ANSWER.clone_into(&mut message.content);
        }
        let is_last = messages.peek().is_none_or(|next| next.role == Role::User);
        let unanswered = is_last && (message.role != Role::Assistant || !message.tool_calls.is_empty());
        let note = unanswered.then(|| Message {
            role: Role::Assistant,
            content: NO_ANSWER.to_owned(),
            attachments: Vec::new(),
            tool_calls: Vec::new(),
            tool_call_id: None,
            is_error: false,
            context: MessageContext::default(),
            provider_data: None,
            ..message.clone()
        });
        whole.push(message);
        whole.extend(note);
    }
    whole
}

/// A stored message as providers take it.
fn message(said: &NewMessage, names: &Names, model: &Model<'_>) -> wire::Message {
    let text = said.content.clone();
    match said.role {
        Role::User => {
            let text = quoting::told(said).into_owned();
            let attachments = said.attachments.iter().cloned().map(Into::into).collect();
            wire::Message::User(wire::UserMessage { text, attachments })
        }
        Role::Assistant => {
            let call = |ToolCall { id, name, arguments }: &ToolCall| wire::ToolCall {
                id: id.clone(),
                name: names.shown(name).to_owned(),
                arguments: arguments.clone(),
            };
            let tool_calls = said.tool_calls.iter().map(call).collect();
            let text = if said.stopped { format!("{text}\n{STOPPED}").trim_start().to_owned() } else { text };
            let data = said.provider_data.as_ref().filter(|data| is_by(data, model)).map(provider_data);
            wire::Message::Assistant(wire::AssistantMessage { text, tool_calls, data })
        }
        Role::Tool => {
            let id = said.tool_call_id.clone().unwrap_or_default();
            wire::Message::ToolResult(wire::ToolResult { id, text, is_error: said.is_error })
        }
    }
}

fn is_by(data: &ProviderData, model: &Model<'_>) -> bool {
    data.provider == model.provider && data.model == model.name
}

fn provider_data(data: &ProviderData) -> wire::ProviderData {
    let calls = data.calls.iter().map(|(id, data)| (id.clone(), data.clone())).collect();
    wire::ProviderData { message: data.message.clone(), calls }
}

/// What the calls of a turn may see: what came with the message that began it, and the memories of who said it.
///
/// # Errors
/// The store has failed.
pub(super) fn scope(store: &Store, turn: &Turn) -> Result<Scope> {
    Ok(Scope {
        attachments: turn.message.attachments.iter().cloned().map(Into::into).collect(),
        owner: recall::owner(store, turn)?,
        session: Some(turn.session.clone()),
        makes: None,
    })
}

/// Leaves out the files that are kept no longer: a session outlives them.
fn drop_gone(store: &Store, attachments: &mut Vec<Attachment>) -> Result<()> {
    let mut kept = Vec::with_capacity(attachments.len());
    for attachment in attachments.drain(..) {
        if store.blob(&attachment.blob)?.is_some() {
            kept.push(attachment);
        }
    }
    *attachments = kept;
    Ok(())
}

/// A tool as providers are told of it.
fn spec(tool: &Tool, names: &Names) -> wire::ToolSpec {
    wire::ToolSpec {
        name: names.shown(tool.name()).to_owned(),
        description: tool.definition().description.clone(),
        parameters: tool.parameters().to_owned(),
    }
}
