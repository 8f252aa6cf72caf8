use super::*;

fn redirect(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
}

fn following(redirects: u8, request: Request) -> Request {
    Request { redirects, ..request }
}

#[tokio::test]
async fn a_redirect_is_an_answer_unless_asked_for() {
    let server = Server::http(|_| redirect(302, "/next")).await;
    let response = egress().send(&policy(&[&server]), get(server.url("/"))).await.unwrap();
    assert_eq!((response.status.as_u16(), response.headers["location"].as_bytes()), (302, &b"/next"[..]));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_redirect_to_a_host_that_is_not_granted_is_denied() {
    let target = Server::http(|_| ok("hello")).await;
    let to = target.url("/");
    let server = Server::http(move |_| redirect(302, &to)).await;
    let failure = refusal(&policy(&[&server]), following(3, get(server.url("/")))).await;
    assert_eq!((failure.kind, failure.sent), (Kind::Denied, true), "{failure}");
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn credentials_stay_with_their_origin() {
    let target = Server::http(|_| ok("arrived")).await;
    let to = target.url("/far");
    let server = Server::http(move |request| match request.starts_with("GET / ") {
        true => redirect(302, "/near"),
        false => redirect(307, &to),
    })
    .await;
    let mut request = following(2, get(server.url("/")));
    request.headers = vec![
        ("authorization".to_owned(), vec![text("Basic abc")]),
        ("cookie".to_owned(), vec![text("a=b")]),
        ("x-key".to_owned(), vec![token()]),
        ("x-plain".to_owned(), vec![text("stays")]),
    ];
    let answer = fetch(&egress(), &policy(&[&server, &target]), request).await.unwrap();
    assert_eq!(answer, "arrived");
    let near = &server.seen()[1];
    assert!(near.starts_with("GET /near "), "{near}");
    let credentials = ["authorization: Basic abc", "cookie: a=b", "x-key: s3cr3t/+token"];
    assert!(credentials.iter().all(|header| near.contains(header)), "{near}");
    let far = &target.seen()[0];
    assert!(["authorization", "cookie", "x-key", "s3cr3t"].iter().all(|name| !far.contains(name)), "{far}");
    assert!(far.contains("x-plain: stays"), "{far}");
}

#[tokio::test]
async fn a_secret_in_url_or_body_is_not_carried_to_another_origin() {
    let target = Server::http(|_| ok("arrived")).await;
    let to = target.url("");
    let server = Server::http(move |request| {
        let path = request.split(' ').nth(1).unwrap();
        redirect(307, &format!("{to}{path}"))
    })
    .await;
    let mut in_url = following(1, get(server.url("/bot")));
    in_url.url.push(token());
    let mut in_body = following(1, get(server.url("/")));
    in_body.method = Method::POST;
    in_body.body = Body::Segments(vec![token()]);
    for request in [in_url, in_body] {
        let failure = refusal(&policy(&[&server, &target]), request).await;
        assert_eq!((failure.kind, failure.sent), (Kind::Denied, true), "{failure}");
        assert!(!failure.reason.contains("s3cr3t"), "{failure}");
    }
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn a_post_becomes_a_get_where_the_status_says_so() {
    for (status, method) in [(303, "GET"), (302, "GET"), (307, "POST"), (308, "POST")] {
        let server = Server::http(move |request| match request.contains(" /next ") {
            true => ok("arrived"),
            false => redirect(status, "next"),
        })
        .await;
        let mut request = following(1, get(server.url("/first?x")));
        request.method = Method::POST;
        request.headers = vec![("content-type".to_owned(), vec![text("text/plain")])];
        request.body = Body::Segments(vec![text("body")]);
        fetch(&egress(), &policy(&[&server]), request).await.unwrap();
        let next = &server.seen()[1];
        assert!(next.starts_with(&format!("{method} /next HTTP/1.1\r\n")), "{next}");
        assert_eq!(next.ends_with("body") && next.contains("content-type"), method == "POST", "{next}");
    }
}

#[tokio::test]
async fn a_chain_of_redirects_has_an_end() {
    let server = Server::http(|_| redirect(302, "/again")).await;
    let failure = refusal(&policy(&[&server]), following(4, get(server.url("/")))).await;
    assert_eq!((failure.kind, failure.sent), (Kind::Protocol, true));
    assert_eq!((server.seen().len(), server.connections()), (5, 1));
}

#[tokio::test]
async fn a_redirect_to_nonsense_is_an_error() {
    for location in ["http://", "file:///etc/passwd", "http://user@evil.test/", "javascript:1"] {
        let server = Server::http(move |_| redirect(302, location)).await;
        let failure = refusal(&policy(&[&server]), following(1, get(server.url("/")))).await;
        assert_eq!((failure.kind, failure.sent), (Kind::Protocol, true), "{location}");
    }
}
