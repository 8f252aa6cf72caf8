//! Replies that grow before the reader's eyes, beyond what one message holds.

use prx_tests::discord::FakeDiscord;
use prx_tests::gateway::Gateway;
use prx_tests::scripted;
use serde_json::json;

use super::no_rule_broken;

const PIECE: &str = " and on and on and on and on and on and on and on and on";

#[tokio::test]
async fn a_reply_that_outgrows_its_message_goes_on_below_it() {
    let times = 60;
    let discord = FakeDiscord::start().await;
    let script = json!([{"answers": [[
        {"text": "I count:"}, {"repeat": {"text": PIECE, "times": times, "every_ms": 100}}, {"text": ". Done."}
    ]]}]);
    let whole = format!("I count:{}. Done.", PIECE.repeat(times));
    assert!((2_500..4_000).contains(&whole.len()), "it is two messages");
    let config = format!("{}stream_mode = \"edit\"\n", discord.config(&["*"]));
    let gateway = Gateway::start_in(scripted::home(&script, &config)).await;
    discord.listening(0).await;
    discord.write(1, "count");
    let first = discord.until("the first piece", |d| d.sent().first().cloned()).await;
    assert!(first.text.starts_with("I count:") && first.text.len() < 2_000, "{first:?}");
    discord.until("the last word", |d| d.sent().last()?.text.ends_with("Done.").then_some(())).await;
    gateway.stop().await;
    assert_eq!(discord.sent_to(1).join(" "), whole);
    let sent = discord.sent();
    assert_eq!((sent.len(), sent[0].id), (2, first.id), "what was shown is still there");
    assert_eq!(discord.calls("delete").len(), 0);
    let edits = discord.calls("edit");
    assert!(edits.len() >= 3, "it was seen growing: {edits:?}");
    let second = format!("/{}", sent[1].id);
    assert!(edits.iter().any(|call| call.path.ends_with(&second)), "in the second message too: {edits:?}");
    no_rule_broken(&discord);
}
