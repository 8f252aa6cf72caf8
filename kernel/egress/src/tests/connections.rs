use super::*;

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let server = Server::http(|_| ok("hello")).await;
    let (egress, policy) = (egress(), policy(&[&server]));
    for _ in 0..5 {
        assert_eq!(fetch(&egress, &policy, get(server.url("/"))).await.unwrap(), "hello");
    }
    let head = Request { method: Method::HEAD, ..get(server.url("/")) };
    assert!(egress.send(&policy, head).await.is_ok());
    assert_eq!((server.connections(), server.seen().len()), (1, 6));
}

#[tokio::test]
async fn requests_at_the_same_time_have_connections_of_their_own() {
    let server = Server::http(|_| ok("hello")).await;
    let (egress, policy) = (egress(), policy(&[&server]));
    let first = egress.send(&policy, get(server.url("/"))).await.unwrap();
    let second = egress.send(&policy, get(server.url("/"))).await.unwrap();
    assert_eq!(first.collect().await.unwrap(), "hello");
    assert_eq!(second.collect().await.unwrap(), "hello");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn an_answer_that_is_dropped_closes_its_connection() {
    let server = Server::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345").await.unwrap();
        let _ = stream.read(&mut [0]).await;
    })
    .await;
    let (egress, policy) = (egress(), policy(&[&server]));
    for _ in 0..3 {
        drop(egress.send(&policy, get(server.url("/"))).await.unwrap());
    }
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn a_server_that_hangs_up_on_a_request_may_have_seen_it() {
    let server = Server::raw(|mut stream| async move {
        read_head(&mut stream).await;
    })
    .await;
    let failure = refusal(&policy(&[&server]), get(server.url("/bot1:x"))).await;
    assert_eq!((failure.kind, failure.sent), (Kind::Closed, true), "{failure}");
    assert!(!failure.reason.contains("bot"), "{failure}");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error() {
    let server = Server::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345").await.unwrap();
    })
    .await;
    let response = egress().send(&policy(&[&server]), get(server.url("/"))).await.unwrap();
    assert_eq!(response.collect().await.unwrap_err().kind, Kind::Closed);
}

#[tokio::test]
async fn a_caller_says_what_it_is_or_the_gateway_does() {
    let server = Server::http(|_| ok("hello")).await;
    let (egress, policy) = (egress(), policy(&[&server]));
    fetch(&egress, &policy, get(server.url("/"))).await.unwrap();
    let headers = vec![("User-Agent".to_owned(), vec![text("weather/1")])];
    fetch(&egress, &policy, Request { headers, ..get(server.url("/")) }).await.unwrap();
    assert!(server.seen()[0].contains("user-agent: prx/"));
    assert!(server.seen()[1].contains("user-agent: weather/1\r\n"));
}

#[tokio::test]
async fn a_url_arrives_as_it_was_written() {
    let server = Server::http(|_| ok("hello")).await;
    let (egress, policy) = (egress(), policy(&[&server]));
    for target in ["/", "/bot12:AA-b_c/getMe?x=%20&y=a+b", "/a;b=c,d/%2e%2F/~!$'()*@[]|", "/?q=a/b?c[]=|:@"] {
        fetch(&egress, &policy, get(server.url(target) + "#gone")).await.unwrap();
        let seen = server.seen().pop().unwrap();
        assert!(seen.starts_with(&format!("GET {target} HTTP/1.1\r\n")), "{target} became {seen}");
    }
}
