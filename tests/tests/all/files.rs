//! The private directory of a plugin: what it keeps, how much, and that nothing else can be reached from it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use serde_json::{Value, json};

const GRANT: &str = "[grants.filing]\nfiles = \"64KiB\"\n[tools.policy]\n\"*\" = \"allow\"\n";
const KIB: usize = 1024;

async fn start(config: &str) -> Gateway {
    let home = Home::new(config);
    home.place_plugin("filing", &Component::of("filing").bytes());
    Gateway::start_in(home).await
}

/// What became of each step of one call.
async fn each(gateway: &Gateway, steps: Value) -> Vec<String> {
    let answer = gateway.call_tool("file", json!({"steps": steps})).await.expect(200);
    answer["content"].as_str().expect("a text").lines().map(str::to_owned).collect()
}

async fn one(gateway: &Gateway, step: Value) -> String {
    each(gateway, json!([step])).await.join("\n")
}

/// What a stream says of its end, wasi-libc makes an input/output error of.
fn is_full(line: &str) -> bool {
    matches!(line, "QuotaExceeded" | "Uncategorized")
}

#[tokio::test]
async fn files_are_asked_for_granted_and_outlive_the_code_and_the_gateway() {
    let gateway = start("[tools.policy]\n\"*\" = \"allow\"\n").await;
    let grants = gateway.client().get("/plugins/filing/grants").await.expect(200);
    assert_eq!(grants["missing"], json!({"files": "64KiB"}), "{grants}");
    assert_eq!(gateway.plugin("filing").await.unwrap()["status"], "failed");
    let granted = gateway.home().run(&["plugin", "grant", "filing", "--files", "64KiB"]).await;
    assert_eq!(granted.code, Some(0), "{granted:?}");

    let steps = json!([
        {"do": "mkdir", "path": "notes"},
        {"do": "write", "path": "/notes/one", "size": 5},
        {"do": "append", "path": "notes/one", "size": 2},
        {"do": "overwrite", "path": "notes/one", "at": 1, "size": 1},
        {"do": "rename", "path": "notes/one", "to": "notes/two"},
        {"do": "list", "path": "/"},
    ]);
    assert_eq!(each(&gateway, steps).await, ["ok", "ok", "ok", "ok", "ok", "notes"]);
    let folder = gateway.home().data().join("files/filing");
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);

    let path = "/plugins/filing/reload";
    gateway.client().post(path, json!({})).await.expect(200);
    assert_eq!(one(&gateway, json!({"do": "read", "path": "notes/two"})).await, "xyxxxzz");
    let gateway = Gateway::start_in(gateway.kill()).await;
    assert_eq!(one(&gateway, json!({"do": "read", "path": "notes/two"})).await, "xyxxxzz");
}

#[tokio::test]
async fn the_quota_holds_and_what_is_removed_makes_room() {
    let gateway = start(GRANT).await;
    let write = |path: &str, size: usize| json!({"do": "write", "path": path, "size": size});
    assert_eq!(one(&gateway, write("a", 60 * KIB)).await, "ok");
    // What is longer already is not made longer by what takes its place.
    let steps = json!([
        {"do": "overwrite", "path": "a", "at": 0, "size": 60 * KIB},
        {"do": "overwrite", "path": "a", "at": 59 * KIB, "size": 6 * KIB},
        {"do": "overwrite", "path": "a", "at": 1_u64 << 40, "size": 1},
        {"do": "append", "path": "a", "size": 5 * KIB},
        {"do": "set_len", "path": "a", "size": 65 * KIB},
        {"do": "set_len", "path": "a", "size": u64::MAX >> 1},
    ]);
    let said = each(&gateway, steps).await;
    assert!(said[0] == "ok" && said[1..].iter().all(|line| is_full(line)), "{said:?}");
    let line = ["its private directory is full: grants.filing.files allows 64KiB"];
    assert!(gateway.output().says_soon(&line).await);
    let held = fs::metadata(gateway.home().data().join("files/filing/a")).unwrap().len();
    assert!(held <= 64 * KIB as u64, "{held}");

    // A removed file takes its room as long as it is open: here until the call is over.
    let steps = json!([
        {"do": "set_len", "path": "a", "size": 50 * KIB},
        {"do": "hold", "path": "a"},
        {"do": "remove", "path": "a"},
        write("b", 40 * KIB),
    ]);
    let said = each(&gateway, steps).await;
    assert!(said[..3].iter().all(|line| line == "ok") && is_full(&said[3]), "{said:?}");
    assert_eq!(each(&gateway, json!([write("b", 64 * KIB), write("b", 64 * KIB)])).await, ["ok", "ok"]);
    let gateway = Gateway::start_in(gateway.kill()).await;
    let said = one(&gateway, json!({"do": "append", "path": "b", "size": 1})).await;
    assert!(is_full(&said), "after a restart: {said}");
    assert_eq!(
        each(&gateway, json!([{"do": "remove", "path": "b"}, write("c", 64 * KIB)])).await,
        ["ok", "ok"]
    );
}

#[tokio::test]
async fn no_way_leads_out_of_it() {
    let home = Home::new(GRANT);
    let folder = home.data().join("files/filing");
    fs::create_dir_all(&folder).unwrap();
    fs::write(home.path().join("canary"), "a secret of the operator's").unwrap();
    symlink(home.path(), folder.join("up")).unwrap();
    symlink(home.path().join("canary"), folder.join("link")).unwrap();
    symlink("../../../canary", folder.join("relative")).unwrap();
    home.place_plugin("filing", &Component::of("filing").bytes());
    let gateway = Gateway::start_in(home).await;
    let absolute = gateway.home().path().join("canary");
    let ways = [
        "../../canary",
        "../../../canary",
        "..",
        "../",
        "/..",
        "/../../../canary",
        "a/../../../../canary",
        "up/canary",
        "up/",
        "up",
        "link",
        "link/",
        "relative",
        "./../../../canary",
        "/etc/passwd",
        absolute.to_str().unwrap(),
    ];
    let mut steps: Vec<Value> = vec![json!({"do": "mkdir", "path": "a"})];
    for way in ways {
        steps.push(json!({"do": "raw_open", "path": way}));
        steps.push(json!({"do": "read", "path": way}));
        steps.push(json!({"do": "link", "path": way, "to": "got"}));
        steps.push(json!({"do": "raw_symlink", "path": "made", "to": way}));
    }
    let out = ["../got", "../../got", "/../got", "up/got", "a/../../got"];
    for way in out {
        steps.push(json!({"do": "rename", "path": "a", "to": way}));
        steps.push(json!({"do": "write", "path": way, "size": 1}));
        steps.push(json!({"do": "mkdir", "path": way}));
    }
    steps.push(json!({"do": "list", "path": "/"}));
    let said = each(&gateway, Value::Array(steps)).await;
    assert_eq!(said.len(), 1 + 4 * ways.len() + 3 * out.len() + 1, "{said:?}");
    assert!(!said.iter().any(|line| line.contains("secret") || line.contains("root:")), "{said:?}");
    assert!(said[1..said.len() - 1].iter().all(|line| line != "ok"), "{said:?}");
    assert_eq!(said.last().unwrap(), "a link relative up", "nothing came of it");
    for folder in
        [gateway.home().path().to_owned(), gateway.home().data(), gateway.home().data().join("files")]
    {
        assert!(!folder.join("got").exists(), "{}", folder.display());
    }
}
