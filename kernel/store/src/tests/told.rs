//! What is said to a turn at work: to stop, and the answers to its questions. And what turns cost.

use super::*;

/// The turn at work in a conversation where this was said.
async fn at_work(store: &Store, ann: &Conversation, keys: &[&str]) -> Turn {
    let receipt = store.commit_step(step(keys.iter().map(|key| inbound(ann, key)).collect())).await.unwrap();
    store.claim_turn(&receipt.accepted[0].session).await.unwrap().unwrap()
}

/// Something else that is said there.
fn says(ann: &Conversation, text: &str) -> NewInbound {
    let command = match text.trim() {
        "/new" => Some(Command::NewSession),
        "/stop" => Some(Command::StopTurn),
        "allow" | "Allow once" => Some(Command::Decide(Decision::Allow)),
        _ => None,
    };
    NewInbound { text: text.into(), command, ..inbound(ann, text) }
}

fn question(turn: &Turn, call: &str) -> NewApproval {
    NewApproval {
        turn: turn.id(),
        call: call.into(),
        tool: "pay".into(),
        arguments: json!({"amount": 7}),
        elicitation: None,
        question: None,
        user: Some("7".into()),
        timeout: Duration::from_secs(60),
    }
}

#[tokio::test]
async fn the_word_stop_reaches_the_turn_at_work_and_nothing_else() {
    let home = Home::new();
    let (store, ann) = (home.open(), conversation("ann"));
    let turn = at_work(&store, &ann, &["one", "two"]).await;
    assert_eq!(turn.stop, None);
    let receipt = store.commit_step(step(vec![says(&ann, " /stop ")])).await.unwrap();
    assert_eq!((receipt.accepted, receipt.duplicates), (vec![], 0));
    assert_eq!(store.notified_turns().next().await, turn.session);
    assert_eq!(store.turn_state(&turn.id()).unwrap(), TurnState::Stopped(Stop::Asked));
    let store = home.reopen(store).await;
    let again = store.claim_turn(&turn.session).await.unwrap().unwrap();
    assert_eq!((again.seq, again.stop), (turn.seq, Some(Stop::Asked)), "it is kept over a restart");
    store.complete_turn(done(&again, &["so far"])).await.unwrap();
    let next = store.claim_turn(&turn.session).await.unwrap().unwrap();
    assert_eq!(next.stop, None, "the one behind it goes on");
    store.complete_turn(done(&next, &["ok"])).await.unwrap();
    let receipt =
        store.commit_step(step(vec![NewInbound { dedupe: "3".into(), ..says(&ann, "/stop") }])).await;
    assert_eq!(receipt.unwrap().accepted.len(), 1, "with nothing at work it is a message");
    assert!(store.stop_turn(&turn.session).await.unwrap());
    assert_eq!(store.stop_turn("sess_xyz").await.unwrap_err().code(), Code::NotFound);
    store.terminate_session(&turn.session).await.unwrap();
    assert_eq!(store.stop_turn(&turn.session).await.unwrap_err().code(), Code::Conflict);
    store.close().await;
}

#[tokio::test]
async fn a_message_that_interrupts_stops_everything_before_it() {
    let home = Home::new();
    let (store, ann) = (home.open(), conversation("ann"));
    let first = at_work(&store, &ann, &["one", "two"]).await;
    let third = StepCommit { interrupts: true, ..step(vec![inbound(&ann, "three")]) };
    store.commit_step(third).await.unwrap();
    for stop in [Some(Stop::Interrupted), Some(Stop::Interrupted), None] {
        let turn = store.claim_turn(&first.session).await.unwrap().unwrap();
        assert_eq!(turn.stop, stop, "{turn:?}");
        store.complete_turn(done(&turn, &["ok"])).await.unwrap();
    }
    store.close().await;
}

#[tokio::test]
async fn the_word_new_begins_a_fresh_session_behind_what_it_stops() {
    let home = Home::new();
    let (store, ann) = (home.open(), conversation("ann"));
    let first = at_work(&store, &ann, &["one"]).await;
    let receipt = store.commit_step(step(vec![says(&ann, " /new "), says(&ann, "two")])).await.unwrap();
    let sessions: Vec<&str> = receipt.accepted.iter().map(|turn| turn.session.as_str()).collect();
    assert!(sessions[0] != first.session && sessions[0] == sessions[1], "{sessions:?}");
    assert_eq!(store.turn_state(&first.id()).unwrap(), TurnState::Stopped(Stop::Interrupted));
    assert_eq!(store.claim_turn(sessions[0]).await.unwrap(), None, "what was stopped ends first");
    store.complete_turn(done(&first, &["so far"])).await.unwrap();
    let word = store.claim_turn(sessions[0]).await.unwrap().unwrap();
    assert_eq!((word.message.content.as_str(), word.stop), (" /new ", None));
    store.close().await;
}

#[tokio::test]
async fn a_question_is_asked_once_and_its_first_answer_counts() {
    let home = Home::new();
    let (store, ann) = (home.open(), conversation("ann"));
    let turn = at_work(&store, &ann, &["one"]).await;
    let ask = async |store: &Store| {
        let sent = Some(outbound(&ann, "may I?"));
        store.ask_approval(store.new_approval_id(), question(&turn, "call_1"), sent).await.unwrap()
    };
    let asked = ask(&store).await;
    let home = home.crash();
    let store = home.open();
    assert_eq!(ask(&store).await, asked, "a turn that is taken up again asks the same question");
    assert_eq!(store.outbox("chat", 10, None).unwrap().len(), 1);
    assert_eq!(store.approvals(&turn.session).unwrap(), std::slice::from_ref(&asked));
    let decide = async |decision| store.decide_approval(&turn.session, &asked.id, decision).await.unwrap();
    assert_eq!(decide(Decision::Deny).await, Decision::Deny);
    assert_eq!(decide(Decision::Allow).await, Decision::Deny);
    assert_eq!(store.notified_turns().next().await, turn.session);
    assert!(store.approvals(&turn.session).unwrap().is_empty());
    store.complete_turn(done(&turn, &["ok"])).await.unwrap();
    let gone = store.decide_approval(&turn.session, &asked.id, Decision::Allow).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    assert_eq!(store.approvals("sess_xyz").unwrap_err().code(), Code::NotFound);
    store.close().await;
}

#[tokio::test]
async fn only_the_person_who_was_asked_answers_on_the_channel() {
    let home = Home::new();
    let (store, ann) = (home.open(), conversation("ann"));
    let turn = at_work(&store, &ann, &["one"]).await;
    let mut asked = Vec::new();
    for call in ["call_1", "call_2"] {
        let question = question(&turn, call);
        asked.push(store.ask_approval(store.new_approval_id(), question, None).await.unwrap().id);
    }
    let [_, deny] = Approval::choices(&asked[1]);
    let ben = |message: NewInbound| NewInbound { user_id: "8".into(), ..message };
    let chosen = |choice: &str| NewInbound { choice: Some(choice.into()), ..says(&ann, choice) };
    let heard =
        async |message: NewInbound| store.commit_step(step(vec![message])).await.unwrap().accepted.len();
    assert_eq!(heard(ben(chosen(&deny))).await, 0, "a button of someone else's does nothing");
    assert_eq!(
        heard(NewInbound { dedupe: "b".into(), ..ben(says(&ann, "allow")) }).await,
        1,
        "words are words"
    );
    assert_eq!(heard(chosen("allow:ask_of_another_turn")).await, 0);
    assert_eq!(store.approvals(&turn.session).unwrap().len(), 2);
    assert_eq!(heard(NewInbound { dedupe: "c".into(), ..chosen(&deny) }).await, 0);
    assert_eq!(heard(says(&ann, " Allow once ")).await, 0);
    let decisions =
        asked.iter().map(|id| store.approval(&turn.session, id).unwrap().decision).collect::<Vec<_>>();
    assert_eq!(decisions, [Some(Decision::Allow), Some(Decision::Deny)]);
    assert_eq!(heard(says(&ann, "1")).await, 1, "nothing is asked any more");
    store.close().await;
}

#[tokio::test]
async fn costs_are_counted_once_by_session_and_by_day() {
    let home = Home::new();
    let store = home.open();
    let session = store.create_session(new_session("api")).await.unwrap().id;
    let (some, all) = (Usage { input: 1, output: 2 }, Usage { input: 11, output: 6 });
    store.accept_message(&session, store.new_message_id(), "hello".into()).await.unwrap();
    let turn = store.claim_turn(&session).await.unwrap().unwrap();
    store.record_progress(&turn.id(), json!({}), some, Vec::new()).await.unwrap();
    assert_eq!((store.session(&session).unwrap().token_usage, store.spent_today().unwrap()), (some, some));
    store.complete_turn(done(&turn, &["hi"])).await.unwrap();
    let store = home.reopen(store).await;
    assert_eq!((store.session(&session).unwrap().token_usage, store.spent_today().unwrap()), (all, all));
    home.clock.advance(Duration::from_secs(14 * 60 * 60));
    assert_eq!(store.spent_today().unwrap(), Usage::default(), "it is midnight, UTC");
    let huge = Usage { input: u64::MAX, output: u64::MAX };
    for _ in 0..2 {
        store.record_progress(&turn.id(), json!({}), huge, Vec::new()).await.unwrap();
    }
    assert_eq!(store.spent_today().unwrap().total(), u64::MAX, "nothing overflows");
    store.close().await;
}
