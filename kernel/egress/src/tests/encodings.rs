//! Answers that are encoded though nobody asked for it.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http_body_util::BodyExt;
use tokio::sync::mpsc;

use super::*;

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A server that answers with these bytes under this encoding, and hangs up.
async fn encoded(encoding: &'static str, status: u16, body: Vec<u8>) -> Server {
    Server::raw(move |mut stream| {
        let body = body.clone();
        async move {
            read_request(&mut stream).await;
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-encoding: {encoding}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            );
            let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
        }
    })
    .await
}

#[tokio::test]
async fn an_encoded_answer_is_decoded_and_searched_for_secrets() {
    let text = "token s3cr3t/+token, ".repeat(2000);
    let mut deflate = ZlibEncoder::new(Vec::new(), Compression::default());
    deflate.write_all(text.as_bytes()).unwrap();
    let deflate = deflate.finish().unwrap();
    let twice = [gzip(&text[..text.len() / 2]), gzip(&text[text.len() / 2..])].concat();
    for (encoding, status, body) in [
        ("gzip", 200, gzip(&text)),
        ("X-GZIP", 200, twice),
        ("gzip", 500, gzip(&text)),
        ("deflate", 200, deflate),
    ] {
        let server = encoded(encoding, status, body).await;
        for (policy, wanted) in [
            (policy(&[&server]), text.replace("s3cr3t/+token", "***REDACTED***")),
            (without_secrets(&[&server]), text.clone()),
        ] {
            let response = egress().send(&policy, get(server.url("/"))).await.unwrap();
            assert!(!response.headers.contains_key("content-encoding"), "{encoding}");
            assert_eq!(response.collect().await.unwrap(), wanted, "{encoding} {status}");
        }
    }
}

#[tokio::test]
async fn what_a_few_bytes_stand_for_has_the_bound_of_any_answer() {
    let server = encoded("gzip", 200, gzip(&"x".repeat(2 << 20))).await;
    let failure = fetch(&egress(), &policy(&[&server]), get(server.url("/"))).await.unwrap_err();
    assert_eq!(failure.kind, Kind::TooLarge);
}

#[tokio::test]
async fn what_is_not_what_it_says_or_cut_off_is_an_error() {
    let whole = gzip("hello, hello");
    for (body, kind) in [
        (b"hello, this is no gzip".to_vec(), Kind::Protocol),
        (whole[..whole.len() - 9].to_vec(), Kind::Closed),
        (whole[..3].to_vec(), Kind::Closed),
    ] {
        let server = encoded("gzip", 200, body).await;
        let failure = fetch(&egress(), &policy(&[&server]), get(server.url("/"))).await.unwrap_err();
        assert_eq!(failure.kind, kind, "{failure}");
    }
    let server = encoded("gzip", 200, Vec::new()).await;
    assert_eq!(fetch(&egress(), &policy(&[&server]), get(server.url("/"))).await.unwrap(), "");
}

#[tokio::test]
async fn each_piece_is_decoded_when_it_comes() {
    let (sender, pieces) = mpsc::channel::<Vec<u8>>(1);
    let pieces = Arc::new(tokio::sync::Mutex::new(pieces));
    let server = Server::raw(move |mut stream| {
        let pieces = pieces.clone();
        async move {
            read_request(&mut stream).await;
            let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n";
            stream.write_all(head.as_bytes()).await.unwrap();
            while let Some(piece) = pieces.lock().await.recv().await {
                stream.write_all(&piece).await.unwrap();
            }
        }
    })
    .await;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let mut response = egress().send(&without_secrets(&[&server]), get(server.url("/"))).await.unwrap();
    for text in ["one", "two"] {
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.flush().unwrap();
        sender.send(std::mem::take(encoder.get_mut())).await.unwrap();
        let piece = response.body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(piece, text);
    }
    sender.send(encoder.finish().unwrap()).await.unwrap();
    drop(sender);
    assert!(response.body.frame().await.is_none());
}
