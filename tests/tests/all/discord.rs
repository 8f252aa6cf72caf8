//! The connector against a fake Discord: one session through every disturbance, every message answered once.

use std::time::Duration;

use prx_tests::discord::{FakeDiscord, Fault, TOKEN};
use prx_tests::gateway::{Gateway, Home};
use prx_tests::scale::scaled;
use prx_tests::wait::until;
use serde_json::json;
use tokio::time::Instant;

mod files;
mod growing;
mod quoting;

const SECOND: Duration = Duration::from_secs(1);

/// A gateway that listens on its first connection.
async fn listening(discord: &FakeDiscord) -> Gateway {
    let gateway = Gateway::start(&discord.config(&["*"])).await;
    discord.listening(0).await;
    gateway
}

async fn answered(discord: &FakeDiscord, user: u64, count: usize) -> Vec<String> {
    let what = format!("{count} answers to user {user}");
    discord.until(&what, |discord| Some(discord.sent_to(user)).filter(|sent| sent.len() >= count)).await
}

async fn status(gateway: &Gateway) -> (String, String) {
    let channel = gateway.channel("discord").await.unwrap_or_default();
    let text = |key: &str| channel[key].as_str().unwrap_or_default().to_owned();
    (text("status"), text("error"))
}

async fn until_status(gateway: &Gateway, wanted: &str) -> String {
    until(&format!("the channel to be {wanted}"), async || {
        let (status, error) = status(gateway).await;
        (status == wanted).then_some(error)
    })
    .await
}

fn no_rule_broken(discord: &FakeDiscord) {
    assert_eq!(discord.broken_rules(), Vec::<String>::new());
}

#[tokio::test]
async fn every_message_is_answered_once_and_in_order_over_one_connection() {
    let discord = FakeDiscord::with_heartbeat(SECOND).await;
    let home = Home::new(&(discord.config(&["*"]) + "[logs]\nlevel = \"trace\"\n"));
    let gateway = Gateway::start_in(home).await;
    discord.listening(0).await;
    for round in 0..6 {
        for user in 1..=10 {
            discord.write(user, &format!("round {round} of user {user}"));
        }
        discord.dispatch("HOLOGRAM_CREATE", json!({"of": [null, 1.5]}));
    }
    discord.until("sixty answers", |d| (d.sent().len() >= 60).then_some(())).await;
    discord.until("three heartbeats", |d| (d.connections()[0].heartbeats.len() >= 3).then_some(())).await;
    until("a heartbeat to be measured", async || {
        gateway.client().get("/channels/discord/health").await.json()["latency_ms"].as_u64()
    })
    .await;
    until_status(&gateway, "connected").await;
    let connection = &discord.connections()[0];
    assert!(connection.heartbeats[0] - connection.opened_at < 2 * SECOND, "the first within an interval");
    assert!(!discord.calls("typing").is_empty(), "typing is shown while a turn runs");
    for path in ["/channels", "/plugins/discord", "/status", "/sessions?channel=discord"] {
        let answer = gateway.client().get(path).await;
        answer.expect(200);
        assert!(!String::from_utf8_lossy(&answer.body).contains(TOKEN), "{path}");
    }
    assert!(!gateway.output().says(&[TOKEN]), "no log has the token, not even at trace");
    gateway.stop().await;
    for user in 1..=10 {
        let sent = discord.sent_to(user);
        assert_eq!(sent.len(), 6, "one answer for each message: {sent:?}");
        for (round, text) in sent.iter().enumerate() {
            assert!(text.contains(&format!("round {round} of user {user}")), "in order: {sent:?}");
        }
    }
    assert_eq!((discord.connections().len(), discord.sessions_begun()), (1, 1));
    no_rule_broken(&discord);
}

#[tokio::test]
async fn a_heartbeat_that_is_asked_for_comes_at_once() {
    let discord = FakeDiscord::with_heartbeat(Duration::from_secs(600)).await;
    let gateway = listening(&discord).await;
    let before = discord.connections()[0].heartbeats.len();
    discord.say(json!({"op": 1, "d": null}).to_string());
    discord.until("a heartbeat", |d| (d.connections()[0].heartbeats.len() > before).then_some(())).await;
    gateway.stop().await;
    no_rule_broken(&discord);
}

#[tokio::test]
async fn a_deaf_socket_is_noticed_and_mended_and_never_called_connected() {
    const INTERVAL: Duration = Duration::from_secs(2);
    let discord = FakeDiscord::with_heartbeat(INTERVAL).await;
    let gateway = listening(&discord).await;
    discord.until("a heartbeat", |d| (!d.connections()[0].heartbeats.is_empty()).then_some(())).await;
    discord.go_deaf();
    let deaf = Instant::now();
    discord.write(1, "does anybody hear me?");
    while discord.connections().len() == 1 {
        let asked = Instant::now();
        let (status, _) = status(&gateway).await;
        let mended = discord.connections().len() > 1;
        assert!(
            status != "connected" || mended || asked - deaf < 2 * INTERVAL,
            "deaf for {:?}",
            asked - deaf
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(answered(&discord, 1, 1).await[0].contains("does anybody hear me?"));
    until_status(&gateway, "connected").await;
    let connections = discord.connections();
    assert_eq!((connections[0].closed, connections[1].resumed), (Some(4000), Some(true)));
    assert_eq!(discord.sessions_begun(), 1);
    gateway.stop().await;
    no_rule_broken(&discord);
}

#[tokio::test]
async fn whatever_ends_a_connection_but_not_the_session_is_followed_by_resuming_it() {
    let discord = FakeDiscord::start().await;
    let gateway = listening(&discord).await;
    let ends: [&dyn Fn(); 6] = [
        &|| discord.say(json!({"op": 7, "d": null}).to_string()),
        &|| discord.say(json!({"op": 9, "d": true}).to_string()),
        &|| discord.disconnect(Some(4000)),
        &|| discord.disconnect(Some(1001)),
        &|| discord.disconnect(Some(4008)),
        &|| discord.disconnect(None),
    ];
    for (number, end) in ends.iter().enumerate() {
        end();
        discord.write(1, &format!("while connection {number} ends"));
        let sent = answered(&discord, 1, number + 1).await;
        assert!(sent[number].contains(&format!("connection {number}")), "{sent:?}");
        // The message may still have come over the connection that ends.
        discord.listening(number + 1).await;
        assert_eq!(discord.connections()[number + 1].resumed, Some(true), "{number}");
    }
    let closed: Vec<_> = discord.connections().iter().map(|connection| connection.closed).collect();
    assert_eq!(closed[..2], [Some(4000), Some(4000)], "closed so that the session stays");
    assert_eq!(discord.sessions_begun(), 1);
    assert_eq!(gateway.heard("discord").await.len(), ends.len());
    gateway.stop().await;
    no_rule_broken(&discord);
}

#[tokio::test]
async fn a_session_that_is_gone_is_begun_anew() {
    let discord = FakeDiscord::start().await;
    let gateway = listening(&discord).await;
    let ends: [&dyn Fn(); 3] = [
        &|| discord.say(json!({"op": 9, "d": false}).to_string()),
        &|| discord.disconnect(Some(4007)),
        &|| discord.disconnect(Some(4009)),
    ];
    for (number, end) in ends.iter().enumerate() {
        discord.forget_session();
        end();
        discord.listening(number + 1).await;
        assert_eq!(discord.connections()[number + 1].resumed, Some(false));
        discord.write(1, "on a new session");
        answered(&discord, 1, number + 1).await;
    }
    assert_eq!(discord.sessions_begun(), 4);
    gateway.stop().await;
    no_rule_broken(&discord);
}

#[tokio::test]
async fn what_cannot_be_mended_is_shown_with_what_to_do() {
    for (code, advice) in [(4004, "bot_token"), (4014, "MESSAGE CONTENT INTENT")] {
        let discord = FakeDiscord::start().await;
        discord.refuse_introduction(code);
        let gateway = Gateway::start(&discord.config(&["*"])).await;
        let error = until_status(&gateway, "disconnected").await;
        assert!(error.contains(advice), "{error}");
        assert_eq!(discord.connections().len(), 1, "nothing more is tried");
        gateway.client().post("/channels/discord/restart", json!({})).await.expect(200);
        discord.listening(1).await;
        until_status(&gateway, "connected").await;
    }
    let discord = FakeDiscord::start().await;
    let gateway = Gateway::start(&discord.config(&["*"]).replace("canary", "stolen")).await;
    let error = until_status(&gateway, "disconnected").await;
    assert!(error.contains("bot_token") && !error.contains("stolen"), "{error}");
    let gateway = {
        drop(gateway);
        Gateway::start(&discord.config(&[])).await
    };
    assert!(until_status(&gateway, "disconnected").await.contains("allowed_users"));
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_across_forced_disconnects() {
    const USERS: u64 = 10;
    let (messages, disconnects) = (scaled(150, 500), scaled(6, 20));
    let discord = FakeDiscord::start().await;
    let gateway = listening(&discord).await;
    let each = messages.div_ceil(disconnects);
    let mut ended = 0;
    for n in 0..messages {
        discord.write(1 + n as u64 % USERS, &format!("[{n:04}]"));
        if n % each == each / 2 {
            match ended % 3 {
                0 => discord.disconnect(None),
                1 => discord.disconnect(Some(4000)),
                _ => discord.say(json!({"op": 7, "d": null}).to_string()),
            }
            ended += 1;
        }
        if n % each == each - 1 {
            discord.listening(ended).await;
        }
    }
    discord.until("every answer", |d| (d.sent().len() >= messages).then_some(())).await;
    let mut heard = gateway.heard("discord").await;
    heard.sort();
    assert_eq!(heard, (0..messages).map(|n| format!("[{n:04}]")).collect::<Vec<_>>());
    gateway.stop().await;
    for user in 1..=USERS {
        let wanted: Vec<String> =
            (0..messages).filter(|n| 1 + *n as u64 % USERS == user).map(|n| format!("[{n:04}]")).collect();
        let sent = discord.sent_to(user);
        assert_eq!(sent.len(), wanted.len(), "none lost, none doubled: {sent:?}");
        assert!(sent.iter().zip(&wanted).all(|(sent, wanted)| sent.contains(wanted)), "in order: {sent:?}");
    }
    assert_eq!(discord.connections().len(), ended + 1, "{discord:?}");
    assert_eq!(discord.sessions_begun(), 1);
    no_rule_broken(&discord);
}

#[tokio::test]
async fn a_bucket_is_never_asked_for_more_than_it_has() {
    let discord = FakeDiscord::start().await;
    discord.limit(2, SECOND);
    let gateway = listening(&discord).await;
    (0..6).for_each(|n| {
        discord.write(1, &format!("[{n}]"));
    });
    discord.write(2, "elsewhere");
    answered(&discord, 2, 1).await;
    let sent = answered(&discord, 1, 6).await;
    assert!(sent.iter().enumerate().all(|(n, text)| text.contains(&format!("[{n}]"))), "{sent:?}");
    gateway.stop().await;
    no_rule_broken(&discord);
}

#[tokio::test]
async fn an_address_that_is_shut_out_sends_nothing_more_and_hears_all_the_same() {
    let discord = FakeDiscord::start().await;
    let gateway = listening(&discord).await;
    discord.script("send", Fault::Page(429));
    discord.write(1, "first");
    let error = until_status(&gateway, "reconnecting").await;
    assert!(error.contains("429") && error.contains("nothing is sent"), "{error}");
    let texts: Vec<_> = (2..7).map(|user| format!("from {user}")).collect();
    for (user, text) in (2..7).zip(&texts) {
        discord.write(user, text);
    }
    until("all to be heard", async || {
        let heard = gateway.heard("discord").await;
        texts.iter().all(|text| heard.contains(text)).then_some(())
    })
    .await;
    gateway.stop().await;
    assert_eq!(discord.calls("send").len(), 1);
    no_rule_broken(&discord);
}

#[tokio::test]
async fn a_reply_of_unknown_outcome_is_sent_again_and_recognized() {
    let discord = FakeDiscord::start().await;
    let gateway = listening(&discord).await;
    discord.script("send", Fault::DropAfter);
    discord.write(1, "arrived unheard");
    discord.until("the message to be recognized", |d| (d.recognized() == 1).then_some(())).await;
    discord.script("send", Fault::DropBefore);
    discord.script("send", Fault::TooMany(0.4, true));
    discord.script("send", Fault::Refuse(500, 0, "500: Internal Server Error"));
    discord.write(1, "through the storm");
    answered(&discord, 1, 2).await;
    discord.script("send", Fault::Refuse(403, 50_007, "Cannot send messages to this user"));
    discord.write(1, "to nobody");
    discord.write(1, "and on");
    let sent = answered(&discord, 1, 3).await;
    assert!(
        sent[0].contains("unheard") && sent[1].contains("storm") && sent[2].contains("and on"),
        "{sent:?}"
    );
    gateway.stop().await;
    assert_eq!(discord.sent_to(1).len(), 3, "each once");
    no_rule_broken(&discord);
}

#[tokio::test]
async fn restarting_keeps_the_session_and_disabling_ends_it() {
    let discord = FakeDiscord::start().await;
    let gateway = listening(&discord).await;
    let gateway = gateway.restart().await;
    discord.listening(1).await;
    gateway.client().post("/channels/discord/restart", json!({})).await.expect(200);
    discord.listening(2).await;
    gateway.client().post("/plugins/discord/disable", json!({})).await.expect(200);
    until_status(&gateway, "disabled").await;
    gateway.client().post("/plugins/discord/enable", json!({})).await.expect(200);
    discord.listening(3).await;
    let seen: Vec<_> =
        discord.connections().iter().map(|connection| (connection.resumed, connection.closed)).collect();
    assert_eq!(
        seen,
        [(Some(false), Some(4000)), (Some(true), Some(4000)), (Some(true), Some(1000)), (Some(false), None)]
    );
    gateway.stop().await;
    no_rule_broken(&discord);
}

#[tokio::test]
async fn commands_that_are_posted_are_answered_if_they_are_signed() {
    let discord = FakeDiscord::start().await;
    let gateway = listening(&discord).await;
    let post = async |body: String, headers: &[(&str, String)]| {
        let client = gateway.client().with_token(None);
        let request =
            client.bare(hyper::Method::POST, "/in/discord").header("content-type", "application/json");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        client.send(request, body.into()).await
    };
    let ping = json!({"id": "1", "type": 1, "application_id": "2", "token": "x"}).to_string();
    assert_eq!(post(ping.clone(), &discord.sign(&ping)).await.expect(200), json!({"type": 1}));
    let command = discord.command(7, "summarize", "One thing. Another thing.").to_string();
    assert_eq!(post(command.clone(), &discord.sign(&ping)).await.status, 401);
    assert_eq!(post(command.clone(), &[]).await.status, 401);
    assert_eq!(post(command.clone(), &discord.sign(&command)).await.expect(200), json!({"type": 5}));
    discord.until("the answer", |d| (!d.calls("answer").is_empty()).then_some(())).await;
    let over_gateway = discord.command(8, "echo", "hello");
    discord.dispatch("INTERACTION_CREATE", over_gateway);
    discord.until("the second answer", |d| (d.calls("answer").len() == 2).then_some(())).await;
    assert_eq!(discord.calls("callback")[0].body, json!({"type": 5}));
    let mut in_german = discord.command(9, "help", "");
    in_german["locale"] = json!("de");
    discord.dispatch("INTERACTION_CREATE", in_german);
    let answers = discord.until("the third answer", |d| {
        let answers = d.calls("answer");
        (answers.len() == 3).then_some(answers)
    });
    let help = &answers.await[2].body["content"];
    assert!(help.as_str().unwrap().contains("Sprich mit mir"), "{help}");
    let heard = gateway.heard("discord").await;
    assert_eq!(heard, ["/summarize One thing. Another thing.", "/echo hello", "/help"]);
    gateway.stop().await;
    no_rule_broken(&discord);
}

#[tokio::test]
async fn nonsense_is_survived_counted_and_logged_once_for_each_kind() {
    let discord = FakeDiscord::start().await;
    let gateway = listening(&discord).await;
    for _ in 0..100 {
        for frame in [
            "",
            "{",
            "[]",
            "null",
            r#"{"op":"x"}"#,
            r#"{"op":99,"d":{}}"#,
            r#"{"op":0,"t":7,"s":"x","d":[]}"#,
        ] {
            discord.say(frame);
        }
        discord.say(
            json!({"op": 0, "t": "MESSAGE_CREATE", "s": null, "d": {"id": {}, "author": 7}}).to_string(),
        );
        discord.say(format!("{}{}", "[".repeat(2_000), "1"));
    }
    discord.write(1, "still there?");
    answered(&discord, 1, 1).await;
    discord.say("x".repeat(8 << 20));
    discord.write(1, "and after that?");
    assert!(answered(&discord, 1, 2).await[1].contains("and after that?"));
    let lines = gateway.output().lines().iter().filter(|line| line.contains("ignored")).count();
    assert!((2..=20).contains(&lines), "{lines} lines for 900 frames");
    until_status(&gateway, "connected").await;
    assert_eq!(discord.sessions_begun(), 1);
    gateway.stop().await;
}
