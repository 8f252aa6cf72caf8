//! What a new plugin begins as: for each kind one of the examples, under the plugin's own name.

/// What a plugin is to give.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
pub(super) enum Kind {
    /// Something that a model or a caller can have done
    #[default]
    Tool,
    /// Instructions that a word in a message brings in
    Skill,
    /// A platform that people write from
    Connector,
    /// Models, behind a server of your choice
    Provider,
    /// Who answers: what models are asked, what tools are called
    Agent,
    /// What looks at messages, replies and calls, and may change or stop them
    Filter,
    /// What is told what happens
    Observer,
    /// What happens at set times
    Job,
    /// Pages or an API, served over HTTP
    Route,
}

/// One of the examples.
pub(super) struct Template {
    /// Its folder.
    pub(super) example: &'static str,
    manifest: &'static str,
    sources: &'static [(&'static str, &'static str)],
    /// Where else its name stands in its sources, around it.
    named: &'static [&'static str],
    /// In a sentence, for the README.
    pub(super) what: &'static str,
    /// How it is tried without a gateway; `{name}` and `{component}` stand for those.
    pub(super) attempt: &'static str,
    /// What its operator puts into `prx.toml`.
    pub(super) settings: &'static str,
    /// How it is used in a gateway.
    pub(super) call: &'static str,
}

macro_rules! example {
    ($folder:literal, [$($file:literal),+]) => {
        Template {
            example: $folder,
            manifest: include_str!(concat!("../../../../examples/", $folder, "/plugin.toml")),
            sources: &[$(($file, include_str!(concat!("../../../../examples/", $folder, "/", $file)))),+],
            ..NOTHING
        }
    };
}

const NOTHING: Template = Template {
    example: "",
    manifest: "",
    sources: &[],
    named: &[],
    what: "",
    attempt: "",
    settings: "",
    call: "",
};

const TOOL: Template = Template {
    what: "A tool: it greets someone by name.",
    attempt: r#"prx plugin test {component} --call hello --arguments '{"name": "Ada"}'"#,
    call: r#"prx tool call hello '{"name": "Ada"}'"#,
    ..example!("hello-tool", ["src/lib.rs"])
};

const SKILL: Template = Template {
    named: &["/{}", "\"{}\""],
    what: "A skill: `/{name}` and what was done becomes the note for a stand-up meeting.",
    attempt: "prx plugin test {component} --skill {name} --text 'fixed the door'",
    call: "prx chat '/{name} fixed the door'",
    ..example!("standup", ["src/lib.rs"])
};

const CONNECTOR: Template = Template {
    what: "A connector for [ntfy](https://ntfy.sh): a topic of its server becomes a conversation, by polling and posting.",
    attempt: r#"prx plugin test {component} --transcript transcript.json --settings '{"topic": "home", "access_token": "tk_1"}'"#,
    settings: r#"[channels_config.{name}]
topic = "a-topic-of-yours"
access_token = "tk_1"

[grants.{name}]
http = ["https://ntfy.sh"]"#,
    call: "prx channel health {name}",
    ..example!("ntfy", ["src/lib.rs", "src/tests.rs", "transcript.json"])
};

const PROVIDER: Template = Template {
    named: &["provider_name(\"{}\")"],
    what: "A provider of models: it asks a server that speaks chat completions, and streams what it answers.",
    attempt: r#"prx plugin test {component} --ask Hello --model small --answers answers.json --settings '{"base_url": "{server}/v1"}'"#,
    settings: r#"[providers_config.{name}]
base_url = "http://127.0.0.1:8080/v1""#,
    call: "prx chat --model {name}/small Hello",
    ..example!("completions", ["src/lib.rs", "src/tests.rs", "answers.json"])
};

const AGENT: Template = Template {
    what: "An agent without a model: it says what it heard.",
    attempt: "prx plugin test {component} --transcript transcript.json",
    settings: r#"[agents.{name}]
plugin = "{name}""#,
    call: "prx chat --agent {name} hello",
    ..example!("echo-agent", ["src/lib.rs", "transcript.json"])
};

const FILTER: Template = Template {
    what: "A filter: it keeps e-mail addresses, card numbers and chosen words from models, and out of their replies.",
    attempt: "prx plugin test {component} --stage inbound --text 'I am ada@example.org'",
    settings: r#"[filters]
order = ["{name}"]"#,
    call: "prx chat 'I am ada@example.org'",
    ..example!("redact", ["src/lib.rs"])
};

const OBSERVER: Template = Template {
    what: "An observer: it keeps what happens in the gateway as lines, and has a tool to read them.",
    attempt: "prx plugin test {component} --event session.created --data '{\"user\": \"ada\"}'",
    settings: r#"[grants.{name}]
kv = "1MiB"
events = { subscribe = ["*"] }"#,
    call: "prx tool call audit_trail",
    ..example!("audit-trail", ["src/lib.rs"])
};

const JOB: Template = Template {
    what: "A job and an observer: they count what happens in the gateway, and say it in a conversation once a day.",
    attempt: "prx plugin test {component} --job digest --settings '{\"to\": \"phone/home\"}'",
    settings: r#"[plugins_config.{name}]
to = "phone/home"

[grants.{name}]
kv = "16KiB"
events = { subscribe = ["session.created", "message.received", "message.sent", "tool.executed", "error.occurred"] }"#,
    call: "prx job run {name} digest",
    ..example!("daily-digest", ["src/lib.rs"])
};

const ROUTE: Template = Template {
    named: &["/ext/{}"],
    what: "Routes over HTTP: short links that anyone may follow, and whoever has a token may make.",
    attempt: r#"prx plugin test {component} --request 'POST /' --body '{"url": "https://example.org/", "name": "one"}'"#,
    settings: r#"[grants.{name}]
kv = "256KiB"
public = true"#,
    call: "curl -H \"Authorization: Bearer $(prx auth token)\" -d '{\"url\": \"https://example.org/\", \"name\": \"one\"}' localhost:3120/ext/{name}/",
    ..example!("short-links", ["src/lib.rs"])
};

impl Kind {
    pub(super) fn template(self) -> &'static Template {
        match self {
            Self::Tool => &TOOL,
            Self::Skill => &SKILL,
            Self::Connector => &CONNECTOR,
            Self::Provider => &PROVIDER,
            Self::Agent => &AGENT,
            Self::Filter => &FILTER,
            Self::Observer => &OBSERVER,
            Self::Job => &JOB,
            Self::Route => &ROUTE,
        }
    }

    /// One of it, in words.
    pub(super) fn about(self) -> &'static str {
        match self {
            Self::Tool => "a tool",
            Self::Skill => "a skill",
            Self::Connector => "a connector",
            Self::Provider => "a provider",
            Self::Agent => "an agent",
            Self::Filter => "a filter",
            Self::Observer => "an observer and a tool",
            Self::Job => "a job and an observer",
            Self::Route => "routes",
        }
    }
}

impl Template {
    /// Its files but for those that every plugin has, under this name.
    pub(super) fn files(&self, name: &str) -> Vec<(&'static str, String)> {
        let line = |name: &str| format!("name = {name:?}\n");
        let manifest = self.manifest.replacen(&line(self.example), &line(name), 1);
        let sources = self.sources.iter().map(|(path, text)| {
            let around = self
                .named
                .iter()
                .map(|around| (around.replace("{}", self.example), around.replace("{}", name)));
            (*path, around.fold((*text).to_owned(), |text, (old, new)| text.replace(&old, &new)))
        });
        std::iter::once(("plugin.toml", manifest)).chain(sources).collect()
    }
}
