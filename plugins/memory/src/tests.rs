use super::*;
use prx_sdk::tool::{self, FaultCode};

fn call<T: TypedTool>(arguments: Value) -> Result<ToolOutput, Fault> {
    tool::call::<T>(&arguments.to_string(), &CallContext::default())
}

#[test]
fn what_is_remembered_is_recalled_until_it_is_forgotten() {
    let kept = call::<Remember>(json!({"text": "The dog is called Rex.", "tags": ["pets"]})).unwrap();
    let kept: Value = serde_json::from_str(&kept.structured.unwrap()).unwrap();
    let id = kept["id"].as_str().unwrap();
    assert_eq!(
        call::<Recall>(json!({"query": "dog"})).unwrap().text,
        format!("{id}: The dog is called Rex.")
    );
    assert_eq!(call::<Forget>(json!({"id": id})).unwrap().text, "Forgotten.");
    assert_eq!(call::<Recall>(json!({"query": "dog"})).unwrap().text, "Nothing is remembered about that.");
    let gone = call::<Forget>(json!({"id": id})).unwrap_err();
    assert_eq!(gone.code, FaultCode::BadInput);
}
