//! Rate limits, as the reference has them.
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use hyper::Method;
use prx_tests::client::{Answer, Client};
use prx_tests::gateway::{Gateway, Home};
use prx_tests::system::{System, now, post, signed};
use prx_tests::wait::until;
use serde_json::json;

/// A gateway whose requests are limited as they are unless someone says otherwise.
async fn limited() -> Gateway {
    let home = Home::empty();
    home.configure("");
    Gateway::start_in(home).await
}

/// The caller's limit, what is left of it, and the Unix second at which it is whole again.
#[track_caller]
fn standing(answer: &Answer) -> (u64, u64, u64) {
    let number = |name: &str| {
        let value = answer.headers.get(name).unwrap_or_else(|| panic!("no {name}: {answer}"));
        value.to_str().expect("ASCII").parse().expect("a number")
    };
    (number("x-ratelimit-limit"), number("x-ratelimit-remaining"), number("x-ratelimit-reset"))
}

async fn second_token(gateway: &Gateway) -> Client {
    let made = gateway.client().post("/auth/tokens", json!({})).await.expect(201);
    gateway.client().with_token(made["token"].as_str())
}

/// What came of a rush.
struct Rush {
    allowed: f64,
    refused: f64,
    seconds: f64,
}

/// Fifty clients with one token ask as fast as they can.
async fn rush(client: &Client, method: Method, path: &'static str) -> Rush {
    const CLIENTS: usize = 50;
    let start = tokio::time::Instant::now();
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (client, method) = (client.clone(), method.clone());
            tokio::spawn(async move {
                let (mut allowed, mut refused) = (0, 0);
                while start.elapsed() < Duration::from_secs(3) {
                    let request =
                        client.request(method.clone(), path).header("content-type", "application/json");
                    let answer = client.send(request, Bytes::from_static(b"{}")).await;
                    match answer.status {
                        200 | 201 => allowed += 1,
                        _ => {
                            answer.error(429, "rate_limited");
                            assert_eq!(answer.headers["retry-after"], "1");
                            assert_eq!(standing(&answer).1, 0);
                            refused += 1;
                        }
                    }
                }
                (allowed, refused)
            })
        })
        .collect();
    let (mut allowed, mut refused) = (0, 0);
    for task in tasks {
        let (more_allowed, more_refused) = task.await.expect("no panic");
        allowed += more_allowed;
        refused += more_refused;
    }
    Rush { allowed: f64::from(allowed), refused: f64::from(refused), seconds: start.elapsed().as_secs_f64() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_token_gets_the_rate_of_each_group_and_no_more() {
    let gateway = limited().await;
    let other = second_token(&gateway).await;
    for (method, path, rate) in [
        (Method::POST, "/sessions", 10.0),
        (Method::GET, "/sessions", 50.0),
        (Method::PATCH, "/config", 5.0),
        (Method::GET, "/tools", 30.0),
    ] {
        until("a rush that the machine was quick enough for", async || {
            let Rush { allowed, refused, seconds } = rush(gateway.client(), method.clone(), path).await;
            let most = rate * (seconds + 1.0);
            assert!(allowed <= most, "{path}: {allowed} in {seconds} s; {most} are the most");
            // Where hardly more was asked than is allowed, pauses in the asking cost some of it.
            if refused < 2.0 * rate * seconds {
                return None;
            }
            let least = rate * (seconds - 1.0);
            assert!(allowed >= least, "{path}: {allowed} in {seconds} s; {least} are the least");
            Some(())
        })
        .await;
        let answer = other.get(path).await;
        assert_eq!(answer.status, 200, "another token is not affected: {answer}");
    }
}

#[tokio::test]
async fn every_answer_says_how_its_caller_stands() {
    let gateway = limited().await;
    let client = gateway.client();
    let first = client.get("/sessions").await;
    let (limit, remaining, reset) = standing(&first);
    assert_eq!((limit, remaining), (50, 49));
    assert!(reset > 1_700_000_000, "a Unix second: {reset}");
    assert_eq!(standing(&client.post("/sessions", json!({})).await).0, 10);
    for (path, status) in
        [("/tools", 200), ("/sessions/sess_absent", 404), ("/nowhere", 404), ("/status/health", 200)]
    {
        let answer = client.get(path).await;
        assert_eq!(answer.status, status, "{answer}");
        standing(&answer);
    }
    let reader = client.post("/auth/tokens", json!({"scopes": ["logs:read"]})).await.expect(201);
    let forbidden = client.with_token(reader["token"].as_str()).get("/tools").await;
    forbidden.error(403, "forbidden");
    assert_eq!(standing(&forbidden).0, 30);
}

#[tokio::test]
async fn strangers_are_limited_by_address_and_do_not_keep_others_out() {
    let gateway = limited().await;
    let stranger = gateway.client().with_token(Some("prx_01abc_wrong"));
    until("too many attempts at a time", async || {
        let answers = join_all((0..100).map(|_| stranger.get("/status"))).await;
        for answer in &answers {
            assert!([401, 429].contains(&answer.status), "{answer}");
            assert_eq!(standing(answer).0, 30);
        }
        answers.iter().any(|answer| answer.status == 429).then_some(())
    })
    .await;
    gateway.client().get("/status").await.expect(200);
    let anyone = gateway.client().with_token(None);
    for answer in join_all((0..100).map(|_| anyone.get("/status/health"))).await {
        assert_eq!(answer.status, 200, "health is never refused: {answer}");
        standing(&answer);
    }
}

#[tokio::test]
async fn what_a_channel_knows_to_be_its_platforms_counts_for_it_alone() {
    let system = System::start().await;
    let home = Home::empty();
    home.configure(&system.config("ops"));
    let gateway = Gateway::start_in(home).await;
    let client = gateway.client();
    let message = json!({"conversation": "c", "user": {"id": "u", "name": "Ada"}, "text": "Hello"});
    until("the channel to run", async || {
        (post(client, "ops", "first", &message).await.ok()?.status == 200).then_some(())
    })
    .await;
    let stranger = client.with_token(None);
    until("a stranger at the same address to be too many", async || {
        let forged = (0..50).map(|n| {
            let id = format!("forged-{n}");
            let request = signed(&stranger, "ops", &id, ("wrong", now()), "{}");
            stranger.send(request, "{}".into())
        });
        let answers = join_all(forged).await;
        assert!(answers.iter().all(|answer| [401, 429].contains(&answer.status)));
        answers.iter().any(|answer| answer.status == 429).then_some(())
    })
    .await;
    let ids: Vec<String> = (0..50).map(|n| format!("msg-{n}")).collect();
    for answers in [0, 1].map(|_| ids.iter().map(|id| post(client, "ops", id, &message))) {
        for answer in join_all(answers).await {
            let answer = answer.unwrap();
            assert_eq!(answer.status, 200, "{answer}");
            assert_eq!(standing(&answer).0, 500);
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_owner_is_not_limited() {
    let gateway = limited().await;
    for _ in 0..12 {
        let ended = gateway.home().run(&["session", "list", "--json"]).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
}
