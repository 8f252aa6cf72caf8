use super::*;

fn texts(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.content.as_str()).collect()
}

#[tokio::test]
async fn a_turn_goes_from_message_to_reply_in_one_commit() {
    let home = Home::new();
    let store = home.open();
    let session = store.create_session(new_session("api")).await.unwrap().id;
    let accepted = store.accept_message(&session, store.new_message_id(), "hello".into()).await.unwrap();
    assert_eq!((accepted.attempts, accepted.message.role), (0, Role::User));
    assert_eq!(store.turns_ready().next().await, session);
    let turn = store.claim_turn(&session).await.unwrap().unwrap();
    assert_eq!(turn, Turn { attempts: 1, ..accepted });

    let call = ToolCall { id: "call_1".into(), name: "get_weather".into(), arguments: "{}".into() };
    let mut outcome = done(&turn, &["It rains."]);
    let asking = NewMessage { tool_calls: vec![call.clone()], ..NewMessage::assistant("") };
    outcome.messages.splice(0..0, [asking, NewMessage::tool("call_1", "rain", true)]);
    let completed = store.complete_turn(outcome.clone()).await.unwrap();
    assert!(completed.applied);
    assert_eq!(completed.session.turn_count, 1);
    assert_eq!(completed.session.token_usage, Usage { input: 10, output: 4 });

    let again = store.complete_turn(outcome).await.unwrap();
    assert_eq!(again, Completed { applied: false, messages: vec![], session: completed.session.clone() });
    let store = home.reopen(store).await;
    let page = store.messages(&session, 10, None).unwrap();
    assert_eq!((page.total, texts(&page.items)), (4, vec!["hello", "", "rain", "It rains."]));
    assert_eq!(page.items[1..], completed.messages);
    assert_eq!(page.items[1].tool_calls, [call]);
    assert_eq!((page.items[2].tool_call_id.as_deref(), page.items[2].is_error), (Some("call_1"), true));
    assert_eq!(store.session(&session).unwrap(), completed.session);
    assert!(store.claim_turn(&session).await.unwrap().is_none());
    store.close().await;
}

#[tokio::test]
async fn turns_wait_in_order_and_answers_stand_with_what_they_answer() {
    let home = Home::new();
    let store = home.open();
    let session = store.create_session(new_session("api")).await.unwrap().id;
    for text in ["one", "two", "three"] {
        store.accept_message(&session, store.new_message_id(), text.into()).await.unwrap();
    }
    for text in ["one", "two"] {
        let turn = store.claim_turn(&session).await.unwrap().unwrap();
        assert_eq!(turn.message.content, text);
        store.complete_turn(done(&turn, &[&format!("re: {text}")])).await.unwrap();
    }
    let turn = store.claim_turn(&session).await.unwrap().unwrap();
    let before = store.messages(&session, 3, Some(&turn.message.id)).unwrap();
    assert_eq!((before.total, texts(&before.items)), (5, vec!["re: one", "two", "re: two"]));
    let last = store.messages(&session, 2, None).unwrap();
    assert_eq!(texts(&last.items), ["re: two", "three"]);

    let other = store.create_session(new_session("api")).await.unwrap().id;
    for (session, before) in [(&other, turn.message.id.as_str()), (&session, "msg_none")] {
        let error = store.messages(session, 5, Some(before)).unwrap_err();
        assert_eq!(error.code(), Code::BadRequest);
        assert!(error.message().starts_with("before:"), "{error}");
    }
    assert_eq!(store.messages("sess_xyz", 5, None).unwrap_err().code(), Code::NotFound);
    store.close().await;
}

#[tokio::test]
async fn a_crash_in_a_turn_brings_it_back_with_its_progress() {
    let home = Home::new();
    let store = home.open();
    let session = store.create_session(new_session("api")).await.unwrap().id;
    store.accept_message(&session, store.new_message_id(), "hello".into()).await.unwrap();
    let turn = store.claim_turn(&session).await.unwrap().unwrap();
    store.record_progress(&turn.id(), json!({"tools": [1]}), Usage::default(), Vec::new()).await.unwrap();
    let home = home.crash();
    let store = home.open();
    assert_eq!(store.turns_ready().next().await, session);
    let again = store.claim_turn(&session).await.unwrap().unwrap();
    assert_eq!(again, Turn { attempts: 2, progress: Some(json!({"tools": [1]})), ..turn });
    store.complete_turn(done(&again, &["hi"])).await.unwrap();
    store.record_progress(&again.id(), json!("late"), Usage::default(), Vec::new()).await.unwrap();
    store.park_turn(&again.id(), parked("late")).await.unwrap();
    assert!(store.parked_turns(10).unwrap().is_empty());
    store.close().await;
}

#[tokio::test]
async fn a_turn_that_keeps_failing_is_parked_and_the_next_one_served() {
    let home = Home::new();
    let store = home.open();
    let session = store.create_session(new_session("api")).await.unwrap().id;
    for text in ["poison", "refused", "fine"] {
        store.accept_message(&session, store.new_message_id(), text.into()).await.unwrap();
    }
    for attempt in 1..=MAX_ATTEMPTS {
        let turn = store.claim_turn(&session).await.unwrap().unwrap();
        assert_eq!((turn.attempts, turn.message.content.as_str()), (attempt, "poison"));
    }
    let poison = store.claim_turn(&session).await.unwrap().unwrap();
    assert!(poison.attempts > MAX_ATTEMPTS, "whoever works on it can tell");
    store.park_turn(&poison.id(), parked("given up")).await.unwrap();
    let refused = store.claim_turn(&session).await.unwrap().unwrap();
    assert_eq!((refused.attempts, refused.message.content.as_str()), (1, "refused"));
    store.park_turn(&refused.id(), parked("no such skill")).await.unwrap();
    let fine = store.claim_turn(&session).await.unwrap().unwrap();
    assert_eq!(fine.message.content, "fine");
    store.complete_turn(done(&fine, &["ok"])).await.unwrap();
    let store = home.reopen(store).await;
    let parked = store.parked_turns(10).unwrap();
    let reasons: Vec<_> = parked.iter().map(|parked| (parked.turn.seq, parked.reason.as_str())).collect();
    assert_eq!(reasons, [(1, "given up"), (2, "no such skill")]);
    assert_eq!(store.session(&session).unwrap().turn_count, 1);
    store.close().await;
}

#[tokio::test]
async fn an_orderly_stop_counts_as_no_attempt() {
    let home = Home::new();
    let mut store = home.open();
    let session = store.create_session(new_session("api")).await.unwrap().id;
    let idle = store.create_session(new_session("api")).await.unwrap().id;
    store.accept_message(&session, store.new_message_id(), "hi".into()).await.unwrap();
    for _ in 0..2 * MAX_ATTEMPTS {
        assert_eq!(store.claim_turn(&session).await.unwrap().unwrap().attempts, 1);
        store.excuse_turns(vec![session.clone(), idle.clone(), "sess_xyz".into()]).await.unwrap();
        store = home.reopen(store).await;
    }
    store.close().await;
}

#[tokio::test]
async fn a_session_ends_with_a_turn_but_not_over_the_heads_of_those_that_wait() {
    let home = Home::new();
    let store = home.open();
    let session = store.create_session(new_session("api")).await.unwrap().id;
    for text in ["one", "two"] {
        store.accept_message(&session, store.new_message_id(), text.into()).await.unwrap();
    }
    for status in [SessionStatus::Active, SessionStatus::Terminated] {
        let turn = store.claim_turn(&session).await.unwrap().unwrap();
        let outcome = TurnDone { end_session: true, ..done(&turn, &["ok"]) };
        assert_eq!(store.complete_turn(outcome).await.unwrap().session.status, status);
    }
    assert!(store.parked_turns(10).unwrap().is_empty());
    store.close().await;
}

#[tokio::test]
async fn unknown_sessions_are_told() {
    let home = Home::new();
    let store = home.open();
    let missing = TurnId { session: "sess_xyz".into(), seq: 1 };
    let outcome = TurnDone {
        id: missing.clone(),
        messages: Vec::new(),
        usage: Usage::default(),
        outbound: Vec::new(),
        events: Vec::new(),
        end_session: false,
        agent: crate::AgentCommit::default(),
    };
    assert_eq!(
        store.accept_message("sess_xyz", store.new_message_id(), "hi".into()).await.unwrap_err().code(),
        Code::NotFound
    );
    assert_eq!(store.claim_turn("sess_xyz").await.unwrap(), None, "it may have been erased");
    assert_eq!(store.complete_turn(outcome).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(store.park_turn(&missing, parked("")).await.unwrap_err().code(), Code::NotFound);
    assert!(store.is_healthy());
    store.close().await;
}
