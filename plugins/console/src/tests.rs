use std::collections::BTreeSet;
use std::io::Read;

use flate2::read::GzDecoder;
use prx_sdk::testing::{RouteAnswer, route};

use super::*;

fn ask(method: &str, path: &str) -> RouteAnswer {
    route::<Console>(Request::new(method, path))
}

fn get(path: &str) -> RouteAnswer {
    ask("GET", path)
}

/// The files that a file names, as paths from the first page.
fn named(path: &str, text: &str) -> Vec<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let page =
        text.split(files::RELEASE).skip(1).filter_map(|rest| rest.strip_prefix('/')?.split('"').next());
    let modules = text.split("from \"").skip(1).filter_map(|rest| rest.split('"').next());
    let modules = modules.map(|module| match module.strip_prefix("../") {
        Some(above) => above.to_owned(),
        None => format!("{folder}/{}", module.trim_start_matches("./")).trim_start_matches('/').to_owned(),
    });
    page.map(str::to_owned).chain(modules).collect()
}

#[test]
fn every_file_is_there_and_leads_to_the_others() {
    let (mut seen, mut left) = (BTreeSet::new(), vec!["index.html".to_owned()]);
    // The pages, which the shell names.
    left.extend(files::names().filter(|name| name.starts_with("pages/")).map(str::to_owned));
    while let Some(path) = left.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let address = match path.as_str() {
            "index.html" => HOME.to_owned(),
            _ => format!("{HOME}{}/{path}", files::RELEASE),
        };
        let answer = get(&address);
        assert_eq!(answer.status, 200, "{address}");
        let text = answer.text();
        assert!(text.lines().count() <= 500, "{path} has more than 500 lines");
        for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=\""] {
            assert!(!text.contains(word), "{path} has {word}, which makes text into more than text");
        }
        left.extend(named(&path, &text));
    }
    let all: BTreeSet<String> = files::names().map(str::to_owned).collect();
    assert_eq!(seen, all, "nothing is served that nothing leads to");
    let shell = get(&format!("{HOME}{}/ui/shell.js", files::RELEASE)).text();
    for page in all.iter().filter_map(|name| name.strip_prefix("pages/")?.strip_suffix(".js")) {
        assert!(shell.contains(&format!("file: \"{page}\"")), "{page} has no address");
    }
}

#[test]
fn the_page_is_asked_for_each_time_and_its_files_once() {
    let page = get(HOME);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    assert!(!page.text().contains("{{"), "the release is filled in");
    let tag = page.header("etag").expect("a tag").to_owned();
    for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
        let same = route::<Console>(Request::new("GET", HOME).with("if-none-match", &known));
        assert_eq!(
            (same.status, same.body.len(), same.header("etag")),
            (304, 0, Some(tag.as_str())),
            "{known}"
        );
        assert!(same.header("content-security-policy").is_some());
    }
    let other = route::<Console>(Request::new("GET", HOME).with("if-none-match", "\"0\""));
    assert_eq!(other.status, 200);

    let path = format!("{HOME}{}/app.js", files::RELEASE);
    let file = get(&path);
    assert_eq!(file.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert!(file.header("cache-control").is_some_and(|kept| kept.contains("immutable")));
    assert_eq!(get(&format!("{HOME}{:016x}/app.js", 0)).status, 404, "files of another release");
}

#[test]
fn files_are_packed_for_whoever_takes_that() {
    let path = format!("{HOME}{}/style.css", files::RELEASE);
    let plain = get(&path);
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), (None, Some("accept-encoding")));
    for (accepted, packed) in [
        ("gzip, deflate, br", true),
        ("GZIP;q=0.5", true),
        ("br, gzip;q=0", false),
        ("deflate", false),
        ("gzipped", false),
    ] {
        let answer = route::<Console>(Request::new("GET", &path).with("accept-encoding", accepted));
        assert_eq!(answer.header("content-encoding").is_some(), packed, "{accepted}");
        if packed {
            let mut bytes = Vec::new();
            GzDecoder::new(&answer.body[..]).read_to_end(&mut bytes).expect("whole");
            assert!(bytes == plain.body && answer.body.len() < bytes.len());
        }
    }
    let (packed, plain) = (Request::new("GET", HOME).with("accept-encoding", "gzip"), get(HOME));
    assert_ne!(route::<Console>(packed).header("etag"), plain.header("etag"), "they are other bytes");
}

#[test]
fn the_page_is_in_one_place_and_the_others_lead_there() {
    for (path, prefix) in [("/", ""), ("/console", ""), ("/", "/ext/console"), (HOME, "/ext/console")] {
        let request = Request::new("GET", path);
        let request = if prefix.is_empty() { request } else { request.with("x-forwarded-prefix", prefix) };
        let answer = route::<Console>(request);
        assert_eq!((answer.status, answer.header("location")), (303, Some(HOME)), "{prefix}{path}");
    }
    for path in ["/consol", "/console/x", "/console/app.js", "/console/../app.js", "/console//", "/x"] {
        let answer = get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.text().contains("/console/") && answer.header("content-security-policy").is_some());
    }
    assert_eq!(ask("HEAD", HOME).status, 200);
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = ask(method, HOME);
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
}

#[test]
fn nothing_but_its_own_files_is_loaded() {
    let page = get(HOME);
    let policy = page.header("content-security-policy").expect("a policy");
    for rule in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(rule), "{rule}: {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        assert_eq!(page.header(name), Some(value));
    }
    let text = page.text();
    assert!(!text.contains("://") && !text.contains("<style"), "{text}");
    assert!(
        text.split("<script").skip(1).all(|script| script.contains("src=") && script.contains("></script>"))
    );
}
