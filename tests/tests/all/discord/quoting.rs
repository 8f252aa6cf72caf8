//! What a message answers, what it passes on, and what was said before it reach the model.
use prx_tests::discord::{BOT, FakeDiscord};
use prx_tests::gateway::{Gateway, Home};
use prx_tests::models::{Dialect, FakeModel};
use serde_json::{Value, json};

use super::no_rule_broken;

#[tokio::test]
async fn the_model_is_told_who_speaks_what_was_said_before_and_what_is_answered() {
    let (discord, model) = (FakeDiscord::start().await, FakeModel::start(Dialect::OPENAI).await);
    let config = model.config(&(discord.config(&["*"]) + "hear_groups = true\n"));
    let gateway = Gateway::start_in(Home::new(&config)).await;
    discord.listening(0).await;
    let in_server = |more: Value| {
        let mut fields = json!({"guild_id": "60", "channel_type": 0});
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fields
    };
    let mention = json!([{"id": BOT, "username": "prx"}]);
    discord.write_with(1, "I am vegetarian", in_server(json!({})));
    let to_bot = format!("<@{BOT}> what can I cook?");
    let channel = FakeDiscord::channel_of(1).to_string();
    let there = in_server(json!({"channel_id": channel, "mentions": mention}));
    discord.write_with(2, &to_bot, there);
    let first = model.until_told(1).await;
    let said = "[said here before, not to you]\n> user1: I am vegetarian\n\nuser2: what can I cook?";
    assert!(first.contains(said), "{first}");

    let author = json!({"id": "3", "username": "carl"});
    let file = discord.file("cat.png", "image/png");
    let answered = json!({"id": "9", "author": author, "content": "Look at her.", "attachments": [file]});
    discord.write_with(5, "is she well?", json!({"type": 19, "referenced_message": answered}));
    let second = model.until_told(2).await;
    let said = "[in reply to a message from carl, with cat.png]\n> Look at her.\n\nis she well?";
    assert!(second.contains(said) && second.contains("image/png"), "{second}");

    let passed_on = json!([{"message": {"content": "We owe you 3000 euros.", "attachments": []}}]);
    discord.write_with(5, "", json!({"message_snapshots": passed_on}));
    discord.write(5, "is that so?");
    let third = model.until_told(3).await;
    let said = "[forwarded, not the sender's own words]\n> We owe you 3000 euros.\n\nis that so?";
    assert!(third.contains(said), "{third}");
    discord.until("all answers", |discord| (discord.sent().len() >= 3).then_some(())).await;
    assert_eq!(model.broken_rules(), Vec::<String>::new());
    gateway.stop().await;
    no_rule_broken(&discord);
}
