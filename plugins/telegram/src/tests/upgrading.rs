use prx_sdk::connector::Connector;

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
