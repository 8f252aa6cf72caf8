//! Tokens, plugins, key-value data.

use std::time::Duration;

use super::*;

fn token(id: &str, now: Timestamp) -> TokenRecord {
    TokenRecord {
        id: id.into(),
        name: "laptop".into(),
        sha256: [7; 32],
        scopes: vec!["admin".into()],
        created_at: now,
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
        maker: None,
    }
}

#[tokio::test]
async fn tokens_are_added_used_and_revoked() {
    let home = Home::new();
    let store = home.open();
    let now = home.clock.now();
    store.add_token(token("a", now)).await.unwrap();
    assert_eq!(store.add_token(token("a", now)).await.unwrap_err().code(), Code::Conflict);
    let later = now + Duration::from_secs(5);
    let used = vec![("a".into(), later), ("a".into(), now), ("gone".into(), now)];
    store.touch_tokens(used).await.unwrap();
    home.clock.advance(Duration::from_secs(9));
    store.revoke_token("a").await.unwrap();
    home.clock.advance(Duration::from_secs(9));
    store.revoke_token("a").await.unwrap();
    assert_eq!(store.revoke_token("b").await.unwrap_err().code(), Code::NotFound);
    let store = home.reopen(store).await;
    let kept = store.token("a").unwrap().unwrap();
    assert_eq!(kept.last_used_at, Some(later));
    assert_eq!(kept.revoked_at, Some(now + Duration::from_secs(9)));
    assert_eq!(store.tokens(10, 0).unwrap().items, [kept]);
    let expired = TokenRecord { expires_at: Some(later), ..token("c", now) };
    store.add_token(expired).await.unwrap();
    store.add_token(token("d", now)).await.unwrap();
    assert_eq!(store.sweep_tokens(Duration::from_secs(13)).await.unwrap(), 1, "the one that expired");
    home.clock.advance(Duration::from_secs(9));
    assert_eq!(store.sweep_tokens(Duration::from_secs(13)).await.unwrap(), 1, "the one that was revoked");
    assert_eq!(store.tokens(10, 0).unwrap().items, [token("d", now)], "what is good is kept");
    assert_eq!(store.token("b").unwrap(), None);
    store.close().await;
}

#[tokio::test]
async fn plugins_and_artifacts_are_kept() {
    let home = Home::new();
    let store = home.open();
    let record = PluginRecord { name: "weather".into(), disabled: true, ..PluginRecord::default() };
    store.put_plugin(record.clone()).await.unwrap();
    store.put_artifact("key", [9; 32]).await.unwrap();
    let store = home.reopen(store).await;
    assert_eq!(store.plugin("weather").unwrap(), Some(record.clone()));
    assert_eq!(store.plugin("other").unwrap(), None);
    assert_eq!(store.plugins().unwrap(), [record]);
    assert_eq!(store.artifact("key").unwrap(), Some([9; 32]));
    assert_eq!(store.artifact("other").unwrap(), None);
    store.close().await;
}

#[tokio::test]
async fn a_plugin_keeps_to_its_quota_and_to_its_own_keys() {
    let home = Home::new();
    let store = home.open();
    let set = |plugin: &'static str, key: &'static str, len: usize| {
        let store = store.clone();
        async move { store.kv_set(plugin, key, vec![1; len], 100).await.unwrap() }
    };
    assert_eq!(set("a", "key", 97).await, Ok(()));
    assert_eq!(set("a", "key", 97).await, Ok(()));
    assert_eq!(set("a", "b", 0).await, Err(QuotaExceeded::Total { wanted: 101, quota: 100 }));
    assert_eq!(store.kv_get("a", "b").unwrap(), None);
    assert_eq!(set("b", "key", 10).await, Ok(()));
    assert_eq!(store.kv_get("a", "key").unwrap().unwrap().len(), 97);
    assert!(store.kv_delete("a", "key").await.unwrap());
    assert!(!store.kv_delete("a", "key").await.unwrap());
    assert_eq!(set("a", "other", 95).await, Ok(()));
    assert_eq!(store.kv_get("b", "key").unwrap().unwrap().len(), 10);
    let long = store.kv_set("a", &"k".repeat(513), Vec::new(), 10_000).await.unwrap();
    assert_eq!(long, Err(QuotaExceeded::Key { found: 513 }));
    store.close().await;
}

#[tokio::test]
async fn keys_are_listed_by_prefix_in_byte_order() {
    let home = Home::new();
    let store = home.open();
    for (plugin, key) in [("a", "x/2"), ("a", "x/1"), ("a", "x/é"), ("a", "w"), ("a", "y"), ("b", "x/0")] {
        store.kv_set(plugin, key, vec![0], 1000).await.unwrap().unwrap();
    }
    let keys = |prefix, after, limit| store.kv_keys("a", prefix, after, limit).unwrap();
    assert_eq!(keys("x/", None, 10), ["x/1", "x/2", "x/é"]);
    assert_eq!(keys("x/", Some("x/1"), 1), ["x/2"]);
    assert_eq!(keys("x/", Some("a"), 1), ["x/1"]);
    assert_eq!(keys("", None, 10), ["w", "x/1", "x/2", "x/é", "y"]);
    assert!(keys("x/", Some("x/é"), 10).is_empty());
    assert!(keys("z", None, 10).is_empty());
    store.close().await;
}
