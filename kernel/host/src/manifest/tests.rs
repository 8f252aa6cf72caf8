use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use prx_base::config::Settings;
use prx_egress::Origin;

const WEATHER: &str = r#"
[plugin]
name = "weather"
version = "1.2.0"
description = "Weather and forecast"

[permissions]
http = ["https://api.open-meteo.com"]
secrets = ["api_key"]
kv = "1MiB"
memory = "read"

[limits]
memory = "32MiB"
cpu = "500ms"
deadline = "30s"

[instance]
reuse = true

[config.api_key]
type = "string"
secret = true
required = true
description = "from the account page"

[config.api_base]
type = "string"
default = "https://api.open-meteo.com/v1"
extends = "http"

[config.places]
type = "array"

[config.days]
type = "integer"
default = 3

[config.units]
type = "string"
values = ["metric", "imperial"]
"#;

fn settings(value: serde_json::Value) -> Settings {
    serde_json::from_value(value).unwrap()
}

fn problems(value: serde_json::Value) -> Vec<String> {
    Manifest::parse(WEATHER).unwrap().check_config(&settings(value)).unwrap_err()
}

#[test]
fn everything_the_design_shows_is_read() {
    let manifest = Manifest::parse(WEATHER).unwrap();
    assert_eq!(manifest.plugin.name, "weather");
    assert_eq!(manifest.permissions.kv, Some(1 << 20));
    assert_eq!(manifest.permissions.memory, Some(MemoryAccess::Read));
    assert_eq!(manifest.limits.memory, Some(32 << 20));
    assert_eq!(manifest.limits.cpu, Some(Duration::from_millis(500)));
    assert!(manifest.instance.reuse);

    let channel = "[plugin]\nname=\"t\"\nversion=\"1\"\n[channel]\nfeatures=[\"edit\",\"typing\",\"draft\"]\n\
                   state_version=2\nmax_text=4096";
    let manifest = Manifest::parse(channel).unwrap();
    let channel = manifest.channel.unwrap();
    assert_eq!(channel.features, [Feature::Edit, Feature::Typing, Feature::Draft]);
    assert_eq!((channel.state_version, channel.max_text), (2, Some(4096)));
}

/// What is behind the head of a manifest, and what is to be said of it.
fn each_is_told(mistakes: &[(&str, &str)]) {
    let head = "[plugin]\nname = \"weather\"\nversion = \"1.2.0\"\n";
    for (tail, expected) in mistakes {
        let told = Manifest::parse(&format!("{head}{tail}\n")).unwrap_err().to_string();
        assert!(told.contains(expected), "{tail}\n  told:     {told}\n  expected: {expected}");
        assert!(told.starts_with("plugin.toml line ") && !told.contains('\n'), "{told}");
    }
}

#[test]
fn a_mistake_is_told_with_its_line_and_what_to_do() {
    let mistakes = [
        (
            "[permissions]\nhtpp = []",
            "line 5: permissions: \"htpp\" is no key there is; did you mean \"http\"?",
        ),
        ("[permission]", "line 4: \"permission\" is no key there is; did you mean \"permissions\"?"),
        ("[limits]\nmemory = \"64MB\"", "\"64MB\" is no size; write one such as \"64MiB\""),
        ("[limits]\ncpu = \"2 parsecs\"", "\"2 parsecs\" is no duration; write one such as \"2s\""),
        ("[limits]\ncpu = \"0s\"", "\"0s\" is no duration"),
        ("[limits]\ncpu = 2", "line 5: limits.cpu: invalid type: integer `2`, expected a string"),
        ("[permissions]\nhttp = [\"api.example.com\"]", "line 5: permissions.http: \"api.example.com\": "),
        ("[permissions]\nhttp = [\"https://a.example/x\"]", "without a path"),
        ("[permissions]\nsecrets = [\"api_key\"]", "`api_key` is no configuration key with secret = true"),
        ("[permissions]\nmemory = \"reed\"", "\"reed\" is no value there is; did you mean \"read\"?"),
        ("[channel]\nfeatures = [\"edits\"]", "\"edits\" is no value there is; did you mean \"edit\"?"),
        ("[config.days]\ntype = \"int\"", "\"int\" is no value there is; did you mean \"integer\"?"),
        ("[config.days]\nrequired = true", "line 4: config.days: missing field `type`"),
        ("[config.Days]\ntype = \"integer\"", "config.Days: a key is 1 to 64 characters"),
        ("[config.plugin]\ntype = \"string\"", "and not `plugin`"),
        (
            "[config.days]\ntype = \"integer\"\ndefault = \"3\"",
            "config.days: the default must be a whole number",
        ),
        ("[config.days]\ntype = \"integer\"\nextends = \"http\"", "takes a string that holds a URL"),
        ("[config.key]\ntype = \"string\"\nsecret = true", "add \"key\" to permissions.secrets"),
        ("[config.key]\ntype = \"integer\"\nsecret = true", "a secret is a string, or headers"),
        (
            "[config.key]\ntype = \"string\"\nvalues = [\"a\", \"b\"]\ndefault = \"c\"",
            "the default must be one of a, b, not \"c\"",
        ),
        ("[config.key]\ntype = \"integer\"\nvalues = [\"a\"]", "values are those of a string"),
        ("[config.key]\ntype = \"headers\"", "headers may be credentials: add secret = true"),
        ("[config.key]\ntype = \"array\"\nreserved = [\"a\"]", "reserved names are those of a table"),
        (
            "[config.a]\ntype = \"string\"\ndefault = \"x\"\nrequired = true",
            "either required or with a default",
        ),
        (
            "[config.a]\ntype = \"string\"\ndefault = \"https://a.example/v1\"\nextends = \"http\"",
            "its default needs permissions.http to have \"https://a.example\"",
        ),
        ("[plugin]", "line 4: "),
        ("= 3", "line 4: "),
    ];
    each_is_told(&mistakes);
}

#[test]
fn what_is_not_served_is_refused_by_name() {
    let remove = "is not served by this version; remove it from the manifest";
    each_is_told(&[(
        "[permissions]\nkv = \"1MiB\"\ntools = [\"a.b\"]",
        &format!("line 6: permissions.tools: {remove}"),
    )]);
    let nothing = "[plugin]\nname = \"a\"\nversion = \"1.0.0\"\n[permissions]\nfiles = false\ntools = []\n\
                   events = { publish = [] }";
    assert!(Manifest::parse(nothing).is_ok(), "what asks for nothing is no reason to refuse it");
}

#[test]
fn a_mistake_in_what_is_done_unasked_is_told() {
    let schedule = |name: &str, cron: &str| format!("[[schedule]]\nname = {name:?}\ncron = {cron:?}\n");
    let many: String = (0..17).map(|n| schedule(&format!("job{n}"), "@daily")).collect();
    each_is_told(&[
        (&schedule("a", "61 * * * *"), "line 6: schedule"),
        (&schedule("A", "@daily"), "a name is 1 to 64 characters"),
        ("[[schedule]]\nname = \"a\"\ncrom = \"@daily\"", "did you mean \"cron\"?"),
        (&schedule("a", "@daily").repeat(2), "line 7: schedule: there are two named \"a\""),
        (&many, "a plugin has 16 schedules at most"),
        ("[permissions]\nsend = [\"/7\"]", "line 5: permissions.send: \"/7\" names no place"),
        ("[permissions]\nturns = true", "a turn's reply has to go somewhere"),
        ("[permissions.events]\npublish = [\"other.*\"]", "begin with \"weather.\""),
        ("[permissions.events]\nsubscribe = [\"Session\"]", "there are session.created"),
        (
            "[config.to]\ntype = \"array\"\nextends = \"send\"",
            "takes a string that holds `channel/conversation`",
        ),
    ]);
    let text = format!(
        "[plugin]\nname = \"a\"\nversion = \"1.0.0\"\n[permissions]\nsend = [\"*\"]\nturns = true\n\
         events = {{ publish = [\"a.*\"], subscribe = [\"session.*\", \"other.done\"] }}\n\
         [config.to]\ntype = \"string\"\nextends = \"send\"\n{}",
        schedule("a", "@daily")
    );
    let manifest = Manifest::parse(&text).unwrap();
    assert_eq!(manifest.check_config(&settings(json!({"to": "work/7"}))).unwrap().places, ["work/7"]);
    for wrong in ["work", "work/", "/7", "work/*"] {
        let told = manifest.check_config(&settings(json!({ "to": wrong }))).unwrap_err();
        assert!(told[0].contains("must be a conversation, written `channel/conversation`"), "{told:?}");
    }
}

#[test]
fn a_mistake_in_how_webhooks_are_checked_is_told() {
    each_is_told(&[
        (
            "[channel.webhook]\nscheme = \"hmac\"",
            "\"hmac\" is no value there is; did you mean \"hmac-sha256\"?",
        ),
        ("[channel.webhook]\nscheme = \"hmac-sha256\"\nsecret = \"s\"", "name the `header` that shows it"),
        (
            "[channel.webhook]\nscheme = \"standard-webhooks\"\nsecret = \"s\"\nheader = \"x-a\"",
            "leave `header` out",
        ),
        ("[channel.webhook]\nscheme = \"standard-webhooks\"\nsecret = \"s\"", "`s` is no configuration key"),
        (
            "[channel.webhook]\nscheme = \"header-equals\"\nsecret = \"s\"\nheader = \"a b\"",
            "\"a b\" is no name of a header",
        ),
    ]);
}

#[test]
fn a_mistake_in_what_is_signed_or_asked_is_told() {
    let hmac = "[channel.webhook]\nscheme = \"hmac-sha256\"\nsecret = \"s\"\nheader = \"x-sig\"\n";
    let long = "a".repeat(257);
    for (rule, expected) in [
        ("signed = \"v0\"", "it takes `{body}` once"),
        ("signed = \"{body}:{body}\"", "it takes `{body}` once"),
        ("signed = \"{bdy}\"", "`{bdy}` is no placeholder there is: `{body}` and `{header:NAME}` are"),
        ("signed = \"{header:a b}.{body}\"", "does not name a header"),
        ("signed = \"{header:a}{body}\"", "something has to stand between two placeholders"),
        ("signed = \"{body\"", "a brace stands alone"),
        ("signed = \"}{body}\"", "a brace stands alone"),
        (&format!("signed = \"{long}\""), "256 at most"),
        (&format!("signed = \"{}{{body}}\"", "{header:a}.".repeat(8)), "more than 8 placeholders"),
        ("max_age = 300", "`max_age` needs the `timestamp` header"),
        ("max_age = 0\nsigned = \"{header:t}.{body}\"", "at least 1 second"),
        ("max_age = 86400\nsigned = \"{header:t}.{body}\"", "less than 86400"),
        ("timestamp = \"t\"\nmax_age = 300", "is worth nothing unless it is signed"),
        ("challenge = { echo = \"c\" }", "needs `token` and `secret`"),
        ("challenge = { token = \"t\", echo = \"c\" }", "needs `token` and `secret`"),
        (
            "challenge = { token = \"t\", secret = \"s\", type = \"x\", echo = \"c\" }",
            "either `token` and `secret`, or `type`",
        ),
        ("challenge = { type = \"\", echo = \"c\" }", "1 to 64 bytes"),
    ] {
        each_is_told(&[(&format!("{hmac}{rule}"), expected)]);
    }
    let standard = "[channel.webhook]\nscheme = \"standard-webhooks\"\nsecret = \"s\"\nmax_age = 5";
    each_is_told(&[(standard, "leave them out")]);
}

#[test]
fn a_manifest_without_a_name_or_version_is_told_so() {
    for (text, expected) in [
        ("", "missing field `plugin`"),
        ("[plugin]\nname=\"Weather\"\nversion=\"1\"", "line 2: plugin.name: a name is 1 to 64 characters"),
        ("[plugin]\nname=\"weather\"\nversion=\"\"", "line 3: plugin.version: a version is a text such as"),
        ("[plugin]\nname=\"weather\"", "missing field `version`"),
    ] {
        let told = Manifest::parse(text).unwrap_err().to_string();
        assert!(told.contains(expected), "{text}\n  told: {told}");
    }
}

#[test]
fn a_manifest_says_how_webhooks_are_checked() {
    let text = "[plugin]\nname=\"t\"\nversion=\"1\"\n[permissions]\nsecrets=[\"hook\"]\n[channel.webhook]\n\
                scheme=\"hmac-sha256\"\nsecret=\"hook\"\nheader=\"X-Hub-Signature-256\"\nprefix=\"sha256=\"\n\
                [config.hook]\ntype=\"string\"\nsecret=true";
    let channel = Manifest::parse(text).unwrap().channel.unwrap();
    let expected = Verification {
        scheme: Scheme::HmacSha256,
        secret: "hook".into(),
        header: Some(hyper::header::HeaderName::from_static("x-hub-signature-256")),
        prefix: "sha256=".into(),
        encoding: Encoding::Hex,
        signed: Template::default(),
        timestamp: None,
        max_age: None,
        challenge: None,
    };
    assert_eq!(channel.webhook.unwrap().into_inner(), expected);
}

#[test]
fn configuration_reaches_the_plugin_with_defaults_and_without_secrets() {
    let manifest = Manifest::parse(WEATHER).unwrap();
    let given = settings(json!({ "api_key": "canary", "places": ["Bern"] }));
    let config = manifest.check_config(&given).unwrap();
    let shown: serde_json::Value = serde_json::from_str(&config.json).unwrap();
    let expected = json!({ "api_base": "https://api.open-meteo.com/v1", "days": 3, "places": ["Bern"] });
    assert_eq!(shown, expected);
    assert_eq!(config.secrets.get("api_key").unwrap().expose(), "canary");
    assert!(config.origins.is_empty(), "a default grants nothing");

    let given = settings(json!({ "api_key": "canary", "api_base": "http://127.0.0.1:9/base?x" }));
    let config = manifest.check_config(&given).unwrap();
    assert_eq!(config.origins, [Origin::parse("http://127.0.0.1:9").unwrap()]);
    assert!(!format!("{config:?}").contains("canary"));
}

#[test]
fn a_secret_can_live_elsewhere() {
    let manifest = Manifest::parse(WEATHER).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "from-a-file\n").unwrap();
    let secret = |text: &str| {
        let config = manifest.check_config(&settings(json!({ "api_key": text })));
        config.map(|config| config.secrets.get("api_key").unwrap().expose().to_owned())
    };
    assert_eq!(secret(&format!("file:{}", file.display())).unwrap(), "from-a-file");
    assert_eq!(secret("env:CARGO_PKG_NAME").unwrap(), env!("CARGO_PKG_NAME"));
    assert!(secret("env:PRX_NOT_SET").unwrap_err()[0].contains("variable PRX_NOT_SET is not set"));
    assert!(secret(&format!("file:{}", folder.path().display())).unwrap_err()[0].contains("is not a file"));
    assert!(secret("").unwrap_err()[0].contains("api_key: required, and empty"));
}

#[test]
fn each_header_is_a_secret_and_a_table_has_its_bounds() {
    let manifest = "[plugin]\nname = \"a\"\nversion = \"1.0.0\"\n[permissions]\nsecrets = [\"headers\"]\n[config.headers]\n\
                    type = \"headers\"\nsecret = true\n[config.extra]\ntype = \"table\"\nreserved = [\"stream\"]";
    let manifest = Manifest::parse(manifest).unwrap();
    let headers = json!({
        "X-Title": "PRX in a test", "Authorization": "canary-1", "x-a": "Bearer canary-2", "x-b": "env:CARGO_PKG_NAME",
        "x-c": "Token env:CARGO_PKG_NAME",
    });
    let config =
        manifest.check_config(&settings(json!({ "headers": headers, "extra": {"top_k": [40]} }))).unwrap();
    assert_eq!(config.json, r#"{"extra":{"top_k":[40]}}"#);
    let package = env!("CARGO_PKG_NAME");
    for (name, value, looked_for) in [
        ("x-title", "PRX in a test", None),
        ("authorization", "canary-1", Some("canary-1")),
        ("x-a", "Bearer canary-2", Some("canary-2")),
        ("x-b", package, Some(package)),
        ("x-c", &format!("Token {package}"), Some(package)),
    ] {
        let secret = config.secrets.get(&format!("headers.{name}")).unwrap();
        assert_eq!((secret.expose(), secret.looked_for()), (value, looked_for), "{name}");
    }
    let wrong = json!({"headers": {"Host": "a", "x-a": 7, "X-A": "b", "x-d": "env:PRX_NOT_SET"}, "extra": {"stream": true}});
    let told = manifest.check_config(&settings(wrong.clone())).unwrap_err();
    for problem in [
        "extra: can't have `stream`, which is the gateway's own; take it out",
        "headers.Host: is a header of the gateway's own, and can't be set",
        "headers.x-a: must be a text in quotes, env:NAME or file:PATH",
        "headers.x-d: the environment variable PRX_NOT_SET is not set; set it for `prx serve` and start that again, or use file:PATH",
    ] {
        assert!(told.contains(&problem.to_owned()), "{problem} is not in {told:#?}");
    }
    let missing = manifest.unresolved(&settings(wrong));
    assert_eq!(missing.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["headers.x-d"]);
}

#[test]
fn everything_wrong_with_a_configuration_is_told_at_once() {
    let told = problems(
        json!({ "api_kay": "x", "places": "Bern", "days": 3.5, "api_base": "nowhere", "units": "mertic" }),
    );
    assert_eq!(told.len(), 6, "{told:?}");
    assert!(told.contains(&"units: must be one of metric, imperial, not \"mertic\"".to_owned()));
    assert!(told.contains(&"api_kay: is no key there is; did you mean \"api_key\"?".to_owned()));
    assert!(told.contains(&"api_key: required, and not set (from the account page)".to_owned()));
    assert!(told.contains(&"places: must be a list of texts in quotes".to_owned()));
    assert!(told.contains(&"days: must be a whole number".to_owned()));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,400}") {
        let _ = Manifest::parse(&text);
    }

    #[test]
    fn no_edit_of_a_manifest_makes_the_reader_panic(at in 0..WEATHER.len(), cut in 0..20usize, text in "\\PC{0,9}") {
        let end = (at + cut).min(WEATHER.len());
        if let Err(error) = Manifest::parse(&[&WEATHER[..at], &text, &WEATHER[end..]].concat()) {
            prop_assert!(error.to_string().starts_with("plugin.toml line "));
        }
    }

    #[test]
    fn a_size_is_read_back_as_written(bytes: u64) {
        prop_assert_eq!(parse_size(&format_size(bytes)), Some(bytes));
    }
}

#[test]
fn all_that_makes_no_sense_is_told_at_once() {
    let text = "[plugin]\nname = \"x\"\nversion = \"1.0.0\"\n[permissions]\nsecrets = [\"key\"]\nturns = true\n\
                [config.size]\ntype = \"integer\"\ndefault = \"much\"\n";
    let told = Manifest::parse(text).unwrap_err().each();
    let parts =
        ["config.size: the default must be", "permissions.turns: ", "permissions.secrets: `key` is no"];
    assert!(told.len() == 3 && told.iter().zip(parts).all(|(told, part)| told.contains(part)), "{told:?}");
}
