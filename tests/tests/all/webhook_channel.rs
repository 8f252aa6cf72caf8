//! A channel that any system can talk through: signed messages in, replies out, nothing lost and nothing doubled.
use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use hyper::Method;
use prx_tests::client::{Answer, Client};
use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::random::Random;
use prx_tests::system::{SECRET, System, TOKEN, hex_hmac, now, post, signed};
use prx_tests::wait::{TEST_TIMEOUT, until};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

fn message(conversation: &str, text: &str) -> Value {
    json!({"id": "m-1", "conversation": conversation, "user": {"id": "u-1", "name": "Ada"}, "text": text})
}

async fn taken(client: &Client, channel: &str, id: &str, message: &Value) {
    offered(client, channel, id, message).await.unwrap().expect(200);
}

/// Posts a message as a platform does: again as long as the channel is only starting.
async fn offered(client: &Client, channel: &str, id: &str, message: &Value) -> io::Result<Answer> {
    let offering = async {
        loop {
            let answer = post(client, channel, id, message).await;
            if answer.as_ref().map_or(true, |answer| answer.status != 503) {
                return answer;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(TEST_TIMEOUT, offering).await.expect("the channel runs in time")
}

#[tokio::test]
async fn a_signed_message_is_answered_to_the_reply_url() {
    let system = System::start().await;
    let gateway = Gateway::start(&system.config("ops")).await;
    let client = gateway.client();
    until("the channel to be ready, though nobody has shown up", async || {
        (gateway.channel("ops").await?["status"] == "connected").then_some(())
    })
    .await;
    let status = client.get("/status").await.expect(200);
    assert_eq!(status["status"], "healthy", "{status}");
    let answer = post(client, "ops", "msg_1", &message("ticket-7", "Hello there")).await.unwrap();
    assert_eq!(answer.expect(200), json!({"accepted": true}));
    let reply = system.until(1).await.remove(0);
    assert_eq!((&reply["conversation"], &reply["reply_to"]), (&json!("ticket-7"), &json!("m-1")));
    assert!(reply["text"].as_str().unwrap().contains("Hello there"), "{reply}");
    assert_eq!(reply["authorization"], format!("Bearer {TOKEN}"));
    assert_eq!(gateway.channel("ops").await.unwrap()["status"], "connected");

    taken(client, "ops", "msg_1", &message("ticket-7", "Hello again")).await;
    taken(client, "ops", "msg_2", &message("ticket-7", "Something else")).await;
    assert!(system.until(2).await[1]["text"].as_str().unwrap().contains("Something else"));
    assert_eq!(gateway.heard("ops").await, ["Hello there", "Something else"], "an id is taken once");
    let half = post(client, "ops", "msg_3", &json!({"text": "no conversation"})).await.unwrap();
    assert!(half.expect(400)["reason"].as_str().unwrap().contains("missing field"));
    assert!(!gateway.output().says(&["canary"]), "secrets are in no line of the log");
    assert!(!gateway.output().says(&["Something else"]), "and neither is what people say");
    gateway.stop().await;
}

#[tokio::test]
async fn who_can_not_show_the_secret_is_turned_away() {
    let system = System::start().await;
    let gateway = Gateway::start(&(system.config("ops") + &system.config("other"))).await;
    let client = gateway.client().with_token(None);
    let body = message("a", "Let me in").to_string();
    let send = async |request| client.send(request, Bytes::from(body.clone())).await;
    let other_body = "{}".to_owned() + &body;
    for request in [
        signed(&client, "ops", "msg_1", ("wrong", now()), &body),
        signed(&client, "ops", "msg_1", (SECRET, now() - 400), &body),
        signed(&client, "ops", "msg_1", (SECRET, now() + 400), &body),
        signed(&client, "ops", "msg_1", (SECRET, now()), &other_body),
        client.bare(Method::POST, "/in/ops"),
        client.bare(Method::GET, "/in/ops?challenge=1"),
        client.bare(Method::POST, "/in/ops").header("authorization", format!("Bearer {SECRET}")),
    ] {
        let told = send(request).await.error(401, "unauthorized");
        assert!(!told.contains("canary"), "{told}");
    }
    send(signed(&client, "nowhere", "msg_1", (SECRET, now()), &body)).await.error(404, "not_found");
    let elsewhere = signed(&client, "ops/extra", "msg_1", (SECRET, now()), &body);
    assert_eq!(send(elsewhere).await.status, 405, "the connector says what it thinks of it");
    client.send(client.bare(Method::PUT, "/in/ops"), Bytes::new()).await.error(401, "unauthorized");
    let large = vec![b'x'; (1 << 20) + 1];
    let told = client.send(client.bare(Method::POST, "/in/ops"), large.into()).await;
    told.error(413, "payload_too_large");
    assert_eq!(gateway.heard("ops").await, [""; 0]);

    gateway.client().post("/plugins/webhook/disable", json!({})).await.expect(200);
    until("the channel to close", async || {
        let answer = send(signed(&client, "ops", "msg_2", (SECRET, now()), &body)).await;
        (answer.status == 503).then_some(())
    })
    .await;
    gateway.client().post("/plugins/webhook/enable", json!({})).await.expect(200);
    until("the channel to open", async || {
        let answer = send(signed(&client, "ops", "msg_2", (SECRET, now()), &body)).await;
        (answer.status == 200).then_some(())
    })
    .await;
    let lines = gateway.output().lines();
    let told = lines.iter().filter(|line| line.contains("a webhook was turned away")).count();
    assert_eq!(told, 1, "once, for anyone can knock");
    gateway.stop().await;
}

#[tokio::test]
async fn replies_are_posted_until_they_are_taken() {
    let system = System::start().await;
    let gateway = Gateway::start(&system.config("ops")).await;
    for _ in 0..30 {
        system.refuse(503, "0");
    }
    system.refuse(429, "0");
    taken(gateway.client(), "ops", "msg_1", &message("a", "first")).await;
    let reply = system.until(1).await.remove(0);
    assert!(reply["text"].as_str().unwrap().contains("first"));
    system.refuse(404, "0");
    taken(gateway.client(), "ops", "msg_2", &message("a", "second")).await;
    let refused = until("the channel to say so", async || {
        let channel = gateway.channel("ops").await.unwrap();
        channel["error"].as_str().filter(|error| error.contains("answered 404")).map(str::to_owned)
    })
    .await;
    assert!(refused.contains("reply_url"), "{refused}");
    taken(gateway.client(), "ops", "msg_3", &message("a", "third")).await;
    let replies = system.until(2).await;
    assert!(replies[1]["text"].as_str().unwrap().contains("third"), "what is refused holds nothing up");
    gateway.stop().await;
}

#[tokio::test]
async fn a_channel_whose_configuration_changes_is_there_while_it_closes() {
    let system = System::start().await;
    let gateway = Gateway::start(&system.config("ops")).await;
    system.hold(true);
    taken(gateway.client(), "ops", "msg_1", &message("a", "first")).await;
    system.posted(1).await;
    // It closes once the reply is answered that is on its way.
    let change = json!({"channels_config.ops.reply_token": "another-token"});
    gateway.client().patch("/config", change).await.expect(200);
    let mut statuses = BTreeSet::new();
    until("the channel to open again", async || {
        assert!(gateway.channel("ops").await.is_some(), "it is listed");
        let status = post(gateway.client(), "ops", "msg_2", &message("a", "second")).await.unwrap().status;
        statuses.insert(status);
        let closed = statuses.contains(&503);
        system.hold(!closed);
        (closed && status == 200).then_some(())
    })
    .await;
    assert_eq!(statuses, BTreeSet::from([200, 503]), "whoever posts is told to try again");
    let replies = system.until(2).await;
    assert_eq!(replies[1]["authorization"], "Bearer another-token");
    gateway.stop().await;
}

#[tokio::test]
async fn what_waits_on_disk_goes_out_as_soon_as_there_is_room() {
    // More than a channel holds in memory.
    const REPLIES: usize = 560;
    let system = System::start().await;
    let gateway = Gateway::start(&(system.config("ops") + "[agent]\nmax_turns = 1000000\n")).await;
    system.hold(true);
    let posting = stream::iter(0..REPLIES).for_each_concurrent(16, async |n| {
        let (conversation, id) = (format!("c-{}", n % 8), format!("msg_{n}"));
        taken(gateway.client(), "ops", &id, &message(&conversation, "Hello")).await;
    });
    posting.await;
    until("every message to be answered", async || {
        let mut turns = 0;
        for session in gateway.sessions("ops").await {
            let path = format!("/sessions/{}", session["id"].as_str()?);
            turns += gateway.client().get(&path).await.expect(200)["turn_count"].as_u64()?;
        }
        (turns == REPLIES as u64).then_some(())
    })
    .await;
    // Nothing is said from here on that would have the channel look once more.
    let gateway = Gateway::start_in(gateway.kill()).await;
    system.hold(false);
    system.until(REPLIES).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_reply_outlives_any_number_of_kills_while_it_is_posted() {
    let system = System::start().await;
    let mut gateway = Gateway::start(&system.config("ops")).await;
    system.hold(true);
    taken(gateway.client(), "ops", "msg_1", &message("a", "first")).await;
    for posts in 1..=3 {
        system.posted(posts).await;
        gateway = Gateway::start_in(gateway.kill()).await;
    }
    system.posted(4).await;
    system.hold(false);
    let reply = system.until(1).await.remove(0);
    assert!(reply["text"].as_str().unwrap().contains("first"), "{reply}");
    let left = gateway.client().get("/channels/ops/dead-letters").await.expect(200);
    assert_eq!(left, json!({"dead_letters": []}));
    gateway.stop().await;
}

#[tokio::test]
async fn what_was_answered_with_200_survives_kills() {
    const ROUNDS: u64 = 6;
    let mut random = Random::announced();
    let system = System::start().await;
    let mut gateway =
        Gateway::start_in(Home::new(&(system.config("ops") + "[agent]\nmax_turns = 1000000\n"))).await;
    let mut accepted = BTreeSet::new();
    for round in 0..ROUNDS {
        let client = gateway.client().clone();
        let posting = tokio::spawn(async move {
            let mut accepted = BTreeSet::new();
            for n in 0.. {
                let text = format!("[{round}-{n:04}]");
                match offered(&client, "ops", &format!("msg{text}"), &message("a", &text)).await {
                    Ok(answer) if answer.status == 200 => drop(accepted.insert(text)),
                    Ok(answer) => return Err(answer.to_string()),
                    Err(_) => break,
                }
            }
            Ok(accepted)
        });
        sleep(Duration::from_millis(50 + random.below(200))).await;
        let home = gateway.kill();
        accepted.extend(posting.await.unwrap().unwrap());
        gateway = Gateway::start_in(home).await;
        // Whoever got no answer posts again.
        if let Some(last) = accepted.last() {
            taken(gateway.client(), "ops", &format!("msg{last}"), &message("a", last)).await;
        }
    }
    let heard = gateway.heard("ops").await;
    let once: BTreeSet<String> = heard.iter().cloned().collect();
    assert_eq!(once.len(), heard.len(), "nothing was taken in twice");
    assert!(accepted.is_subset(&once), "nothing that was accepted is gone");
    assert!(!accepted.is_empty());
    let answered = |replies: &[Value], text: &String| {
        replies.iter().any(|reply| reply["text"].as_str().unwrap_or_default().contains(text))
    };
    until("every message to be answered", async || {
        let replies = system.replies();
        accepted.iter().all(|text| answered(&replies, text)).then_some(())
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn two_channels_have_doors_of_their_own() {
    let (one, two) = (System::start().await, System::start().await);
    let second = two.config("two").replace(SECRET, "another-secret");
    let gateway = Gateway::start(&(one.config("one") + &second)).await;
    let client = gateway.client().with_token(None);
    taken(&client, "one", "msg_1", &message("a", "to one")).await;
    let (id, body) = ("msg_1", message("a", "to two").to_string());
    let crossed = client.send(signed(&client, "two", id, (SECRET, now()), &body), body.clone().into()).await;
    crossed.error(401, "unauthorized");
    let right = signed(&client, "two", id, ("another-secret", now()), &body);
    client.send(right, body.into()).await.expect(200);
    assert!(one.until(1).await[0]["text"].as_str().unwrap().contains("to one"));
    assert!(two.until(1).await[0]["text"].as_str().unwrap().contains("to two"));
    assert_eq!((gateway.heard("one").await.len(), gateway.heard("two").await.len()), (1, 1));
    gateway.stop().await;
}

const KEY: &str = "canary-signing-key";
/// The example that Slack publishes with its rules for signatures.
const PUBLISHED_BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow\
    &channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=\
    &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
    &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
const PUBLISHED_SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";

/// A gateway with the channels `slack` and `meta`, whose manifests say what those platforms publish.
async fn with_asking_platforms() -> Gateway {
    let manifest = |name: &str, rule: &str| {
        let manifest = format!(
            "[plugin]\nname = {name:?}\nversion = \"1.0.0\"\ndescription = \"A platform\"\n[permissions]\n\
             secrets = [\"key\", \"verify\"]\n[channel]\nquiet = true\n[config.key]\ntype = \"string\"\nsecret = true\n\
             [config.verify]\ntype = \"string\"\nsecret = true\n[config.url]\ntype = \"string\"\ndefault = \"\"\n\
             [config.reply_url]\ntype = \"string\"\ndefault = \"\"\n[channel.webhook]\nscheme = \"hmac-sha256\"\n\
             secret = \"key\"\n{rule}"
        );
        Component::of("talking").with_manifest(&manifest).bytes()
    };
    let slack = manifest(
        "slack",
        "header = \"x-slack-signature\"\nprefix = \"v0=\"\nmax_age = 300\n\
         signed = \"v0:{header:x-slack-request-timestamp}:{body}\"\n\
         challenge = { type = \"url_verification\", echo = \"challenge\" }\n",
    );
    let published = manifest(
        "published",
        "header = \"x-slack-signature\"\nprefix = \"v0=\"\n\
         signed = \"v0:{header:x-slack-request-timestamp}:{body}\"\n",
    );
    let meta = manifest(
        "meta",
        "header = \"x-hub-signature-256\"\nprefix = \"sha256=\"\n\
         challenge = { token = \"hub.verify_token\", secret = \"verify\", echo = \"hub.challenge\" }\n",
    );
    let config = format!(
        "[channels_config.slack]\nkey = {KEY:?}\n[channels_config.published]\nkey = \"8f742231b10e8888abcd99yyyzzz85a5\"\n\
         [channels_config.meta]\nkey = {KEY:?}\nverify = \"canary meatyhamhock\"\n"
    );
    let home = Home::new(&config);
    home.place_plugin("slack", &slack);
    home.place_plugin("published", &published);
    home.place_plugin("meta", &meta);
    Gateway::start_in(home).await
}

/// Platforms ask whether their webhooks are wanted, and sign more than the body so that nobody repeats it later.
#[tokio::test]
async fn a_platforms_question_is_answered_and_what_is_old_or_changed_is_turned_away() {
    let gateway = with_asking_platforms().await;
    let client = gateway.client().with_token(None);
    let ask = async |query: &str| {
        client.send(client.bare(Method::GET, &format!("/in/meta?{query}")), Bytes::new()).await
    };
    let right = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=canary+meatyhamhock";
    let answer = until("the channel to be there", async || {
        let answer = ask(right).await;
        (answer.status != 503).then_some(answer)
    })
    .await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"1158201444"[..]));
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/plain"));
    assert_eq!(ask("hub.challenge=%3Cb%3E&hub.verify_token=canary%20meatyhamhock").await.body, "<b>");
    for wrong in ["hub.challenge=1&hub.verify_token=other", "hub.challenge=1", "hub.verify_token=", ""] {
        ask(wrong).await.error(401, "unauthorized");
    }

    let posted = async |time: u64, signed_at: u64, body: &str| {
        let signature = hex_hmac(KEY, &format!("v0:{signed_at}:{body}"));
        let request = client
            .bare(Method::POST, "/in/slack")
            .header("x-slack-request-timestamp", time.to_string())
            .header("x-slack-signature", format!("v0={signature}"));
        client.send(request, body.to_owned().into()).await
    };
    let question = r#"{"token":"Jhj5dZrVaK7ZwHHjRyZWjbDl","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}"#;
    let answer = until("the channel to be there", async || {
        let at = now();
        let answer = posted(at, at, question).await;
        (answer.status != 503).then_some(answer)
    })
    .await;
    assert_eq!(answer.body, "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P");
    let answer = until("the channel to be there", async || {
        let request = client
            .bare(Method::POST, "/in/published")
            .header("x-slack-request-timestamp", "1531420618")
            .header("x-slack-signature", PUBLISHED_SIGNATURE);
        let answer = client.send(request, PUBLISHED_BODY.into()).await;
        (answer.status != 503).then_some(answer)
    })
    .await;
    assert_eq!(answer.body, "heard", "the example that the platform publishes");
    let at = now();
    assert_eq!(posted(at, at, r#"{"type":"event_callback","challenge":"no"}"#).await.body, "heard");
    for (time, signed_at) in [(at - 400, at - 400), (at + 400, at + 400), (at, at - 1)] {
        posted(time, signed_at, question).await.error(401, "unauthorized");
    }
    assert!(!gateway.output().says(&["canary"]), "secrets are in no line of the log");
    gateway.stop().await;
}
