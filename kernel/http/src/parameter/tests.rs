use super::*;

const LIMIT: Parameter<Number> =
    Parameter::new("limit", Number { min: 1, max: 500, default: 50 }, "most entries to return");
const STATE: Parameter<OneOf<u8>> =
    Parameter::new("state", OneOf { words: &[("on", 1), ("off", 0)], default: 0 }, "only those in it");
const ANSWER: Parameter<Required<Either<bool>>> =
    Parameter::new("answer", Either(&[("yes", true), ("no", false)]), "`yes` or `no`").required();

fn fields(value: Value) -> Fields {
    Fields(value.as_object().expect("an object").clone())
}

fn refusal<T: Debug>(result: Result<T>) -> String {
    result.expect_err("refused").message().to_owned()
}

#[test]
fn what_is_described_is_what_is_read() {
    let schema = json!({"type": "integer", "minimum": 1, "maximum": 500, "default": 50});
    assert_eq!((LIMIT.schema(), LIMIT.is_required()), (schema, false));
    let query = Query::parse(Some("limit=500&state=on")).expect("a sound query");
    assert_eq!((query.get(&LIMIT).unwrap(), query.get(&STATE).unwrap()), (500, 1));
    assert_eq!((query.has(&LIMIT), Query::default().has(&LIMIT)), (true, false));
    assert_eq!(Query::default().get(&LIMIT).unwrap(), 50);
    assert_eq!(Query::default().get(&STATE).unwrap(), 0);
    assert_eq!(STATE.schema(), json!({"type": "string", "enum": ["on", "off"], "default": "off"}));
    let beyond = Query::parse(Some("limit=501")).expect("a sound query");
    let told = refusal(beyond.get(&LIMIT));
    assert_eq!(told, "`limit` must be a whole number from 1 to 500, not \"501\"");
}

#[test]
fn what_must_be_given_is_missed() {
    assert!(ANSWER.is_required());
    assert_eq!(ANSWER.schema()["pattern"], "^(yes|no)$");
    assert!(fields(json!({"answer": "yes"})).get(&ANSWER).unwrap());
    assert_eq!(refusal(fields(json!({})).get(&ANSWER)), "`answer` is missing; it must be a string");
    let maybe = refusal(fields(json!({"answer": "maybe"})).get(&ANSWER));
    assert_eq!(maybe, "`answer` must be \"yes\" or \"no\"");
    let whose = Parameter::new("user_id", Text, "whose").required_or("must say whose it is");
    assert_eq!(refusal(Query::default().get(&whose)), "`user_id` must say whose it is");
}
