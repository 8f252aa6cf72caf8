//! The REST API, as the platform answers it.

use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Bot, Call, Fault, Sent, State, TOKEN};
use crate::server::{Reply, Service, Socket};

/// The most that a file may take where nobody has paid for more.
const MAX_FILE: usize = 10 << 20;

/// What a call comes to: its result, or status, code and message of its refusal.
type Outcome = Result<(u16, Value), (u16, u64, String)>;

/// What is asked for, with the ids in its path.
enum Asked {
    Gateway,
    Send(u64),
    Edit(u64, u64),
    Delete(u64, u64),
    React(u64),
    Typing(u64),
    Callback,
    Answer,
    Commands,
    SetCommands,
}

impl Service for Bot {
    async fn answer(&self, request: Request<Bytes>) -> Reply {
        if let Some(name) = request.uri().path().strip_prefix("/attachments/") {
            return self.file(name, &request);
        }
        let Some(asked) = asked(&request) else { return refusal(404, 0, "404: Not Found") };
        let (call, fault) = self.note(&asked, &request);
        let authorization = request.headers().get("authorization").map(|value| value.as_bytes());
        let reply = match fault {
            _ if asked.wants_token() && authorization != Some(format!("Bot {TOKEN}").as_bytes()) => {
                refusal(401, 0, "401: Unauthorized")
            }
            Some(Fault::Refuse(status, code, message)) => refusal(status, code, message),
            Some(Fault::TooMany(seconds, global)) => too_many(seconds, global),
            Some(Fault::Page(status)) => Reply::Json(status, "<html>error code: 1015</html>".to_owned()),
            Some(Fault::DropBefore) => Reply::Drop,
            Some(Fault::DropAfter) => {
                let _ = self.outcome(&asked, call);
                Reply::Drop
            }
            None => self.outcome(&asked, call),
        };
        let mut state = self.state();
        state.rest.calls[call].status = Some(match &reply {
            Reply::Json(status, _) | Reply::Headed(status, ..) => *status,
            Reply::Stream(..) => 200,
            Reply::Drop => 0,
        });
        self.tell(state);
        reply
    }

    async fn talk(&self, at: String, socket: Socket) {
        self.serve(at, socket).await;
    }
}

impl Bot {
    /// A file that somebody has sent, for anyone who knows where it is.
    fn file(&self, name: &str, request: &Request<Bytes>) -> Reply {
        if request.headers().contains_key("authorization") {
            self.state().broke("the token went to where files are");
        }
        match name {
            "gone.txt" => Reply::Headed(404, Vec::new(), "This content is no longer available.".into()),
            name => Reply::Headed(200, Vec::new(), super::FakeDiscord::content(name)),
        }
    }
}

impl Asked {
    fn kind(&self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Send(_) => "send",
            Self::Edit(..) => "edit",
            Self::Delete(..) => "delete",
            Self::React(_) => "react",
            Self::Typing(_) => "typing",
            Self::Callback => "callback",
            Self::Answer => "answer",
            Self::Commands => "commands",
            Self::SetCommands => "set_commands",
        }
    }

    fn wants_token(&self) -> bool {
        !matches!(self, Self::Callback | Self::Answer)
    }
}

fn asked(request: &Request<Bytes>) -> Option<Asked> {
    let path = request.uri().path().strip_prefix("/api/v10/")?;
    let parts: Vec<&str> = path.split('/').collect();
    let id = |text: &str| text.parse::<u64>().ok();
    Some(match (request.method().as_str(), &parts[..]) {
        ("GET", ["gateway", "bot"]) => Asked::Gateway,
        ("POST", ["channels", channel, "messages"]) => Asked::Send(id(channel)?),
        ("PATCH", ["channels", channel, "messages", message]) => Asked::Edit(id(channel)?, id(message)?),
        ("DELETE", ["channels", channel, "messages", message]) => Asked::Delete(id(channel)?, id(message)?),
        ("PUT", ["channels", channel, "messages", _, "reactions", _, "@me"]) => Asked::React(id(channel)?),
        ("POST", ["channels", channel, "typing"]) => Asked::Typing(id(channel)?),
        ("GET", ["applications", _, "commands"]) => Asked::Commands,
        ("PUT", ["applications", _, "commands"]) => Asked::SetCommands,
        ("POST", ["interactions", _, _, "callback"]) => Asked::Callback,
        ("PATCH", ["webhooks", _, _, "messages", "@original"]) | ("POST", ["webhooks", _, _]) => {
            Asked::Answer
        }
        _ => return None,
    })
}

impl Bot {
    /// Records a call; its number, and the fault that is in store for it.
    fn note(&self, asked: &Asked, request: &Request<Bytes>) -> (usize, Option<Fault>) {
        let mut state = self.state();
        let agent = request.headers().get("user-agent").and_then(|value| value.to_str().ok());
        if !agent.is_some_and(|agent| agent.starts_with("DiscordBot (http")) {
            state.broke(format!("{}: User-Agent {agent:?}", asked.kind()));
        }
        if request.uri().to_string().contains(TOKEN)
            || request.body().windows(TOKEN.len()).any(|at| at == TOKEN.as_bytes())
        {
            state.broke(format!("{}: the token where it does not belong", asked.kind()));
        }
        let (body, files) = read(request).unwrap_or_else(|| {
            state.broke(format!("{}: a form that can't be read", asked.kind()));
            (Value::Null, Vec::new())
        });
        let (kind, path, at) = (asked.kind(), request.uri().path().to_owned(), Instant::now());
        state.rest.calls.push(Call { kind, path, body, files, at, status: None });
        let call = state.rest.calls.len() - 1;
        let fault = state.rest.faults.get_mut(asked.kind()).and_then(std::collections::VecDeque::pop_front);
        self.tell(state);
        (call, fault)
    }

    fn outcome(&self, asked: &Asked, call: usize) -> Reply {
        let mut state = self.state();
        let Call { body, files, .. } = state.rest.calls[call].clone();
        let headers = match asked {
            Asked::Send(channel) => match state.room(*channel) {
                Ok(headers) => headers,
                Err(wait) => {
                    state.broke(format!("a message to {channel} whose bucket is used up"));
                    return too_many(wait.as_secs_f64(), false);
                }
            },
            _ => Vec::new(),
        };
        let outcome = state.perform(asked, (&body, files));
        if let Err((status, _, message)) = &outcome {
            state.broke(format!("{}: {status} {message}", asked.kind()));
        }
        self.tell(state);
        match outcome {
            Ok((status, result)) => {
                let text = if status == 204 { String::new() } else { result.to_string() };
                Reply::Headed(status, headers, text)
            }
            Err((status, code, message)) => refusal(status, code, &message),
        }
    }
}

impl State {
    /// What the headers say of a channel's bucket after one more message, or how long it is used up.
    fn room(&self, channel: u64) -> Result<Vec<(&'static str, String)>, Duration> {
        let Some((most, window)) = self.rest.limit else { return Ok(Vec::new()) };
        let now = Instant::now();
        let is_recent = |call: &&Call| {
            call.path.contains(&channel.to_string())
                && call.kind == "send"
                && call.status == Some(200)
                && now - call.at < window
        };
        let recent: Vec<&Call> = self.rest.calls.iter().filter(is_recent).collect();
        let reset = recent.first().map_or(window, |first| window - (now - first.at));
        if recent.len() >= most {
            return Err(reset);
        }
        let remaining = most - recent.len() - 1;
        Ok(vec![
            ("x-ratelimit-bucket", "5f3a8e".into()),
            ("x-ratelimit-limit", most.to_string()),
            ("x-ratelimit-remaining", remaining.to_string()),
            ("x-ratelimit-reset-after", format!("{:.3}", reset.as_secs_f64() + 0.001)),
        ])
    }

    fn perform(&mut self, asked: &Asked, (body, files): (&Value, Vec<(String, String)>)) -> Outcome {
        if files.iter().any(|(_, content)| content.len() > MAX_FILE) {
            return Err((413, 40_005, "Request entity too large".into()));
        }
        match asked {
            Asked::Gateway => {
                let remaining = 1000_usize.saturating_sub(self.sessions_begun.len());
                let limit = json!({"total": 1000, "remaining": remaining, "reset_after": 14_400_000, "max_concurrency": 1});
                let url = format!("ws://{}", self.address);
                Ok((200, json!({"url": url, "shards": 1, "session_start_limit": limit})))
            }
            Asked::Send(channel) => self.send(*channel, body, files),
            Asked::Edit(channel, message) => {
                let text = content(body, &files)?;
                let sent = self.find(*channel, *message)?;
                sent.text.clone_from(&text);
                if body.get("attachments").is_some() {
                    sent.files = files;
                }
                Ok((200, described(*channel, *message, &text)))
            }
            Asked::Delete(channel, message) => {
                self.find(*channel, *message)?;
                self.rest.sent.retain(|sent| sent.id != *message);
                Ok((204, Value::Null))
            }
            Asked::React(channel) | Asked::Typing(channel) => {
                self.known(*channel)?;
                Ok((204, Value::Null))
            }
            Asked::Callback => Ok((204, Value::Null)),
            Asked::Commands => Ok((200, self.rest.commands.clone())),
            Asked::SetCommands => {
                let is_one = |command: &Value| {
                    let name = command["name"].as_str().unwrap_or_default();
                    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase());
                    is_name && (1..=100).contains(&command["description"].as_str().unwrap_or_default().len())
                };
                match body.as_array().filter(|all| all.iter().all(is_one)) {
                    Some(_) => self.rest.commands = body.clone(),
                    None => return Err((400, 50_035, "Invalid Form Body".into())),
                }
                Ok((200, body.clone()))
            }
            Asked::Answer => {
                let text = content(body, &files)?;
                let id = self.next_id();
                self.rest.sent.push(Sent { channel: 0, id, text: text.clone(), files });
                Ok((200, described(0, id, &text)))
            }
        }
    }

    fn send(&mut self, channel: u64, body: &Value, files: Vec<(String, String)>) -> Outcome {
        self.known(channel)?;
        let text = content(body, &files)?;
        let nonce = body["nonce"].as_str().unwrap_or_default().to_owned();
        if body["enforce_nonce"] != true || !(1..=25).contains(&nonce.len()) {
            self.broke(format!("a message with the nonce {nonce:?}"));
        }
        if let Some(id) = self.rest.nonces.get(&nonce).copied() {
            self.rest.recognized += 1;
            return Ok((200, described(channel, id, &text)));
        }
        let id = self.next_id();
        self.rest.nonces.insert(nonce, id);
        self.rest.sent.push(Sent { channel, id, text: text.clone(), files });
        Ok((200, described(channel, id, &text)))
    }

    fn known(&self, channel: u64) -> Result<(), (u16, u64, String)> {
        let known = self.rest.channels.contains_key(&channel);
        if known { Ok(()) } else { Err((404, 10_003, "Unknown Channel".into())) }
    }

    fn find(&mut self, channel: u64, message: u64) -> Result<&mut Sent, (u16, u64, String)> {
        let mut sent = self.rest.sent.iter_mut();
        let found = sent.find(|sent| sent.channel == channel && sent.id == message);
        found.ok_or((404, 10_008, "Unknown Message".into()))
    }
}

/// What a call carries: a message, and the files that came with it in a form, each under the name that the message
/// gives it. None: it is a form of which that can't be said.
fn read(request: &Request<Bytes>) -> Option<(Value, Vec<(String, String)>)> {
    let kind = request.headers().get("content-type").and_then(|kind| kind.to_str().ok());
    if !kind.is_some_and(|kind| kind.starts_with("multipart/")) {
        return Some((serde_json::from_slice(request.body()).unwrap_or(Value::Null), Vec::new()));
    }
    let form = crate::form::parse(kind, request.body())?;
    let message: Value = serde_json::from_str(form["payload_json"].as_str()?).ok()?;
    let named = message["attachments"].as_array()?;
    let file = |named: &Value| {
        let content = form[format!("files[{}]", named["id"].as_u64()?)]["content"].as_str()?;
        Some((named["filename"].as_str()?.to_owned(), content.to_owned()))
    };
    let files = named.iter().map(file).collect::<Option<Vec<_>>>()?;
    // Each once, and nothing beside them.
    (form.as_object()?.len() == files.len() + 1).then_some((message, files))
}

fn content(body: &Value, files: &[(String, String)]) -> Result<String, (u16, u64, String)> {
    let invalid = |why: &str| (400, 50_035, format!("Invalid Form Body: {why}"));
    let text = body["content"].as_str().unwrap_or_default();
    if body["allowed_mentions"]["parse"] != json!([]) {
        return Err(invalid("this server wants nobody notified"));
    }
    match text.chars().count() {
        _ if files.len() > 10 => Err(invalid("Must be 10 or fewer in length.")),
        _ if text.trim().is_empty() && files.is_empty() => Err(invalid("Cannot send an empty message")),
        ..=2000 => Ok(text.to_owned()),
        _ => Err(invalid("Must be 2000 or fewer in length.")),
    }
}

fn described(channel: u64, message: u64, text: &str) -> Value {
    json!({
        "id": message.to_string(), "channel_id": channel.to_string(), "type": 0, "content": text,
        "author": {"id": super::BOT, "username": "prx", "bot": true},
    })
}

fn too_many(seconds: f64, global: bool) -> Reply {
    let body = json!({"message": "You are being rate limited.", "retry_after": seconds, "global": global});
    let scope = if global { "global" } else { "user" };
    let headers =
        vec![("retry-after", format!("{:.0}", seconds.ceil())), ("x-ratelimit-scope", scope.to_owned())];
    Reply::Headed(429, headers, body.to_string())
}

fn refusal(status: u16, code: u64, message: &str) -> Reply {
    Reply::Json(status, json!({"message": message, "code": code}).to_string())
}
