use crate::state::State;

/// A state with something in every field, as version 0.1.0 writes it.
const STORED: &str = concat!(
    r#"{"tokens":12,"poll":{"stage":"look","token":8,"waiting":true,"since":1700000000000,"failures":2},"#,
    r#""bot":{"id":99,"username":"PrxBot"},"offset":502,"ops":["#,
    r#"{"id":"out_1","token":11,"attempt":1,"chat":{"id":7,"thread":4},"work":{"say":{"edit":null,"part":"see","#,
    r#""rest":"more","files":[{"blob":"blob_1","name":"a.png","mime":"image/png","size":9,"photo":true}],"#,
    r#""buttons":[["yes","Yes"]],"reply_to":10,"first":31}},"plain":true},"#,
    r#"{"id":"out_2","token":0,"attempt":2,"chat":{"id":7,"thread":null},"#,
    r#""work":{"draft":{"number":5,"text":"so far"}},"plain":false},"#,
    r#"{"id":"out_3","token":5,"attempt":1,"chat":{"id":7,"thread":null},"work":{"delete":{"message":30}},"plain":false},"#,
    r#"{"id":"out_4","token":6,"attempt":1,"chat":{"id":7,"thread":null},"#,
    r#""work":{"react":{"message":30,"emoji":"x"}},"plain":false},"#,
    r#"{"id":"out_5","token":7,"attempt":1,"chat":{"id":7,"thread":null},"work":"typing","plain":false}],"#,
    r#""parcels":[{"letter":{"dedupe":"99:501","place":{"conversation":-5,"thread":3},"reply_to":10,"#,
    r#""sender":[7,"Ann"],"text":"look","sent_at":1700000000000,"addressed":true,"choice":"yes","album":"g"},"#,
    r#""wanted":[{"id":"large","kind":"image","name":null,"mime":"image/jpeg","size":5000,"path":"photos/1.jpg"}],"#,
    r#""fetched":[[{"id":"one","kind":"audio","name":"a.ogg","mime":null,"size":4321,"path":null},"blob_1"]],"#,
    r#""token":9,"waiting":false,"failures":1}],"moved":[[-5,-1005]]}"#,
);

#[test]
fn state_is_stored_in_the_form_that_it_was_stored_in_before() {
    let state: State = serde_json::from_str(STORED).expect("state that can be read");
    assert_eq!(serde_json::to_string(&state).expect("state that serializes"), STORED);
}

#[test]
fn every_stage_keeps_its_stored_name() {
    for stage in ["off", "unhook", "identify", "probe", "listen", "hook", "look"] {
        let stored = STORED.replace(r#""stage":"look""#, &format!(r#""stage":"{stage}""#));
        let state: State = serde_json::from_str(&stored).expect("state that can be read");
        assert_eq!(serde_json::to_string(&state).expect("state that serializes"), stored);
    }
}
