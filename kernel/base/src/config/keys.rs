//! The table of every key: its type, its bounds, whether a change needs a restart and whether it takes the scope
//! `admin`. Validation, the list of nearest names, `reload_required` and who may change what all read this and nothing else; defaults are [`super::Config::default`].

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::tz::TimeZone;
use serde_json::Value;

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `true` or `false`.
    Bool,
    /// A whole number from the first to the second, both included.
    Integer(u64, u64),
    /// Any text.
    Text,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// `true`, `false` or a size such as `64MiB`.
    FlagOrSize,
    /// A list of texts.
    TextList,
    /// A list of IP addresses and networks.
    Networks,
    /// The name of a time zone, as in the IANA database.
    TimeZone,
    /// A list of texts such as `provider/model`.
    Models,
    /// A table of any names, each with one of these words.
    Words(&'static [&'static str]),
    /// A table of any names, each with a text.
    TextTable,
    /// A table of any names, each with a table of these keys.
    Tables(&'static [Key]),
    /// A table of these keys.
    Table(&'static [Key]),
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Dotted path, as `PATCH /config` takes it.
    pub path: &'static str,
    /// What it takes.
    pub ty: Type,
    /// A change is only felt after a restart.
    pub restart: bool,
    /// It decides who gets in, or what may go out. A token needs the scope `admin` to change it; for all others,
    /// `config:write` does.
    pub guarded: bool,
    /// What it is for, for the reference in the docs.
    pub about: &'static str,
}

const fn hot(path: &'static str, ty: Type, about: &'static str) -> Key {
    Key { path, ty, restart: false, guarded: false, about }
}

const fn restart(path: &'static str, ty: Type, about: &'static str) -> Key {
    Key { path, ty, restart: true, guarded: false, about }
}

impl Key {
    const fn guarded(self) -> Self {
        Self { guarded: true, ..self }
    }
}

/// About seventeen years: far enough for any interval, and no arithmetic overflows on it.
const LONG: u64 = 1 << 29;

/// Tokens: more than any budget, and still exact in JSON.
const MANY: u64 = 1 << 53;

/// Levels of a log line, from the chattiest.
pub const LEVELS: &[&str] = &["trace", "debug", "info", "warn", "error"];

/// What may become of a call of a tool that a model asks for.
pub const POLICIES: &[&str] = &["allow", "ask", "deny"];

/// Every key whose table belongs to the kernel.
pub const KEYS: &[Key] = &[
    restart("gateway.host", Type::Text, "address to bind").guarded(),
    restart("gateway.port", Type::Integer(0, 65_535), "port to bind; 0 takes any free one").guarded(),
    hot("gateway.allowed_hosts", Type::TextList, "further Host names that requests may carry").guarded(),
    hot("gateway.cors_origins", Type::TextList, "foreign origins that browsers may call from").guarded(),
    hot("gateway.max_body_bytes", Type::Integer(1024, 1 << 30), "largest request body"),
    restart("gateway.tls_cert", Type::Text, "PEM file with the certificate chain").guarded(),
    restart("gateway.tls_key", Type::Text, "PEM file with the private key").guarded(),
    hot(
        "gateway.behind_proxy",
        Type::Bool,
        "a proxy at a private address terminates TLS in front of the gateway",
    )
    .guarded(),
    hot(
        "gateway.trusted_proxies",
        Type::Networks,
        "addresses and networks of proxies whose X-Forwarded-For is believed",
    )
    .guarded(),
    hot("gateway.idle_secs", Type::Integer(1, 3600), "seconds that a connection may be idle"),
    hot("gateway.stop_secs", Type::Integer(1, 3600), "seconds that a stop of the gateway may take in all"),
    hot(
        "gateway.max_connections",
        Type::Integer(16, 1 << 20),
        "connections that may be open at a time; each takes a file descriptor",
    ),
    hot(
        "gateway.max_connections_per_address",
        Type::Integer(1, 1 << 20),
        "those of one address; no bound of its own behind a proxy",
    ),
    hot("agent.max_turns", Type::Integer(1, LONG), "turns after which a session ends"),
    hot("agent.max_tool_calls_per_turn", Type::Integer(0, 1000), "tool calls that one turn may make"),
    hot("agent.session_timeout_secs", Type::Integer(1, LONG), "seconds an idle session lives on"),
    hot(
        "agent.session_idle_secs",
        Type::Integer(1, LONG),
        "seconds without activity until a session is idle",
    ),
    hot("agent.history_messages", Type::Integer(0, 10_000), "earlier messages that the provider is shown"),
    hot(
        "agent.max_context_tokens",
        Type::Integer(0, MANY),
        "tokens that the provider is shown, by an estimate: four bytes each, four for each message or tool, 1500 for each file, or more for a text; 0: no bound",
    ),
    hot(
        "agent.turn_timeout_secs",
        Type::Integer(1, LONG),
        "seconds of work without a word of the model after which a turn is given up",
    ),
    hot(
        "agent.max_tokens_per_session",
        Type::Integer(0, MANY),
        "tokens that a session may cost; 0: no bound",
    ),
    hot(
        "agent.max_tokens_per_day",
        Type::Integer(0, MANY),
        "tokens that all sessions together may cost from midnight to midnight, UTC; 0: no bound",
    ),
    hot("agent.system_prompt", Type::Text, "said to the provider before everything else"),
    hot("provider.name", Type::Text, "plugin that answers"),
    hot("provider.model", Type::Text, "one of the models it lists"),
    hot("provider.fallbacks", Type::Models, "who answers, in this order, when that one can't"),
    hot("tools.timeout_secs", Type::Integer(1, 86_400), "seconds that one call of a tool may take"),
    hot(
        "tools.max_result_bytes",
        Type::Integer(256, 4 << 20),
        "bytes of a tool's result; the rest is cut off",
    ),
    hot(
        "tools.default_policy",
        Type::OneOf(POLICIES),
        "what a model may do with a tool that has no policy; a looser one takes admin",
    ),
    hot(
        "tools.policy",
        Type::Words(POLICIES),
        "what a model may do with the tools of these names; a name may end with *; a looser one takes admin",
    ),
    hot("tools.ask_timeout_secs", Type::Integer(1, LONG), "seconds that a person has to allow a call"),
    hot("memory.backend", Type::OneOf(&["redb"]), "where memories are kept"),
    hot("memory.top_k", Type::Integer(0, 100), "memories that a turn recalls"),
    restart("store.url", Type::OneOf(&[""]), "empty: redb in the data directory").guarded(),
    hot(
        "store.blob_max_bytes",
        Type::Integer(1024, 1 << 30),
        "largest image or file that is kept of a message",
    ),
    hot("store.blobs_max_bytes", Type::Integer(1 << 20, 1 << 40), "all of them; the oldest make room"),
    hot("store.blobs_days", Type::Integer(1, 36_500), "days that each is kept"),
    hot(
        "store.sessions_days",
        Type::Integer(0, 36_500),
        "days after its last message that a session is kept which is over; 0: for ever",
    )
    .guarded(),
    hot("store.messages_days", Type::Integer(0, 36_500), "days that messages are kept; 0: for ever")
        .guarded(),
    hot("store.audit_days", Type::Integer(1, 36_500), "days that entries of the audit log are kept")
        .guarded(),
    hot("egress.ca_file", Type::Text, "PEM file with authorities that are trusted beside the machine's")
        .guarded(),
    hot(
        "egress.proxy",
        Type::Text,
        "HTTP proxy; empty: as HTTPS_PROXY, HTTP_PROXY and NO_PROXY say; direct: none",
    )
    .guarded(),
    hot("rate_limits.enabled", Type::Bool, "whether requests are limited at all"),
    hot("rate_limits.sessions_write", Type::Integer(1, 1_000_000), "session writes per token and second"),
    hot("rate_limits.sessions_read", Type::Integer(1, 1_000_000), "session reads per token and second"),
    hot("rate_limits.config_write", Type::Integer(1, 1_000_000), "configuration writes per token and second"),
    hot("rate_limits.other", Type::Integer(1, 1_000_000), "other requests per token and second"),
    hot("logs.level", Type::OneOf(LEVELS), "least level that is kept"),
    hot("logs.modules", Type::Table(LOG_MODULES), "least level of modules that have one of their own"),
    hot(
        "logs.file",
        Type::Text,
        "file that the log is written to, beside standard error; empty: none; SIGHUP has it opened anew",
    )
    .guarded(),
    hot(
        "logs.file_max_bytes",
        Type::Integer(0, 1 << 40),
        "bytes at which that file makes room for a new one; 0: it grows",
    ),
    hot("logs.file_keep", Type::Integer(0, 1000), "files before it that are kept, as `<file>.1` and so on"),
    hot("logs.retain_entries", Type::Integer(100, 1_000_000), "entries that GET /logs can look back on"),
    hot(
        "telemetry.otlp_endpoint",
        Type::Text,
        "collector that traces are sent to, by OTLP over HTTP, such as http://127.0.0.1:4318; empty: none",
    )
    .guarded(),
    hot(
        "telemetry.headers",
        Type::TextTable,
        "headers that go with them, such as a key; each may be env:NAME or file:PATH",
    )
    .guarded(),
    hot(
        "telemetry.propagate",
        Type::Bool,
        "providers' servers and MCP servers are told the trace that a request is part of",
    )
    .guarded(),
    hot("plugins.watch", Type::Bool, "reload a plugin when its file changes"),
    hot(
        "plugins.keep_generations",
        Type::Integer(1, 50),
        "components of each plugin that are kept to go back to, beside the one that serves",
    ),
    hot(
        "plugins.sources",
        Type::TextList,
        "origins in your network, or without TLS, that plugins may be fetched from; any public one over https may be",
    )
    .guarded(),
    hot(
        "plugins.trusted_keys",
        Type::TextTable,
        "public keys, as `prx plugin keygen` prints them, of those whose signatures count, by a name for each",
    )
    .guarded(),
    hot(
        "plugins.require_signature",
        Type::OneOf(&["off", "third-party", "all"]),
        "what has to be signed with one of those keys when it is loaded: nothing, what came over the API, or what you have \
         put into the folder yourself, too",
    )
    .guarded(),
    hot("hooks.allow_private", Type::Bool, "hook URLs may point to loopback and private addresses").guarded(),
    hot("jobs.time_zone", Type::TimeZone, "time zone of the times at which plugins' jobs run"),
];

/// What `[logs.modules]` takes: parts of the gateway, as `GET /logs` names them.
pub const LOG_MODULES: &[Key] = &[
    hot("agent", Type::OneOf(LEVELS), "turns, and agents in them"),
    hot("api", Type::OneOf(LEVELS), "handlers of the API"),
    hot("background", Type::OneOf(LEVELS), "jobs and observers"),
    hot("channel", Type::OneOf(LEVELS), "connections to platforms"),
    hot("egress", Type::OneOf(LEVELS), "requests to the network"),
    hot("http", Type::OneOf(LEVELS), "the server, with its access log"),
    hot("kernel", Type::OneOf(LEVELS), "start, stop and configuration"),
    hot("mcp", Type::OneOf(LEVELS), "connections to MCP servers"),
    hot("memory", Type::OneOf(LEVELS), "what is remembered of people"),
    hot("plugin", Type::OneOf(LEVELS), "plugins, and what they log themselves"),
    hot("store", Type::OneOf(LEVELS), "the disk"),
    hot("tool", Type::OneOf(LEVELS), "tools and their calls"),
    hot("webhook", Type::OneOf(LEVELS), "deliveries to hooks"),
];

/// Tables with one table a component in them; the component's manifest says which keys those take.
pub const COMPONENT_TABLES: &[&str] =
    &["channels_config", "providers_config", "plugins_config", "mcp_servers", "agents", "grants", "filters"];

/// What is the kernel's of `[agents.<agent>]`; its plugin's manifest says which further keys it takes.
pub const AGENT_KEYS: &[Key] = &[
    hot("plugin", Type::Text, "the plugin that is the agent; without it the builtin one"),
    hot("provider", Type::Text, "who is asked, as `provider/model`; without it the configured one"),
    hot("fallbacks", Type::TextList, "who is asked then, in order, as `provider/model`"),
    hot("models", Type::TextList, "what people and callers may choose, as `provider/model`"),
    hot("tools", Type::TextList, "tools that it may call, `*` for any piece of a name; all, if not said"),
    hot("skills", Type::TextList, "skills that it may bring in, in the same way; all, if not said"),
];

/// What is the kernel's of `[providers_config.<provider>]`; its plugin's manifest says which further keys it takes.
pub const PROVIDER_KEYS: &[Key] = &[
    hot("plugin", Type::Text, "the plugin that gives the provider; without it the one of the table's name")
        .guarded(),
    hot("models", Type::Tables(MODEL_KEYS), "what is known of its models, a table for each"),
];

/// What `[providers_config.<provider>.models.<model>]` takes.
pub const MODEL_KEYS: &[Key] = &[
    hot("window", Type::Integer(256, MANY), "tokens that the model takes, its answer included"),
    hot("max_output", Type::Integer(1, MANY), "tokens of its longest answer"),
];

/// What `[grants.<plugin>]` takes.
pub const GRANT_KEYS: &[Key] = &[
    hot("http", Type::TextList, "origins that it may call").guarded(),
    hot("secrets", Type::TextList, "secrets that it may have put into its requests; all, if not said")
        .guarded(),
    hot("kv", Type::Text, "bytes that it may keep, such as 1MiB").guarded(),
    hot(
        "memory",
        Type::OneOf(&["read", "write"]),
        "`read` or `write`: what it may do with the agent's memory",
    )
    .guarded(),
    hot(
        "send",
        Type::TextList,
        "where it may say something unasked: `channel` or `channel/conversation`, `*` for any piece",
    )
    .guarded(),
    hot("turns", Type::Bool, "whether it may begin turns where it may say something").guarded(),
    hot(
        "approver",
        Type::Text,
        "who is asked about the tools of those turns, by the platform's id; without it they are refused",
    )
    .guarded(),
    hot("events", Type::Table(EVENT_GRANT_KEYS), "events that it may make and see").guarded(),
    hot("routes", Type::TextList, "prefixes of paths that it may serve, such as `/v1`").guarded(),
    hot("public", Type::Bool, "whether its routes may be called without a token").guarded(),
    hot(
        "files",
        Type::FlagOrSize,
        "bytes that it may keep in files of a private directory, such as 64MiB, which is what true stands for",
    )
    .guarded(),
    hot("reveal", Type::TextList, "keys that were secret once, and whose values it may read from now on")
        .guarded(),
];

/// What `[filters]` takes, beside a table for each filter.
pub const FILTER_ORDER: Key =
    hot("order", Type::TextList, "the filters that are asked, in this order").guarded();

/// What `[filters.<plugin>]` takes.
pub const FILTER_KEYS: &[Key] = &[
    hot(
        "on_error",
        Type::OneOf(&["refuse", "pass"]),
        "what becomes of what it should have seen, where it fails or does not run; without it refuse",
    )
    .guarded(),
    hot("deadline_ms", Type::Integer(1, 600_000), "milliseconds that it has for each; without it 5000")
        .guarded(),
];

/// What `events` of `[grants.<plugin>]` takes.
pub const EVENT_GRANT_KEYS: &[Key] = &[
    hot("publish", Type::TextList, "events of its own that it may make, `*` for any piece of a name")
        .guarded(),
    hot("subscribe", Type::TextList, "events that it may see, in the same way").guarded(),
];

impl Type {
    /// Why a value does not fit, in words that say what would.
    pub fn mismatch(self, value: &Value) -> Option<String> {
        let fits = match self {
            Self::Bool => value.is_boolean(),
            Self::Integer(least, most) => value.as_u64().is_some_and(|n| (least..=most).contains(&n)),
            Self::Text => value.is_string(),
            Self::FlagOrSize => value.is_boolean() || value.is_string(),
            Self::OneOf(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Self::TextList => value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
            Self::Networks => value.as_array().is_some_and(|list| {
                list.iter().all(|text| text.as_str().is_some_and(|text| network(text).is_some()))
            }),
            Self::Models => value.as_array().is_some_and(|list| {
                let model = |text: &str| provider_and_model(text).is_some();
                list.iter().all(|text| text.as_str().is_some_and(model))
            }),
            Self::Words(words) => value.as_object().is_some_and(|table| {
                table.values().all(|word| word.as_str().is_some_and(|word| words.contains(&word)))
            }),
            Self::TextTable => value.as_object().is_some_and(|table| table.values().all(Value::is_string)),
            Self::TimeZone => value.as_str().is_some_and(|name| TimeZone::get(name).is_ok()),
            // What is in them is checked with keys of its own.
            Self::Tables(_) | Self::Table(_) => value.is_object(),
        };
        (!fits).then(|| format!("takes {}, not {value}", self.describe()))
    }

    /// What fits, in words.
    pub fn describe(self) -> String {
        match self {
            Self::Bool => "true or false".into(),
            Self::Integer(least, most) => format!("a whole number from {least} to {most}"),
            Self::Text => "a text".into(),
            Self::FlagOrSize => "true, false or a size such as \"64MiB\"".into(),
            Self::OneOf([only]) => format!("only \"{only}\" for now"),
            Self::OneOf(words) => format!("one of {}", words.join(", ")),
            Self::TextList => "a list of texts".into(),
            Self::Networks => "a list of addresses and networks such as \"10.0.0.0/8\"".into(),
            Self::TimeZone => "the name of a time zone such as \"Europe/Berlin\" or \"UTC\"".into(),
            Self::Models => "a list of texts such as \"provider/model\"".into(),
            Self::Words(words) => {
                format!("a table in which every name has one of {}", words.join(", "))
            }
            Self::TextTable => "a table in which every name has a text".into(),
            Self::Tables(keys) => {
                let keys: Vec<&str> = keys.iter().map(|key| key.path).collect();
                format!("a table in which every name has a table with {}", keys.join(", "))
            }
            Self::Table(keys) => {
                let keys: Vec<&str> = keys.iter().map(|key| key.path).collect();
                format!("a table with {}", keys.join(", "))
            }
        }
    }
}

/// The network that a text names: an address, or one with the length of its prefix.
pub(super) fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// The two parts of a text such as `provider/model`; the model's name may have slashes of its own.
pub fn provider_and_model(text: &str) -> Option<(&str, &str)> {
    text.split_once('/').filter(|(provider, model)| !provider.is_empty() && !model.is_empty())
}

/// The candidate that a misspelt word most likely meant, if any is near enough to be worth saying.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |candidate: &&str| strsim::jaro_winkler(word, candidate) > 0.75;
    let likeness = |candidate: &&str| (strsim::jaro_winkler(word, candidate) * 1e6) as u64;
    candidates.into_iter().filter(near).max_by_key(likeness)
}
