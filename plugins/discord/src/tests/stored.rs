use crate::state::State;

/// A state with something in every field, as version 0.1.0 writes it.
const STORED: &str = concat!(
    r#"{"tokens":9,"link":{"stage":"introduce","token":1,"overdue":2,"socket":3,"resuming":true,"interval_ms":41250,"#,
    r#""attempts":{"failures":1,"resumes":1,"fruitful":true},"sends":1700000000000},"#,
    r#""session":{"id":"s","url":"wss://resume.example.org","sequence":7},"#,
    r#""starts":{"url":"wss://gateway.example.org","asked_at":1,"remaining":999,"resets_at":2,"last":3,"begun":1},"#,
    r#""me":{"id":"9001","application":"9002"},"ops":["#,
    r#"{"id":"out_1","token":4,"attempt":1,"since":1700000000000,"channel":"50","work":{"send":{"edit":null,"#,
    r#""part":"a","rest":"b","sent":1,"reply_to":"60","first":"70","choices":[["y","Yes"]],"#,
    r#""files":[{"blob":"blob_1","name":"a.png","mime":null,"size":3}],"apart":true}}},"#,
    r#"{"id":"out_2","token":5,"attempt":1,"since":0,"channel":"50","work":{"delete":{"message":"61"}}},"#,
    r#"{"id":"out_3","token":6,"attempt":1,"since":0,"channel":"50","work":{"react":{"message":"61","emoji":"x"}}}],"#,
    r#""pace":{"calls":5,"held_until":6,"buckets":{"send":"b"},"held":{"b:50":7}},"#,
    r#""pending":[{"id":"80","application":"9002","token":"t"}],"oddities":{"a frame that is no text":3},"#,
    r#""parcels":[{"letter":{"id":"90","channel":"50","reply_to":"91","sender":["7","Ann"],"text":"hi","sent_at":1,"#,
    r#""addressed":true},"wanted":[{"url":"https://cdn.example.org/a","name":"a","mime":"image/png","size":1}],"#,
    r#""fetched":[[{"url":"https://cdn.example.org/b","name":"b","mime":null,"size":2},"blob_1"]],"#,
    r#""token":8,"waiting":true,"failures":2}]}"#,
);

#[test]
fn state_is_stored_in_the_form_that_it_was_stored_in_before() {
    let state: State = serde_json::from_str(STORED).expect("state that can be read");
    assert_eq!(serde_json::to_string(&state).expect("state that serializes"), STORED);
}

#[test]
fn every_stage_keeps_its_stored_name() {
    for stage in ["off", "ask", "wait", "connect", "greet", "introduce", "live"] {
        let stored = STORED.replace(r#""stage":"introduce""#, &format!(r#""stage":"{stage}""#));
        let state: State = serde_json::from_str(&stored).expect("state that can be read");
        assert_eq!(serde_json::to_string(&state).expect("state that serializes"), stored);
    }
}
