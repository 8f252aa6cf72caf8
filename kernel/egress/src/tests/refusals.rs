use super::*;

#[tokio::test]
async fn an_origin_that_is_not_granted_is_denied_without_a_connection() {
    let server = Server::http(|_| ok("hello")).await;
    let other = Server::http(|_| ok("hello")).await;
    let failure = refusal(&policy(&[&other]), get(server.url("/private/path?q=1"))).await;
    assert_eq!((failure.kind, failure.sent), (Kind::Denied, false));
    assert!(failure.reason.starts_with(&server.url("")) && !failure.reason.contains("path"), "{failure}");
    assert_eq!(refusal(&Policy::default(), get(server.url("/"))).await.kind, Kind::Denied);
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn what_lies_inside_is_reached_only_when_the_operator_named_it() {
    let server = Server::http(|_| ok("hello")).await;
    let granted = |private| {
        let name = format!("http://inside.test:{}", server.address.port());
        let urls = [server.url(""), name];
        let origins = urls.each_ref().map(|url| Allowed { origin: Pattern::parse(url).unwrap(), private });
        (Policy::new(origins.to_vec(), Secrets::default()), urls)
    };
    let egress = Egress::with_roots(Clock::system(), inside(), RootCertStore::empty());
    let (private, urls) = granted(true);
    let (public, _) = granted(false);
    for url in urls {
        assert_eq!(fetch(&egress, &private, get(&url)).await.unwrap(), "hello");
        // An idle connection from before must not help a unnamed host in.
        let failure = egress.send(&public, get(&url)).await.unwrap_err();
        assert_eq!((failure.kind, failure.sent), (Kind::Denied, false), "{failure}");
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn what_belongs_to_the_connection_is_not_the_callers_to_set() {
    let server = Server::http(|_| ok("hello")).await;
    let policy = policy(&[&server]);
    for name in ["Host", "content-length", "Transfer-Encoding", "connection", "upgrade", "te", "expect"] {
        let headers = vec![(name.to_owned(), vec![text("x")])];
        let failure = refusal(&policy, Request { headers, ..get(server.url("/")) }).await;
        assert_eq!((failure.kind, failure.sent), (Kind::Denied, false), "{name}");
    }
    for method in [Method::CONNECT, Method::TRACE] {
        assert_eq!(refusal(&policy, Request { method, ..get(server.url("/")) }).await.kind, Kind::Denied);
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn headers_can_not_smuggle_lines() {
    let server = Server::http(|_| ok("hello")).await;
    let secrets = [("broken".to_owned(), Secret::new("a\r\nhost: b"))].into_iter().collect();
    let policy = Policy::new(named(&[&server]), secrets);
    let broken = [
        ("x-a", vec![text("a\r\nhost: b")]),
        ("x-a", vec![text("a\n b")]),
        ("x-a", vec![text("a\0b")]),
        ("x-a", vec![Segment::Bytes(b"a\rb".to_vec())]),
        ("x-a", vec![Segment::Secret("broken".to_owned())]),
        ("x a", vec![text("a")]),
        ("x-a: b\r\nx-c", vec![text("a")]),
        ("", vec![text("a")]),
    ];
    for (name, value) in broken {
        let request = Request { headers: vec![(name.to_owned(), value)], ..get(server.url("/")) };
        let failure = refusal(&policy, request).await;
        assert_eq!((failure.kind, failure.sent), (Kind::Denied, false));
        assert!(!failure.reason.contains("host: b"), "{failure}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_url_names_no_user_and_breaks_no_line() {
    let server = Server::http(|_| ok("hello")).await;
    let policy = policy(&[&server]);
    let address = server.address;
    for url in [
        format!("http://user:password@{address}/"),
        format!("http://{address}@evil.test/"),
        format!("http://{address}\\@evil.test/"),
        format!("http://{address}/ HTTP/1.1\r\nx: y"),
        format!("ftp://{address}/"),
        format!("//{address}/"),
        "/".to_owned(),
    ] {
        let failure = refusal(&policy, get(&url)).await;
        assert_eq!((failure.kind, failure.sent), (Kind::Denied, false), "{url}");
        assert!(!failure.reason.contains("password"), "{failure}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn floods_of_headers_do_not_leave() {
    let server = Server::http(|_| ok("hello")).await;
    let policy = policy(&[&server]);
    let many = (0..10_000).map(|i| (format!("x-{i}"), vec![text("a")])).collect();
    let big = vec![("x-big".to_owned(), vec![text("a".repeat(1 << 20))])];
    for headers in [many, big] {
        assert_eq!(refusal(&policy, Request { headers, ..get(server.url("/")) }).await.kind, Kind::Denied);
    }
    let long = get(server.url(&format!("/{}", "a".repeat(1 << 20))));
    assert_eq!(refusal(&policy, long).await.kind, Kind::Denied);
}

#[tokio::test]
async fn a_name_without_an_address_and_a_port_without_a_server_are_told_apart() {
    let nowhere = Resolver::Fixed(Arc::new(|_| Vec::new()));
    let egress = Egress::with_roots(Clock::system(), nowhere, RootCertStore::empty());
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    for (url, kind) in [(format!("http://{closed}"), Kind::Connect), ("http://no.test".to_owned(), Kind::Dns)]
    {
        let allowed = Allowed { origin: Pattern::parse(&url).unwrap(), private: true };
        let policy = Policy::new(vec![allowed], Secrets::default());
        let failure = egress.send(&policy, get(&url)).await.unwrap_err();
        assert_eq!((failure.kind, failure.sent), (kind, false), "{failure}");
    }
}
