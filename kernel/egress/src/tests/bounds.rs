use std::future::pending;

use super::*;

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(600);
const PATIENT: Timeouts = Timeouts { connect: LONG, first_byte: LONG, idle: LONG, total: LONG };

/// Answers with a head, then with `piece` over and over, then, if that ends, with silence.
async fn dripping(head: &'static str, piece: &'static str, times: usize) -> Server {
    Server::raw(move |mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(head.as_bytes()).await;
        for _ in 0..times {
            if stream.write_all(piece.as_bytes()).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        pending().await
    })
    .await
}

#[tokio::test]
async fn an_endless_body_ends_at_its_bound() {
    let endless = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    let server = dripping(endless, "a".repeat(8192).leak(), usize::MAX).await;
    let response = egress().send(&policy(&[&server]), get(server.url("/"))).await.unwrap();
    let failure = response.collect().await.unwrap_err();
    assert_eq!((failure.kind, failure.sent), (Kind::TooLarge, true));
}

#[tokio::test]
async fn a_body_that_announces_too_much_is_not_begun() {
    let server = dripping("HTTP/1.1 200 OK\r\ncontent-length: 1048577\r\n\r\n", "", 0).await;
    let failure = refusal(&policy(&[&server]), get(server.url("/"))).await;
    assert_eq!((failure.kind, failure.sent), (Kind::TooLarge, true));
}

#[tokio::test]
async fn a_body_of_exactly_the_bound_is_taken() {
    let server = Server::http(|_| ok("12345")).await;
    let ask = |max_body| Request { max_body, ..get(server.url("/")) };
    assert_eq!(fetch(&egress(), &policy(&[&server]), ask(5)).await.unwrap(), "12345");
    assert_eq!(refusal(&policy(&[&server]), ask(4)).await.kind, Kind::TooLarge);
}

#[tokio::test]
async fn a_head_beyond_its_bound_is_refused() {
    for (line, times) in
        [("x-many: a\r\n".to_owned(), 1000), (format!("x-big: {}\r\n", "a".repeat(1 << 20)), 1)]
    {
        let server = dripping("HTTP/1.1 200 OK\r\n", (line.repeat(times) + "\r\n").leak(), 1).await;
        let failure = refusal(&policy(&[&server]), get(server.url("/"))).await;
        assert_eq!((failure.kind, failure.sent), (Kind::TooLarge, true), "{failure}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_said_to_be_so() {
    let server = dripping("SSH-2.0-OpenSSH_9.6\r\n", "", 0).await;
    let failure = refusal(&policy(&[&server]), get(server.url("/"))).await;
    assert_eq!((failure.kind, failure.sent), (Kind::Protocol, true), "{failure}");
}

#[tokio::test]
async fn a_handshake_that_never_ends_times_out_unsent() {
    let server = Server::raw(|stream| async move {
        let _stream = stream;
        pending().await
    })
    .await;
    let origin = Origin::parse(&format!("https://{}", server.address)).unwrap();
    let policy =
        Policy::new(vec![Allowed { origin: origin.clone().into(), private: true }], Secrets::default());
    let timeouts = Timeouts { connect: SHORT, ..PATIENT };
    let failure = refusal(&policy, Request { timeouts, ..get(origin.to_string()) }).await;
    assert_eq!((failure.kind, failure.sent), (Kind::Timeout, false), "{failure}");
}

#[tokio::test]
async fn an_answer_that_does_not_begin_times_out_as_sent() {
    let server = dripping("", "", 0).await;
    for timeouts in [Timeouts { first_byte: SHORT, ..PATIENT }, Timeouts { total: SHORT, ..PATIENT }] {
        let failure = refusal(&policy(&[&server]), Request { timeouts, ..get(server.url("/")) }).await;
        assert_eq!((failure.kind, failure.sent), (Kind::Timeout, true), "{failure}");
    }
}

#[tokio::test]
async fn an_answer_that_stops_in_the_middle_times_out() {
    let server = dripping("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n", "12345", 1).await;
    let timeouts = Timeouts { idle: SHORT, ..PATIENT };
    let request = Request { timeouts, ..get(server.url("/")) };
    let response = egress().send(&policy(&[&server]), request).await.unwrap();
    let failure = response.collect().await.unwrap_err();
    assert_eq!((failure.kind, failure.sent), (Kind::Timeout, true), "{failure}");
}

#[tokio::test]
async fn an_answer_that_never_stops_times_out() {
    let endless = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    let server = dripping(endless, "a", usize::MAX).await;
    let timeouts = Timeouts { total: SHORT, ..PATIENT };
    let request = Request { timeouts, max_body: u64::MAX, ..get(server.url("/")) };
    let response = egress().send(&policy(&[&server]), request).await.unwrap();
    assert_eq!(response.collect().await.unwrap_err().kind, Kind::Timeout);
}

#[tokio::test]
async fn one_policy_has_a_bounded_number_of_requests_under_way() {
    let server = dripping("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n", "12345", 1).await;
    let (egress, policy) = (egress(), without_secrets(&[&server]));
    let ask = || Request { timeouts: Timeouts { connect: SHORT, ..PATIENT }, ..get(server.url("/")) };
    let mut open = Vec::new();
    for _ in 0..256 {
        let patient = Request { timeouts: PATIENT, ..ask() };
        open.push(egress.send(&policy, patient).await.unwrap());
    }
    let failure = egress.send(&policy, ask()).await.unwrap_err();
    assert_eq!((failure.kind, failure.sent), (Kind::Timeout, false));
    assert!(egress.send(&without_secrets(&[&server]), get(server.url("/"))).await.is_ok());
    open.pop();
    assert!(egress.send(&policy, Request { timeouts: PATIENT, ..ask() }).await.is_ok());
}
