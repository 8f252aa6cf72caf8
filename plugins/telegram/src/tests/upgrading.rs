use prx_sdk::connector::Connector;
use prx_sdk::operations::Resumable;

use super::*;

const FIRST: &str = r#"{"tokens":9,"poll":{"stage":"listen","token":8,"waiting":false,"since":1700000000000,"failures":0},
    "bot":{"id":99,"username":"PrxBot"},"offset":502,"moved":[[-5,-1005]],"ops":[
    {"id":"out_1","token":0,"attempt":2,"chat":{"id":7,"thread":null},"plain":true,
     "work":{"send":{"part":"second part","rest":"third part","reply_to":10,"last":31}}},
    {"id":"out_2","token":9,"attempt":1,"chat":{"id":7,"thread":null},"plain":false,
     "work":{"edit":{"message":30,"text":"changed"}}},
    {"id":"out_3","token":7,"attempt":1,"chat":{"id":7,"thread":4},"plain":false,
     "work":{"delete":{"message":30}}}]}"#;

#[test]
fn the_state_of_the_first_version_is_taken_over_with_what_was_on_its_way() {
    let state = Telegram::migrate(1, FIRST.as_bytes()).expect("state that can be read");
    assert_eq!((state.offset, state.bot.id, state.chat_of(-5)), (502, 99, -1005));
    let said = |index: usize| serde_json::to_value(&state.ops[index].work).expect("work")["say"].clone();
    let send = said(0);
    assert_eq!(
        (&send["part"], &send["rest"], &send["reply_to"], &send["first"]),
        (&json!("second part"), &json!("third part"), &json!(10), &json!(31))
    );
    assert_eq!((&said(1)["edit"], &said(1)["part"]), (&json!(30), &json!("changed")));
    assert_eq!(state.ops[2].method(), "deleteMessage");
    assert!(state.ops[0].has_progress());
}

#[test]
fn what_is_no_state_of_an_earlier_version_is_refused() {
    assert!(Telegram::migrate(1, b"{\"ops\": 5").is_err());
    assert!(Telegram::migrate(1, b"{\"offset\": \"x\"}").is_err());
    assert!(Telegram::migrate(1, b"{\"ops\": [5]}").is_err());
    assert!(Telegram::migrate(7, b"{}").is_ok(), "one can go back to this version");
    assert!(Telegram::migrate(7, b"x").is_err_and(|fault| fault.message.contains('7')));
    assert!(Telegram::migrate(1, b"{}").is_ok());
}

#[test]
fn a_message_that_waited_for_its_files_before_they_were_kept_as_now_is_taken_up() {
    let before = r#"{"tokens":9,"poll":{"stage":"listen","token":8,"waiting":false,"since":1700000000000,"failures":0},
        "bot":{"id":99,"username":"PrxBot"},"offset":502,"ops":[
        {"id":"out_1","token":0,"attempt":2,"chat":{"id":7,"thread":null},"plain":true,"work":{"say":{"part":"see",
         "files":[{"blob":"blob_1","photo":true,"name":"a.png","mime":"image/png"}]}}}],
        "parcels":[{"letter":{"dedupe":"99:5","place":{"conversation":7,"thread":null},"reply_to":null,
         "sender":[7,"Ann"],"text":"look","sent_at":1,"addressed":true,"choice":null},"album":"g",
         "wanted":[{"id":"large","kind":"image","name":null,"mime":"image/jpeg","size":5000}],
         "fetched":[[{"id":"one","kind":"image","name":null,"mime":"image/jpeg","size":4321},"blob_1"]],
         "step":{"token":9,"waiting":false,"path":"photos/1.jpg","failures":1}}]}"#;
    let mut state: crate::state::State = serde_json::from_str(before).expect("state that can be read");
    assert_eq!(state.ops[0].method(), "sendPhoto");
    let cx =
        prx_sdk::connector::Context::new("telegram", 0, 1, serde_json::from_value(config()).expect("config"));
    let mut out = prx_sdk::connector::Commands::default();
    state.pending_queue(&cx, &mut out).resume(&[9], &[]);
    let commands = Vec::from(out);
    let [Command::Http(request)] = &commands[..] else { panic!("{commands:?}") };
    assert!(request.url_text().ends_with("/getFile") && request.token == 10, "{request:?}");
}
