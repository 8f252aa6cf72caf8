//! Which version of a plugin is installed, where it came from, and how to go back.

use hyper::Method;
use prx_tests::client::Answer;
use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const WASM: &str = "application/wasm";

/// A tool under the name `dated`, of this version, which answers with this word of 14 letters.
fn dated(version: &str, word: &str) -> Component {
    let manifest = format!("[plugin]\nname = \"dated\"\nversion = {version:?}\n");
    Component::of("prx-test-guests").with_manifest(&manifest).replace("generation-one", word)
}

async fn put(gateway: &Gateway, query: &str, component: &Component) -> Answer {
    gateway.client().upload(Method::PUT, &format!("/plugins/dated{query}"), WASM, component.bytes()).await
}

#[tokio::test]
async fn versions_are_semver_and_go_back_only_where_that_is_said() {
    let gateway = Gateway::start("").await;
    let refused = put(&gateway, "", &dated("banana", "generation-one")).await.error(409, "conflict");
    assert!(
        refused.contains("plugin.version of dated is \"banana\"") && refused.contains("\"1.2.0\""),
        "{refused}"
    );
    assert!(gateway.plugin("dated").await.is_none());

    put(&gateway, "", &dated("1.2.0", "generation-one")).await.expect(201);
    let lower = dated("1.1.0", "generation-low");
    let refused = put(&gateway, "", &lower).await;
    let words = refused.error(409, "conflict");
    assert!(
        words.contains("1.1.0 is lower than 1.2.0") && words.contains("--replace dated --downgrade"),
        "{words}"
    );
    assert_eq!(
        refused.json()["error"]["details"],
        json!({"plugin": "dated", "installed": "1.2.0", "offered": "1.1.0"})
    );
    assert_eq!(gateway.plugin("dated").await.unwrap()["version"], "1.2.0");

    let same = put(&gateway, "", &dated("1.2.0", "generation-two")).await.expect(200);
    assert_eq!(same["note"], "other bytes than before under the same version 1.2.0");
    let again = put(&gateway, "", &dated("1.2.0", "generation-two")).await.expect(200);
    assert!(again.get("note").is_none(), "{again}");
    let file = gateway.home().path().join("lower.wasm");
    std::fs::write(&file, lower.bytes()).unwrap();
    let install = ["plugin", "install", file.to_str().unwrap(), "--replace", "dated"];
    let refused = gateway.home().run(&install).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("1.1.0 is lower than 1.2.0"), "{refused:?}");
    let installed = gateway.home().run(&[&install[..], &["--downgrade"]].concat()).await;
    assert_eq!(installed.code, Some(0), "{installed:?}");
    assert!(
        installed.stderr.contains("version 1.1.0 in the place of 1.2.0, which is higher"),
        "{installed:?}"
    );
    put(&gateway, "", &dated("1.3.0", "generation-top")).await.expect(200);
    gateway.client().post("/plugins/dated/rollback", json!({})).await.expect(200);
    assert_eq!(gateway.plugin("dated").await.unwrap()["version"], "1.1.0", "going back is no downgrade");
}

#[tokio::test]
async fn a_plugin_says_which_gateway_it_requires() {
    let home = Home::new("");
    let requiring = |wanted: &str| {
        let manifest =
            format!("[plugin]\nname = \"new\"\nversion = \"1.0.0\"\n[requires]\nprx = {wanted:?}\n");
        Component::of("prx-test-guests").with_manifest(&manifest).bytes()
    };
    home.place_plugin("new", &requiring(">=99"));
    let file = home.plugin_file("new");
    let checked = home.run(&["plugin", "check", file.to_str().unwrap()]).await;
    let told = "new 1.0.0 requires prx >=99, and this is prx ";
    assert!(checked.code == Some(1) && checked.stderr.contains(told), "{checked:?}");
    let gateway = Gateway::start_in(home).await;
    let plugin = gateway.client().get("/plugins/new").await.expect(200);
    assert_eq!(plugin["status"], "failed");
    assert!(plugin["error"].as_str().unwrap().contains(told), "{plugin}");

    gateway.home().place_plugin("new", &requiring(">=0.1, <2"));
    gateway.client().post("/plugins/new/reload", json!({})).await.expect(200);
    let odd = gateway.client().upload(Method::PUT, "/plugins/new", WASM, requiring("latest")).await;
    let words = odd.error(409, "conflict");
    assert!(words.contains("plugin.toml line 5") && words.contains("write such as"), "{words}");
    assert_eq!(gateway.plugin("new").await.unwrap()["status"], "loaded");
}

#[tokio::test]
async fn a_version_from_before_semver_goes_on_serving() {
    let home = Home::new("");
    let old = dated("banana", "generation-one").bytes();
    home.place_plugin("dated", &old);
    // As a gateway of before has left it: this is what loaded last.
    home.place_plugin("fresh", &Component::hostile("fresh", "").replace("1.0.0", "x.y.z").bytes());
    std::fs::write(home.plugin_file("dated").with_extension("wasm.serving"), &old).unwrap();
    let gateway = Gateway::start_in(home).await;
    let plugin = gateway.plugin("dated").await.unwrap();
    assert_eq!((&plugin["status"], &plugin["version"]), (&json!("loaded"), &json!("banana")));
    assert_eq!(gateway.plugin("fresh").await.unwrap()["status"], "failed", "one that is new is told");
    put(&gateway, "", &dated("0.1.0", "generation-two")).await.expect(200);
    gateway.client().post("/plugins/dated/rollback", json!({})).await.expect(200);
    assert_eq!(gateway.plugin("dated").await.unwrap()["version"], "banana");
}

/// A plugin in detail.
async fn detail(gateway: &Gateway) -> Value {
    gateway.client().get("/plugins/dated").await.expect(200)
}

fn versions(earlier: &Value) -> Vec<&str> {
    earlier.as_array().unwrap().iter().map(|one| one["version"].as_str().unwrap()).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn where_a_plugin_came_from_is_noted_and_each_of_five_is_gone_back_to() {
    let home = Home::new("[plugins]\nkeep_generations = 3\n");
    let placed = dated("1.0.0", "generation-one").bytes();
    home.place_plugin("dated", &placed);
    let gateway = Gateway::start_in(home).await;
    let component = detail(&gateway).await["component"].clone();
    assert_eq!(
        (&component["source"], &component["version"]),
        (&json!("folder"), &json!("1.0.0")),
        "{component}"
    );
    assert_eq!(component["sha256"], sha256(&placed));
    assert_eq!(component["size"], placed.len());
    let bundled = gateway.client().get("/plugins/local").await.expect(200);
    assert_eq!(
        (&bundled["component"]["source"], &bundled["earlier"]),
        (&json!("bundled"), &json!([])),
        "{bundled}"
    );

    let minted = gateway.home().run(&["auth", "token", "--scope", "plugins:write"]).await;
    let token = minted.stdout.trim();
    let installer = gateway.client().with_token(Some(token));
    for version in ["1.1.0", "1.2.0", "1.3.0", "1.4.0"] {
        let bytes = dated(version, "generation-two").bytes();
        installer.upload(Method::PUT, "/plugins/dated", WASM, bytes).await.expect(200);
    }
    let shown = detail(&gateway).await;
    assert_eq!(shown["component"]["source"], "upload");
    assert!(token.contains(shown["component"]["installed_by"].as_str().unwrap()), "{shown}");
    assert!(shown["component"]["installed_at"].as_str().unwrap().ends_with('Z'), "{shown}");
    assert_eq!(versions(&shown["earlier"]), ["1.3.0", "1.2.0", "1.1.0"], "three are kept");

    let gateway = gateway.restart().await;
    assert_eq!(detail(&gateway).await["earlier"], shown["earlier"], "also after a restart");
    let back = gateway.home().run(&["plugin", "rollback", "dated", "3"]).await;
    assert_eq!(back.code, Some(0), "{back:?}");
    let shown = detail(&gateway).await;
    assert_eq!((&shown["version"], &shown["component"]["source"]), (&json!("1.1.0"), &json!("upload")));
    assert_eq!(versions(&shown["earlier"]), ["1.4.0", "1.3.0", "1.2.0"]);
    let far = gateway.home().run(&["plugin", "rollback", "dated", "4"]).await;
    assert!(far.code == Some(1) && far.stderr.contains("there are not 4 earlier components"), "{far:?}");
    let table = gateway.home().run(&["plugin", "show", "dated"]).await.stdout;
    assert!(table.contains("component.sha256") && table.contains("3  1.2.0"), "{table}");

    gateway.client().delete("/plugins/dated").await.expect(204);
    let left = std::fs::read_dir(gateway.home().data().join("plugins")).unwrap().count();
    assert_eq!(left, 0, "nothing of it is left, nor of anything else");
}

#[tokio::test]
async fn what_is_not_as_it_was_installed_is_named() {
    let home = Home::new("");
    home.place_plugin("dated", &dated("1.0.0", "generation-one").bytes());
    let gateway = Gateway::start_in(home).await;
    let verify = async || gateway.home().run(&["plugin", "verify", "dated"]).await;
    put(&gateway, "", &dated("1.1.0", "generation-two")).await.expect(200);
    put(&gateway, "", &dated("1.2.0", "generation-top")).await.expect(200);
    assert_eq!(gateway.home().run(&["plugin", "verify"]).await.code, Some(0), "all that there is");

    let shown = detail(&gateway).await;
    let kept = gateway
        .home()
        .plugin_file("dated")
        .with_extension(format!("wasm.{}", shown["earlier"][0]["sha256"].as_str().unwrap()));
    let other = dated("1.1.0", "generation-xyz").bytes();
    std::fs::write(&kept, &other).unwrap();
    let found = verify().await;
    assert!(found.code == Some(1) && found.stdout.contains(&sha256(&other)), "{found:?}");
    let refused = gateway.client().post("/plugins/dated/rollback", json!({})).await.error(409, "conflict");
    assert!(
        refused.contains(&sha256(&other)) && refused.contains("`prx plugin rollback dated 2`"),
        "{refused}"
    );
    gateway.client().post("/plugins/dated/rollback?n=2", json!({})).await.expect(200);
    assert_eq!(detail(&gateway).await["version"], "1.0.0");

    gateway.home().place_plugin("dated", &other);
    let found = verify().await;
    assert!(found.code == Some(1) && found.stdout.contains("`prx plugin reload dated`"), "{found:?}");
    gateway.client().post("/plugins/dated/reload", json!({})).await.expect(200);
    let shown = detail(&gateway).await;
    assert_eq!(
        (&shown["component"]["source"], &shown["version"]),
        (&json!("folder"), &json!("1.1.0")),
        "{shown}"
    );

    let lock = gateway.home().data().join("plugins/plugins.lock");
    let text = std::fs::read_to_string(&lock).unwrap();
    std::fs::write(&lock, text.replacen("size = ", "size = -", 1)).unwrap();
    let refused = put(&gateway, "", &dated("2.0.0", "generation-one")).await.error(409, "conflict");
    assert!(refused.contains("plugins.lock: line ") && refused.contains("`mv "), "{refused}");
    let gateway = gateway.restart().await;
    assert_eq!(
        gateway.plugin("dated").await.unwrap()["status"],
        "loaded",
        "what lies there serves all the same"
    );
    std::fs::remove_file(&lock).unwrap();
    put(&gateway, "", &dated("2.0.0", "generation-one")).await.expect(200);
    assert_eq!(versions(&detail(&gateway).await["earlier"]), ["1.1.0", "1.0.0", "1.2.0"], "recorded anew");
}
