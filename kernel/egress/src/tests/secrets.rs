use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::http;

use super::*;

#[tokio::test]
async fn a_secret_is_put_in_where_its_name_stands() {
    let server = Server::http(|_| ok("hello")).await;
    let mut request = get(server.url("/bot"));
    request.method = Method::POST;
    request.url.extend([token(), text("/send?key="), token()]);
    request.headers = vec![("Authorization".to_owned(), vec![text("Bot "), token()])];
    request.body = Body::Segments(vec![text("{\"token\":\""), token(), text("\"}")]);
    fetch(&egress(), &policy(&[&server]), request).await.unwrap();
    let seen = &server.seen()[0];
    assert!(seen.starts_with("POST /bots3cr3t%2F%2Btoken/send?key=s3cr3t%2F%2Btoken HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains("\r\nauthorization: Bot s3cr3t/+token\r\n"), "{seen}");
    assert!(seen.ends_with("\r\n\r\n{\"token\":\"s3cr3t/+token\"}"), "{seen}");
}

#[tokio::test]
async fn a_secret_that_is_not_granted_is_refused_by_name() {
    let server = Server::http(|_| ok("hello")).await;
    let other = || Segment::Secret("other".to_owned());
    let mut in_url = get(server.url("/"));
    in_url.url.push(other());
    let in_header = Request { headers: vec![("x-a".to_owned(), vec![other()])], ..get(server.url("/")) };
    let in_body = Request { body: Body::Segments(vec![other()]), ..get(server.url("/")) };
    for request in [in_url, in_header, in_body] {
        let failure = refusal(&policy(&[&server]), request).await;
        assert_eq!((failure.kind, failure.sent), (Kind::Denied, false));
        assert!(failure.reason.contains("\"other\""), "{failure}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_secret_is_never_part_of_the_origin() {
    let server = Server::http(|_| ok("hello")).await;
    for url in [
        vec![token()],
        vec![text("http://"), token(), text(".evil.test/")],
        vec![text("http://evil.test:"), token()],
        vec![text(server.url("")), token(), text("@evil.test/")],
    ] {
        let failure = refusal(&policy(&[&server]), Request { url, ..get("") }).await;
        assert_eq!((failure.kind, failure.sent), (Kind::Denied, false));
        assert!(!failure.reason.contains("s3cr3t"), "{failure}");
    }
}

#[tokio::test]
async fn an_echoed_secret_is_scrubbed_from_headers_and_body() {
    let server = Server::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let head = "HTTP/1.1 200 OK\r\nx-echo: is s3cr3t/+token!\r\nlocation: /s3cr3t%2F%2Btoken\r\n\
                    transfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        for chunk in ["<s", "3cr3", "t/+token><s3cr3t%2F%2Btoken><s3c", "r3t>"] {
            let chunk = format!("{:x}\r\n{chunk}\r\n", chunk.len());
            stream.write_all(chunk.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
    })
    .await;
    let response = egress().send(&policy(&[&server]), get(server.url("/"))).await.unwrap();
    assert_eq!(response.headers["x-echo"], "is ***REDACTED***!");
    assert_eq!(response.headers["location"], "/***REDACTED***");
    let body = response.collect().await.unwrap();
    assert_eq!(body, "<***REDACTED***><***REDACTED***><s3cr3t>");
}

#[tokio::test]
async fn a_scrubbed_body_comes_without_its_old_length() {
    let server = Server::http(|_| ok("s3cr3t/+token")).await;
    let response = egress().send(&policy(&[&server]), get(server.url("/"))).await.unwrap();
    assert!(!response.headers.contains_key("content-length"));
    assert_eq!(response.collect().await.unwrap(), "***REDACTED***");
    let response = egress().send(&without_secrets(&[&server]), get(server.url("/"))).await.unwrap();
    assert_eq!(response.headers["content-length"], "13");
    assert_eq!(response.collect().await.unwrap(), "s3cr3t/+token");
}

#[tokio::test]
async fn an_encoding_can_not_hide_a_secret() {
    let encodings = [
        "content-length: 1\r\ncontent-encoding: zstd",
        "content-length: 1\r\ncontent-encoding: identity\r\ncontent-encoding: br",
        "transfer-encoding: gzip, chunked",
    ];
    for encoding in encodings {
        let server = Server::http(move |_| format!("HTTP/1.1 200 OK\r\n{encoding}\r\n\r\n1\r\n")).await;
        let headers = vec![("accept-encoding".to_owned(), vec![text("gzip")])];
        let failure = refusal(&policy(&[&server]), Request { headers, ..get(server.url("/")) }).await;
        assert_eq!((failure.kind, failure.sent), (Kind::Protocol, true), "{encoding}");
        assert!(server.seen()[0].contains("accept-encoding: identity\r\n"));
    }
}

#[tokio::test]
async fn without_secrets_the_caller_chooses_the_encoding() {
    let server = Server::http(|_| ok("x").replacen("\r\n", "\r\ncontent-encoding: gzip\r\n", 1)).await;
    let headers = vec![("accept-encoding".to_owned(), vec![text("gzip")])];
    let request = Request { headers, ..get(server.url("/")) };
    assert_eq!(fetch(&egress(), &without_secrets(&[&server]), request).await.unwrap(), "x");
    assert!(server.seen()[0].contains("accept-encoding: gzip\r\n"));
}

#[tokio::test]
async fn a_guest_names_a_secret_in_a_header_value() {
    let server = Server::http(|_| ok("hello")).await;
    let guest = |value: &str| {
        let request = http::Request::post(server.url("/v1"))
            .header("host", "evil.test")
            .header("content-length", "5")
            .header("x-key", value)
            .body(Full::new(Bytes::from("12345")))
            .unwrap();
        Request::from_http(request, Timeouts::default(), 1024).unwrap()
    };
    let response = egress().send(&policy(&[&server]), guest("Key {secret:token}, {secret:}")).await.unwrap();
    let body = response.into_http().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "hello");
    let seen = &server.seen()[0];
    assert!(seen.contains("\r\nx-key: Key s3cr3t/+token, {secret:}\r\n"), "{seen}");
    assert!(seen.contains(&format!("\r\nhost: {}\r\n", server.address)) && !seen.contains("evil"), "{seen}");
    assert!(seen.ends_with("\r\n\r\n12345"), "{seen}");
    assert_eq!(refusal(&policy(&[&server]), guest("{secret:other}")).await.kind, Kind::Denied);
}
