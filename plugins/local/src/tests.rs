use super::*;
use prx_sdk::provider::{AssistantMessage, ToolResult, UserMessage};
use std::cell::RefCell;

fn user(text: &str) -> Message {
    Message::User(UserMessage { text: text.to_owned(), attachments: Vec::new() })
}

fn request(messages: Vec<Message>) -> Request {
    let tool = |name: &str| ToolSpec {
        name: name.to_owned(),
        description: "Does things.".to_owned(),
        parameters: "{}".to_owned(),
    };
    Request {
        model: MODEL.to_owned(),
        system: String::new(),
        messages,
        tools: vec![tool("hello"), tool("get__weather")],
        options: "{}".to_owned(),
    }
}

fn complete(messages: Vec<Message>) -> (Completion, Vec<Delta>) {
    let deltas = RefCell::new(Vec::new());
    let push = |delta| {
        deltas.borrow_mut().push(delta);
        true
    };
    let completion = Local::complete(request(messages), &Sink::new(&push)).unwrap();
    (completion, deltas.into_inner())
}

#[test]
fn an_echo_says_what_it_is_and_what_it_was_given() {
    let (completion, deltas) = complete(vec![user("good morning")]);
    assert_eq!(
        completion.text,
        "local-1 is a built-in stand-in: it runs no model and repeats what it is given.\n\n\
         You said: good morning\n\n\
         It was given 1 message. `/tool NAME {json}` calls one of 2 tools: `hello`, `get__weather`."
    );
    assert_eq!(completion.stop, StopReason::End);
    assert!(deltas.len() > 10);
    let streamed: String =
        deltas.into_iter().map(|d| if let Delta::Text(text) = d { text } else { panic!("{d:?}") }).collect();
    assert_eq!(streamed, completion.text);
}

#[test]
fn a_tool_is_called_and_its_result_is_the_answer() {
    let (first, deltas) = complete(vec![user("  /tool hello {\"name\": \"Ada\"} ")]);
    assert_eq!(first.stop, StopReason::ToolUse);
    let call = first.tool_calls[0].clone();
    assert_eq!((call.id.as_str(), call.name.as_str()), ("call_1", "hello"));
    assert_eq!(call.arguments, "{\"name\": \"Ada\"}");
    assert_eq!(deltas, [Delta::ToolCallStarted(("call_1".to_owned(), "hello".to_owned()))]);

    let assistant =
        |calls| Message::Assistant(AssistantMessage { text: String::new(), tool_calls: calls, data: None });
    let result = |is_error| {
        Message::ToolResult(ToolResult { id: "call_1".to_owned(), text: "Hello, Ada!".to_owned(), is_error })
    };
    let conversation = vec![user("/tool hello"), assistant(vec![call.clone()]), result(false)];
    assert_eq!(complete(conversation.clone()).0.text, "Hello, Ada!");
    let failed = vec![user("/tool hello"), assistant(vec![call]), result(true)];
    assert_eq!(complete(failed).0.text, "`hello` failed: Hello, Ada!");

    let dotted = complete(vec![user("/tool get.weather")]).0.tool_calls.remove(0);
    assert_eq!(dotted.name, "get__weather", "as it is shown");

    let later = [conversation, vec![user("/tool get__weather")]].concat();
    let second = complete(later).0.tool_calls.remove(0);
    assert_eq!((second.id.as_str(), second.arguments.as_str()), ("call_2", "{}"));
}

#[test]
fn what_cannot_be_called_is_answered_with_what_can() {
    let text = |message: &str| complete(vec![user(message)]).0.text;
    assert!(
        text("/tool nope {}")
            .starts_with("There is no tool `nope`. `/tool NAME {json}` calls one of 2 tools: `hello`")
    );
    assert!(text("/tool").starts_with("Write `/tool NAME {json}`."));
    assert!(text("/tool hello [1]").starts_with("What follows `hello` must be a JSON object:"));
    assert!(text("/tool hello {\"name\": ").starts_with("What follows `hello` must be a JSON object:"));
    assert!(text("/tool he.llo").starts_with("There is no tool `he.llo`."));
    assert!(text("/toolbox").contains("You said: /toolbox"));
}

#[test]
fn usage_counts_a_token_for_every_four_characters_begun() {
    let one = complete(vec![user("abcde")]).0.usage;
    let two = complete(vec![user("abcdefghi")]).0.usage;
    assert_eq!(two.input - one.input, 1);
    assert_eq!(tokens(""), 0);
    assert_eq!(tokens("日本語です"), 2);
}

#[test]
fn it_stops_streaming_when_nobody_listens() {
    let pushed = RefCell::new(0);
    let push = |_| {
        *pushed.borrow_mut() += 1;
        false
    };
    let completion = Local::complete(request(vec![user("hello there")]), &Sink::new(&push)).unwrap();
    assert_eq!(*pushed.borrow(), 1);
    assert!(completion.text.contains("hello there"));
}

#[test]
fn another_model_is_a_mistake_in_the_configuration() {
    let mut other = request(vec![user("hi")]);
    other.model = "local-2".to_owned();
    let error = Local::complete(other, &Sink::new(&|_| true)).unwrap_err();
    assert_eq!(error.fault, Fault::bad_config("local has no model `local-2`; it has `local-1`"));
    assert!(!error.retryable);
}
