//! Routes of plugins: who may call them, what goes through them, and what becomes of those that misbehave.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Response};
use hyper_util::rt::TokioIo;
use prx_tests::client::{Answer, Client};
use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::wait::until;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

const GRANTS: &str = "[grants.serving]\nkv = \"64KiB\"\n";

/// The plugin that answers by path, with this in its manifest besides.
fn serving(name: &str, rest: &str) -> Component {
    Component::of("serving").with_manifest(&format!("[plugin]\nname = {name:?}\nversion = \"1.0.0\"\n{rest}"))
}

async fn with_serving(rest: &str, config: &str) -> Gateway {
    let home = Home::new(config);
    home.place_plugin("serving", &serving("serving", rest).bytes());
    Gateway::start_in(home).await
}

async fn ask(client: &Client, method: Method, path: &str, body: &str) -> Answer {
    client.send(client.bare(method, path), body.to_owned().into()).await
}

async fn get(client: &Client, path: &str) -> Answer {
    ask(client, Method::GET, path, "").await
}

/// A client with a token of this scope.
async fn with_scope(gateway: &Gateway, scope: &str) -> Client {
    let made = gateway.client().post("/auth/tokens", json!({"name": scope, "scopes": [scope]})).await;
    gateway.client().with_token(made.expect(201)["token"].as_str())
}

/// A request whose body is sent piece by piece.
struct Exchange {
    pieces: mpsc::UnboundedSender<Bytes>,
    answer: Response<Incoming>,
}

impl Exchange {
    async fn begin(gateway: &Gateway, method: Method, path: &str, first: &'static str) -> Self {
        let (pieces, mut sent) = mpsc::unbounded_channel::<Bytes>();
        pieces.send(first.into()).unwrap();
        let frames = futures_util::stream::poll_fn(move |cx| {
            sent.poll_recv(cx).map(|piece| piece.map(|piece| Ok::<_, Infallible>(Frame::data(piece))))
        });
        let request = gateway.client().bare(method, path).body(StreamBody::new(frames)).unwrap();
        let stream = TokioIo::new(TcpStream::connect(gateway.address()).await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self { pieces, answer: sender.send_request(request).await.unwrap() }
    }

    /// The next piece of the answer; none at its end, an error where it breaks off.
    async fn next(&mut self) -> Option<Result<String, hyper::Error>> {
        let frame = tokio::time::timeout(Duration::from_secs(60), self.answer.body_mut().frame()).await;
        let text = |frame: Frame<Bytes>| String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
        Some(frame.expect("a piece in time")?.map(text))
    }

    async fn piece(&mut self) -> String {
        self.next().await.expect("it goes on").expect("it does not break off")
    }
}

#[tokio::test]
async fn a_route_is_told_who_calls_and_no_credentials() {
    let gateway = with_serving("", GRANTS).await;
    let plugin = gateway.plugin("serving").await.unwrap();
    assert_eq!(plugin["capabilities"], json!(["route:/ext/serving"]));
    let request = gateway.client().bare(Method::GET, "/ext/serving/who?q=a%20b&x");
    let request =
        request.header("cookie", "a=b").header("x-prx-scopes", "admin").header("x-forwarded-prefix", "/x");
    let answer = gateway.client().send(request, Bytes::new()).await;
    let who = answer.expect(200);
    assert_eq!(
        (&who["method"], &who["path"], &who["query"], &who["parameter"]),
        (&json!("GET"), &json!("/who"), &json!("q=a%20b&x"), &json!("a b"))
    );
    assert_eq!((&who["prefix"], &who["may_read_sessions"]), (&json!("/ext/serving"), &json!(true)));
    let caller = who["caller"].as_str().unwrap();
    let headers = who["headers"].to_string();
    let token = gateway.client().get("/auth/tokens").await.expect(200)["tokens"][0]["id"].clone();
    assert_eq!(caller, token.as_str().unwrap());
    for kept in ["authorization", "cookie", "Bearer", "\"/x\""] {
        assert!(!headers.contains(kept), "{kept}: {headers}");
    }
    let id = answer.headers["x-request-id"].to_str().unwrap();
    assert!(headers.contains(id), "the request's id: {headers}");
    let line = until("its line in the access log", async || {
        gateway.output().lines().into_iter().find(|line| line.contains(id) && line.contains("request"))
    });
    let line = line.await;
    assert!(line.contains("plugin=\"serving\"") || line.contains("plugin=serving"), "{line}");

    get(&gateway.client().with_token(None), "/ext/serving/who").await.error(401, "unauthorized");
    let reader = with_scope(&gateway, "sessions:read").await;
    let told = get(&reader, "/ext/serving/who").await.error(403, "forbidden");
    assert!(told.contains("tools:write"), "{told}");
    let caller = with_scope(&gateway, "tools:write").await;
    let who = get(&caller, "/ext/serving/who").await.expect(200);
    assert_eq!(who["may_read_sessions"], false);
    get(gateway.client(), "/ext/nothing/who").await.error(404, "not_found");
    assert_eq!(get(gateway.client(), "/ext/serving/nothing").await.status, 404);
    assert_eq!(ask(gateway.client(), Method::HEAD, "/ext/serving/who", "").await.status, 200);

    let greedy = get(gateway.client(), "/ext/serving/greedy").await;
    for kept in ["set-cookie", "access-control-allow-origin", "service-worker-allowed", "x-accel-redirect"] {
        assert!(!greedy.headers.contains_key(kept), "{kept}");
    }
    assert_eq!(greedy.headers["cache-control"], "max-age=60");
    assert!(greedy.headers["content-security-policy"].to_str().unwrap().starts_with("sandbox"));
    let told = get(gateway.client(), "/ext/serving/fault").await.error(429, "rate_limited");
    assert_eq!(told, "no more of that");

    gateway.client().post("/plugins/serving/disable", json!({})).await.expect(200);
    get(gateway.client(), "/ext/serving/who").await.error(404, "not_found");
    gateway.client().post("/plugins/serving/enable", json!({})).await.expect(200);
    get(gateway.client(), "/ext/serving/who").await.expect(200);
}

#[tokio::test]
async fn bodies_stream_both_ways_and_a_swap_lets_them() {
    let gateway = with_serving("", GRANTS).await;
    let mut exchange = Exchange::begin(&gateway, Method::POST, "/ext/serving/echo", "one").await;
    assert_eq!(exchange.piece().await, "one");
    exchange.pieces.send("two".into()).unwrap();
    assert_eq!(exchange.piece().await, "two");

    let newer = serving("serving", "").replace("generation 1", "generation 2");
    let path = "/plugins/serving";
    gateway.client().upload(Method::PUT, path, "application/wasm", newer.bytes()).await.expect(200);
    let who = get(gateway.client(), "/ext/serving/who").await.expect(200);
    assert_eq!(who["generation"], "generation 2");
    exchange.pieces.send("three".into()).unwrap();
    assert_eq!(exchange.piece().await, "three", "what is under way ends in the code that it began in");
    drop(exchange.pieces);
    assert!(exchange.answer.body_mut().frame().await.is_none(), "the whole answer");
}

#[tokio::test]
async fn a_client_that_hangs_up_ends_what_it_has_begun() {
    let gateway = with_serving("", GRANTS).await;
    get(gateway.client(), "/ext/serving/who").await.expect(200);
    let used = async || {
        let plugin = gateway.client().get("/plugins/serving").await.expect(200);
        plugin["memory_usage_bytes"].as_u64().unwrap()
    };
    let idle = used().await;
    for path in ["/ext/serving/late", "/ext/serving/events", "/ext/serving/flood"] {
        let mut exchange = Exchange::begin(&gateway, Method::POST, path, "").await;
        exchange.next().await.unwrap().unwrap();
        assert!(used().await > idle, "{path} is under way");
        drop(exchange);
        until("its instance to be gone", async || (used().await == idle).then_some(())).await;
    }
    // Before it has begun to answer.
    let hanging = tokio::spawn({
        let client = gateway.client().clone();
        async move { get(&client, "/ext/serving/hang").await }
    });
    until("it to be under way", async || (used().await > idle).then_some(())).await;
    hanging.abort();
    until("its instance to be gone", async || (used().await == idle).then_some(())).await;
}

#[tokio::test]
async fn what_goes_wrong_is_a_clean_error_or_an_answer_that_breaks_off() {
    let limits = "[limits]\ndeadline = \"1s\"\ncpu = \"200ms\"\n";
    let gateway = with_serving(limits, GRANTS).await;
    for (path, status, code) in
        [("trap", 502, "bad_gateway"), ("hang", 504, "gateway_timeout"), ("spin", 504, "gateway_timeout")]
    {
        let told = get(gateway.client(), &format!("/ext/serving/{path}")).await.error(status, code);
        assert!(told.starts_with("Plugin serving: "), "{path}: {told}");
        get(gateway.client(), "/ext/serving/who").await.expect(200);
    }
    let mut late = Exchange::begin(&gateway, Method::POST, "/ext/serving/late", "").await;
    assert_eq!(late.piece().await, "one");
    assert!(late.next().await.is_some_and(|end| end.is_err()), "it is seen not to be whole");
    for path in ["broken", "given-up", "late"] {
        let path = format!("/ext/serving/{path}");
        let whole = gateway.client().try_send(gateway.client().bare(Method::GET, &path), Bytes::new()).await;
        assert!(whole.is_err(), "{path} is seen not to be whole: {whole:?}");
        get(gateway.client(), "/ext/serving/who").await.expect(200);
    }
    // Five in a row, and it is out of service; enabled, it serves again.
    for _ in 0..5 {
        get(gateway.client(), "/ext/serving/trap").await.error(502, "bad_gateway");
    }
    get(gateway.client(), "/ext/serving/who").await.error(404, "not_found");
    gateway.client().post("/plugins/serving/enable", json!({})).await.expect(200);
    get(gateway.client(), "/ext/serving/who").await.expect(200);
}

#[tokio::test]
async fn a_body_has_a_bound_however_it_is_sent() {
    let gateway = with_serving("", &format!("{GRANTS}[gateway]\nmax_body_bytes = 1024\n")).await;
    let length = |n: usize| "x".repeat(n);
    let post = async |body: &str| ask(gateway.client(), Method::POST, "/ext/serving/length", body).await;
    assert_eq!(post(&length(1024)).await.body, "1024");
    post(&length(1025)).await.error(413, "payload_too_large");
    let exchange = Exchange::begin(&gateway, Method::POST, "/ext/serving/length", "x").await;
    drop(exchange);
    let (pieces, mut sent) = mpsc::unbounded_channel::<Bytes>();
    for _ in 0..3 {
        pieces.send(length(512).into()).unwrap();
    }
    drop(pieces);
    let frames = futures_util::stream::poll_fn(move |cx| {
        sent.poll_recv(cx).map(|piece| piece.map(|piece| Ok::<_, Infallible>(Frame::data(piece))))
    });
    let request =
        gateway.client().bare(Method::POST, "/ext/serving/length").body(StreamBody::new(frames)).unwrap();
    let stream = TokioIo::new(TcpStream::connect(gateway.address()).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 413, "in pieces");
    get(gateway.client(), "/ext/serving/who").await.expect(200);
}

#[tokio::test]
async fn a_prefix_is_granted_and_belongs_to_one() {
    let asks = "[routes]\npaths = [\"/v9\"]\nscope = \"sessions:write\"\n";
    let gateway = with_serving(asks, "").await;
    let client = gateway.client();
    let failed = gateway.plugin("serving").await.unwrap();
    assert!(failed["error"].as_str().unwrap().contains("routes = [\"/v9\"]"), "{failed}");
    get(client, "/v9/who").await.error(404, "not_found");
    let granted = gateway.home().run(&["plugin", "grant", "serving", "--route", "/v9"]).await;
    assert_eq!(granted.code, Some(0), "{granted:?}");
    let who = get(client, "/v9/who?x").await.expect(200);
    assert_eq!((&who["path"], &who["prefix"]), (&json!("/v9/who"), &json!("")));
    get(client, "/v99/who").await.error(404, "not_found");
    get(&with_scope(&gateway, "tools:write").await, "/v9/who").await.error(403, "forbidden");
    get(&with_scope(&gateway, "sessions:write").await, "/v9/who").await.expect(200);
    let plugin = gateway.plugin("serving").await.unwrap();
    assert_eq!(plugin["capabilities"], json!(["route:/ext/serving", "route:/v9"]));

    let home = gateway.home();
    home.run(&["plugin", "grant", "other", "--route", "/v9/who", "--route", "/v10"]).await;
    let other = serving("other", "[routes]\npaths = [\"/v10\", \"/v9/who\"]\n");
    let refused = client.upload(Method::POST, "/plugins", "application/wasm", other.bytes()).await;
    let told = refused.error(409, "conflict");
    assert!(told.contains("route /v9/who meets /v9, which is already served by plugin serving"), "{told}");
    assert!(gateway.plugin("other").await.is_none(), "nothing half done");
    get(client, "/v10/who").await.error(404, "not_found");
    client.post("/plugins/serving/disable", json!({})).await.expect(200);
    client.upload(Method::POST, "/plugins", "application/wasm", other.bytes()).await.expect(201);
    get(client, "/v10/who").await.expect(404);
    let told = client.post("/plugins/serving/enable", json!({})).await.error(409, "conflict");
    assert!(told.contains("route /v9 meets /v9/who"), "{told}");

    for (paths, why) in [("/api/v2", "the gateway's own"), ("v9", "does not begin with /")] {
        let odd = serving("odd", &format!("[routes]\npaths = [{paths:?}]\n"));
        let refused = client.upload(Method::POST, "/plugins", "application/wasm", odd.bytes()).await;
        assert!(refused.error(409, "conflict").contains(why), "{refused}");
    }
    let none =
        Component::of("ticking").with_manifest("[plugin]\nname = \"x\"\nversion = \"1.0.0\"\n[routes]\n");
    let refused = client.upload(Method::POST, "/plugins", "application/wasm", none.bytes()).await;
    assert!(refused.error(409, "conflict").contains("exports no wasi:http/incoming-handler"), "{refused}");
}

#[tokio::test]
async fn a_route_is_public_only_where_that_is_granted() {
    let gateway = with_serving("[routes]\npublic = true\n", "").await;
    let failed = gateway.plugin("serving").await.unwrap();
    assert!(failed["error"].as_str().unwrap().contains("public = true"), "{failed}");
    let granted = gateway.home().run(&["plugin", "grant", "serving", "--public"]).await;
    assert_eq!(granted.code, Some(0), "{granted:?}");
    let anyone = gateway.client().with_token(None);
    let spoofed = anyone.bare(Method::GET, "/ext/serving/who").header("x-prx-caller", "owner");
    assert_eq!(anyone.send(spoofed, Bytes::new()).await.expect(200)["caller"], Value::Null);
    assert!(get(gateway.client(), "/ext/serving/who").await.expect(200)["caller"].is_string());
    let wrong = anyone.with_token(Some("prx_x_y"));
    get(&wrong, "/ext/serving/who").await.error(401, "unauthorized");
    get(&with_scope(&gateway, "status:read").await, "/ext/serving/who").await.error(403, "forbidden");
}

#[tokio::test]
async fn a_flood_of_requests_leaves_the_others_alone() {
    let home = Home::new(GRANTS);
    home.place_plugin("serving", &serving("serving", "[limits]\ncpu = \"500ms\"\n").bytes());
    home.place_plugin("calm", &serving("calm", "").bytes());
    let gateway = Gateway::start_in(home).await;
    let greedy = ["spin", "flood", "hang", "events"].repeat(16);
    let begin = |path: &&str| {
        let (client, path) = (gateway.client().clone(), format!("/ext/serving/{path}"));
        tokio::spawn(async move { client.try_send(client.bare(Method::GET, &path), Bytes::new()).await })
    };
    let open: Vec<_> = greedy.iter().map(begin).collect();
    for _ in 0..20 {
        gateway.client().get("/status/health").await.expect(200);
        get(gateway.client(), "/ext/calm/who").await.expect(200);
    }
    open.iter().for_each(tokio::task::JoinHandle::abort);
    until("all of it to be gone", async || {
        let answer = get(gateway.client(), "/ext/calm/who").await;
        (answer.status == 200 && gateway.client().get("/status/health").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn routes_are_limited_like_everything_else() {
    let home = Home::empty();
    home.configure(&format!("{GRANTS}[rate_limits]\nother = 3\n"));
    home.place_plugin("serving", &serving("serving", "").bytes());
    let gateway = Gateway::start_in(home).await;
    let answers = join_all((0..8).map(|_| get(gateway.client(), "/ext/serving/who"))).await;
    let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert!(!refused.is_empty() && refused.len() < 8, "{} of 8", refused.len());
    assert!(answers.iter().all(|answer| answer.headers["x-ratelimit-limit"] == "3"));
}

#[tokio::test]
async fn short_links_are_made_with_a_token_and_followed_without() {
    let home = Home::new("[grants.short-links]\nkv = \"256KiB\"\npublic = true\n");
    let file = home.path().join("links.wasm");
    std::fs::write(&file, Component::of("prx-short-links").bytes()).unwrap();
    let file = file.display().to_string();
    let checked = home.run(&["plugin", "check", &file, "--json"]).await;
    let checked: Value = serde_json::from_str(&checked.stdout).unwrap();
    assert_eq!(
        (&checked["capabilities"], &checked["routes"]),
        (&json!(["route"]), &json!(["/ext/short-links/"]))
    );
    let link = r#"{"url": "https://example.org/a", "name": "a"}"#;
    let tried = home.run(&["plugin", "test", &file, "--request", "POST /", "--body", link, "--json"]).await;
    let tried: Value = serde_json::from_str(&tried.stdout).unwrap();
    assert_eq!(tried["status"], 201, "{tried}");
    let gateway = Gateway::start_in(home).await;
    assert_eq!(gateway.home().run(&["plugin", "install", &file]).await.code, Some(0));
    let made = ask(gateway.client(), Method::POST, "/ext/short-links/", link).await.expect(201);
    let anyone = gateway.client().with_token(None);
    let followed = get(&anyone, made["path"].as_str().unwrap()).await;
    assert_eq!(
        (followed.status, &followed.headers["location"]),
        (302, &"https://example.org/a".parse().unwrap())
    );
    assert_eq!(ask(&anyone, Method::POST, "/ext/short-links/", link).await.status, 401);
    let gateway = gateway.restart().await;
    let listed = get(gateway.client(), "/ext/short-links/").await.expect(200);
    assert_eq!(listed["links"][0]["url"], "https://example.org/a", "also after a restart");
}
