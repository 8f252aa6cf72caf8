//! What is erased, or let go by its age, is gone, from the file, too; everything else stays as it was.

use super::*;

const CANARY: &str = "canary-of-ann";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn ann() -> Owner {
    Owner { channel: "chat".into(), user_id: "7".into() }
}

/// What a person says somewhere, and whether it comes to a turn.
async fn say(store: &Store, place: &Conversation, user: &str, text: &str, files: Vec<Attachment>) -> Turn {
    let key = format!("{user}-{}-{}", place.conversation, store.new_message_id());
    let said =
        NewInbound { user_id: user.into(), text: text.into(), attachments: files, ..inbound(place, &key) };
    let receipt = store.commit_step(step(vec![said])).await.unwrap();
    let session = &receipt.accepted[0].session;
    store.claim_turn(session).await.unwrap().unwrap()
}

async fn file(store: &Store) -> Attachment {
    let mut blob = store.new_blob(BlobLimits { each: 100, total: 1 << 20 }).await.unwrap();
    blob.write(CANARY.as_bytes()).await.unwrap();
    let blob = blob.keep("chat", None).await.unwrap();
    Attachment { blob: blob.id, kind: AttachmentKind::Image, name: None, mime: None, size: blob.size }
}

async fn remember(store: &Store, user: &str) {
    let owner = Owner { channel: "chat".into(), user_id: user.into() };
    let words = [(format!("word-{CANARY}"), 1)].into();
    let new = NewMemory { owner, text: format!("{CANARY} {user}"), tags: vec![], session: None, words };
    store.add_memory(new, MemoryLimits { each: 100, total: 100 }).await.unwrap();
}

fn holds(home: &Home, text: &str) -> bool {
    let file = fs::read(home.path().join("prx.redb")).unwrap();
    file.windows(text.len()).any(|part| part == text.as_bytes())
}

/// Ann's life in a store, beside Bo's: replies, files, a parked turn, a question, a dead letter, what waits to be sent.
async fn lived(store: &Store) {
    let hook = NewHook {
        url: "https://a.example".into(),
        events: vec!["*".into()],
        secret: prx_base::config::Secret::new("x"),
    };
    store.add_hook(hook).await.unwrap();
    for n in 0..300 {
        let place = conversation(&format!("bo {}", n % 7));
        let turn = say(store, &place, "8", &format!("bo says {n}"), vec![]).await;
        store.complete_turn(done(&turn, &["yes, Bo"])).await.unwrap();
        if n % 3 == 0 {
            let place = conversation(&format!("ann {}", n % 2));
            let turn = say(store, &place, "7", &format!("{CANARY} {n}"), vec![file(store).await]).await;
            let reply = NewOutbound { turn: Some(turn.id()), ..outbound(&place, CANARY) };
            let answered = TurnDone { outbound: vec![reply], ..done(&turn, &[CANARY]) };
            store.complete_turn(answered).await.unwrap();
        }
    }
    let waiting = store.outbox("chat", 2, None).unwrap();
    let failed = waiting[0].id.clone();
    let outcome = OutboxOutcome::Failed { reason: "no".into() };
    store.commit_step(StepCommit { outcomes: vec![(failed, outcome)], ..step(vec![]) }).await.unwrap();
    let parked_turn = say(store, &conversation("ann 0"), "7", CANARY, vec![]).await;
    store.park_turn(&parked_turn.id(), parked(CANARY)).await.unwrap();
    let asking = say(store, &conversation("ann 1"), "7", CANARY, vec![]).await;
    let asked = NewApproval {
        turn: asking.id(),
        call: "c".into(),
        tool: "t".into(),
        arguments: json!({ "a": CANARY }),
        elicitation: None,
        question: None,
        user: Some("7".into()),
        timeout: DAY,
    };
    store.ask_approval(store.new_approval_id(), asked, None).await.unwrap();
    for _ in 0..3 {
        remember(store, "7").await;
    }
    remember(store, "8").await;
    let target = format!("/api/v1/sessions/{}/messages", parked_turn.session);
    let body = Some(CANARY.to_owned());
    let kept = KeptAnswer { fingerprint: [0; 32], target, status: 200, body, at: store.shared.clock.now() };
    store.keep_answer("owner", "k", kept).await.unwrap();
}

#[tokio::test]
async fn a_person_is_erased_and_nobody_else() {
    let home = Home::new();
    let store = home.open();
    lived(&store).await;
    let of_bo = |store: &Store| {
        let filter = |status| SessionFilter { status, channel: Some("chat".into()) };
        let all = store.sessions(&filter(SessionStatus::Active), 500, 0).unwrap();
        let bo: Vec<_> = all.items.into_iter().filter(|session| session.user_id == "8").collect();
        let messages = bo.iter().map(|session| store.messages(&session.id, 500, None).unwrap());
        (bo.clone(), messages.collect::<Vec<_>>())
    };
    let before = of_bo(&store);
    for session in store.sessions_of(&ann()).await.unwrap() {
        store.terminate_session(&session.id).await.unwrap();
    }
    let erased = store.erase_user(&ann()).await.unwrap();
    let expected = Erased {
        sessions: 4,
        messages: 202,
        memories: 3,
        files: 100,
        parked_turns: 2,
        approvals: 0,
        outbox: 99,
        dead_letters: 1,
        ..erased
    };
    assert_eq!(erased, expected);
    assert!(erased.deliveries > 200 && erased.kept_answers == 1, "{erased:?}");
    assert_eq!(fs::read_dir(home.path().join("blobs")).unwrap().count(), 0);
    assert_eq!(of_bo(&store), before);
    assert_eq!(store.memory_entries().unwrap(), 1, "what is remembered of others stays");
    assert!(store.parked_turns(10).unwrap().is_empty());
    assert!(store.erase_user(&ann()).await.unwrap().is_empty(), "there is nothing more");

    // Nobody is in the way of whoever comes next, or of the same person.
    let turn = say(&store, &conversation("ann 0"), "7", "me again", vec![]).await;
    assert_eq!(store.messages(&turn.session, 10, None).unwrap().total, 1);
    store.complete_turn(done(&turn, &["hello"])).await.unwrap();
    let store = home.reopen(store).await;
    assert_eq!(store.sessions_of(&ann()).await.unwrap().len(), 1);
    assert_eq!(of_bo(&store), before);

    assert!(holds(&home, CANARY), "what is removed stays in the file for a while");
    let Compacted { before: whole, after } = store.compact().await.unwrap();
    assert!(after <= whole && store.file_bytes() == after);
    assert!(home.path().join("prx.redb").metadata().unwrap().len() == after);
    store.remove_all_of("8").await;
    store.compact().await.unwrap();
    assert!(!holds(&home, CANARY));
    store.close().await;
    assert!(!holds(&home, CANARY));
}

impl Store {
    /// Forgets the one memory of a user who stays, for it holds the words that are looked for.
    async fn remove_all_of(&self, user: &str) {
        let owner = Owner { channel: "chat".into(), user_id: user.into() };
        for memory in self.memories(&owner, 10).unwrap() {
            self.delete_memory(&owner, &memory.id).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_a_person_said_in_others_sessions_is_erased_with_the_answers() {
    let home = Home::new();
    let store = home.open();
    let group = conversation("group");
    let opened = say(&store, &group, "8", "bo asks", vec![]).await;
    store.complete_turn(done(&opened, &["yes, Bo"])).await.unwrap();
    let session = opened.session.clone();
    for n in 0..20 {
        let turn = say(&store, &group, "7", &format!("{CANARY} {n}"), vec![file(&store).await]).await;
        assert_eq!(turn.session, session);
        let reply = NewOutbound { turn: Some(turn.id()), ..outbound(&group, CANARY) };
        store.complete_turn(TurnDone { outbound: vec![reply], ..done(&turn, &[CANARY]) }).await.unwrap();
        let turn = say(&store, &group, "9", &format!("cy says {n}"), vec![]).await;
        let reply = NewOutbound { turn: Some(turn.id()), ..outbound(&group, "yes, Cy") };
        store.complete_turn(TurnDone { outbound: vec![reply], ..done(&turn, &["yes, Cy"]) }).await.unwrap();
    }
    let unlucky = say(&store, &group, "7", CANARY, vec![file(&store).await]).await;
    store.park_turn(&unlucky.id(), parked("it did not go")).await.unwrap();
    // One is being worked on, with Bo's and another of hers behind it.
    let at_work = say(&store, &group, "7", CANARY, vec![]).await;
    let of_bo = inbound(&group, "bo waits");
    store.commit_step(step(vec![NewInbound { user_id: "8".into(), ..of_bo }])).await.unwrap();
    store
        .commit_step(step(vec![NewInbound { text: CANARY.into(), ..inbound(&group, "waits") }]))
        .await
        .unwrap();
    assert!(store.sessions_of(&ann()).await.unwrap().is_empty());

    let erased = store.erase_user(&ann()).await.unwrap();
    let expected = Erased { messages: 43, files: 21, parked_turns: 1, outbox: 20, ..Erased::default() };
    assert_eq!(erased, expected);
    assert!(store.erase_user(&ann()).await.unwrap().is_empty(), "there is nothing more");
    assert_eq!(fs::read_dir(home.path().join("blobs")).unwrap().count(), 0);
    let page = store.messages(&session, 500, None).unwrap();
    assert_eq!((page.total, page.items.len()), (43, 43));
    assert!(page.items.iter().all(|message| message.user_id.as_deref() != Some("7")));
    assert_eq!(store.outbox("chat", 500, None).unwrap().len(), 20);
    assert!(!store.complete_turn(done(&at_work, &[CANARY])).await.unwrap().applied);
    // The group goes on.
    let next = store.claim_turn(&session).await.unwrap().unwrap();
    assert_eq!(next.message.content, "text of bo waits");
    store.complete_turn(done(&next, &["yes, Bo"])).await.unwrap();
    assert!(store.claim_turn(&session).await.unwrap().is_none());
    let store = home.reopen(store).await;
    store.compact().await.unwrap();
    store.close().await;
    assert!(!holds(&home, CANARY));

    // With the session goes what is known of its guests.
    let store = home.open();
    let bo = Owner { user_id: "8".into(), ..ann() };
    assert_eq!(store.erase_user(&bo).await.unwrap().messages, 44);
    let cy = Owner { user_id: "9".into(), ..ann() };
    assert!(store.sessions_with(&cy).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_erasure_that_was_cut_off_goes_on() {
    let home = Home::new();
    let store = home.open();
    let turn = say(&store, &conversation("ann"), "7", CANARY, vec![]).await;
    store.complete_turn(done(&turn, &[CANARY])).await.unwrap();
    let sent = NewOutbound { turn: Some(turn.id()), ..outbound(&conversation("ann"), CANARY) };
    let next = say(&store, &conversation("ann"), "7", CANARY, vec![]).await;
    store.complete_turn(TurnDone { outbound: vec![sent], ..done(&next, &[]) }).await.unwrap();
    store.terminate_session(&turn.session).await.unwrap();
    let owner = ann();
    let sessions = vec![turn.session.clone()];
    store.write(move |tx| crate::erasure::note_sessions(tx, &owner, &sessions)).await.unwrap();
    store.erase_session(&turn.session).await.unwrap();
    let home = home.crash();
    let store = home.open();
    assert!(store.sessions_of(&ann()).await.unwrap().is_empty());
    assert_eq!(store.erase_user(&ann()).await.unwrap().outbox, 1);
    assert!(store.outbox("chat", 10, None).unwrap().is_empty());
}

#[tokio::test]
async fn sessions_and_messages_are_let_go_when_they_are_old() {
    let home = Home::new();
    let store = home.open();
    let mut ids = Vec::new();
    for _ in 0..300 {
        let session = store.create_session(new_session("api")).await.unwrap();
        store.accept_message(&session.id, store.new_message_id(), "old".into()).await.unwrap();
        let turn = store.claim_turn(&session.id).await.unwrap().unwrap();
        store.complete_turn(done(&turn, &["yes"])).await.unwrap();
        store.terminate_session(&session.id).await.unwrap();
        ids.push(session.id);
    }
    let open = store.create_session(new_session("api")).await.unwrap().id;
    store.accept_message(&open, store.new_message_id(), "old".into()).await.unwrap();
    let waits = store.create_session(new_session("api")).await.unwrap().id;
    store.accept_message(&waits, store.new_message_id(), "waits".into()).await.unwrap();
    let turn = store.claim_turn(&open).await.unwrap().unwrap();
    store.complete_turn(done(&turn, &["yes"])).await.unwrap();
    home.clock.advance(3 * DAY);
    store.accept_message(&open, store.new_message_id(), "new".into()).await.unwrap();
    let turn = store.claim_turn(&open).await.unwrap().unwrap();
    store.complete_turn(done(&turn, &["yes"])).await.unwrap();

    assert!(store.sweep_old_sessions(4 * DAY).await.unwrap().is_empty());
    let erased = store.sweep_messages(2 * DAY).await.unwrap();
    assert_eq!((erased.messages, erased.sessions), (602, 0));
    let page = store.messages(&open, 10, None).unwrap();
    assert_eq!((page.total, page.items[0].content.as_str()), (2, "new"));
    assert_eq!(store.messages(&waits, 10, None).unwrap().total, 1, "its turn is still to come");
    assert!(store.claim_turn(&waits).await.unwrap().is_some());
    let erased = store.sweep_old_sessions(2 * DAY).await.unwrap();
    assert_eq!((erased.sessions, erased.messages), (300, 0));
    let over = SessionFilter { status: SessionStatus::Terminated, channel: None };
    assert_eq!(store.sessions(&over, 10, 0).unwrap().total, 0);
    assert_eq!(store.session(&ids[0]).unwrap_err().code(), Code::NotFound);
    let store = home.reopen(store).await;
    assert_eq!(store.active_sessions(None), 2);
    assert_eq!(store.sessions(&over, 10, 0).unwrap().total, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_and_writes_meanwhile_waits_and_goes_on() {
    let home = Home::new();
    let store = home.open();
    for n in 0..300 {
        let text = format!("{n} {}", "x".repeat(20_000));
        let session = store.create_session(new_session("api")).await.unwrap();
        store.accept_message(&session.id, store.new_message_id(), text).await.unwrap();
        store.terminate_session(&session.id).await.unwrap();
    }
    let before = store.space_use().await.unwrap();
    home.clock.advance(DAY);
    assert_eq!(store.sweep_old_sessions(DAY / 2).await.unwrap().sessions, 300);
    let swept = store.space_use().await.unwrap();
    assert!(swept.free() * 2 > swept.file && before.free() * 2 < before.file, "{before:?} {swept:?}");
    let session = store.create_session(new_session("api")).await.unwrap().id;
    let (reading, writing) = (store.clone(), store.clone());
    let (read, written) = (session.clone(), session.clone());
    let reader = tokio::spawn(async move {
        for _ in 0..2_000 {
            reading.session(&read).unwrap();
            tokio::task::yield_now().await;
        }
    });
    let writer = tokio::spawn(async move {
        for _ in 0..50 {
            writing.accept_message(&written, writing.new_message_id(), "new".into()).await.unwrap();
        }
    });
    // A read that goes on at that very moment is no failure: it is to be done again.
    let compacted = loop {
        match store.compact().await {
            Ok(compacted) => break compacted,
            Err(error) => assert_eq!(error.code(), Code::Conflict),
        }
    };
    assert!(compacted.after * 2 < compacted.before, "{compacted:?}");
    reader.await.unwrap();
    writer.await.unwrap();
    assert_eq!(store.messages(&session, 1, None).unwrap().total, 50);
    let store = home.reopen(store).await;
    assert_eq!(store.messages(&session, 1, None).unwrap().total, 50);
}

#[tokio::test]
async fn what_agents_have_made_of_a_persons_words_goes_with_them() {
    let home = Home::new();
    let store = home.open();
    let group = conversation("group");
    let keep = |forgotten| AgentCommit {
        plugin: "agent".into(),
        state: Some(AgentState { version: 1, bytes: format!("{CANARY} state").into_bytes() }),
        left: Some(format!("{CANARY} left").into_bytes()),
        history_from: None,
        forgotten,
    };
    let ends = |turn: &Turn, end_session, agent| TurnDone { end_session, agent, ..done(turn, &["ok"]) };
    // Ann is a guest of Bo's session; what is made of it goes on, and on, in sessions that she never spoke in.
    let first = say(&store, &group, "8", "bo asks", vec![]).await;
    store.complete_turn(ends(&first, false, AgentCommit::default())).await.unwrap();
    let hers = say(&store, &group, "7", CANARY, vec![]).await;
    store.complete_turn(ends(&hers, true, keep(0))).await.unwrap();
    let second = say(&store, &group, "9", "cy goes on", vec![]).await;
    assert_eq!(store.agent_record(&second.session, "agent").unwrap().carried, keep(0).left);
    store.complete_turn(ends(&second, true, keep(0))).await.unwrap();
    let third = say(&store, &group, "8", "bo again", vec![]).await;
    // The first session is let go by its age: who has spoken there is known all the same.
    store.erase_session(&first.session).await.unwrap();
    let step = TurnStep { progress: json!({"messages": [CANARY]}), agent: keep(0), ..TurnStep::default() };
    store.record_step(&third.id(), step).await.unwrap();

    store.erase_user(&ann()).await.unwrap();
    for session in [&second.session, &third.session] {
        let record = store.agent_record(session, "agent").unwrap();
        assert_eq!((record.state, record.carried, record.forgotten > 0), (None, None, true));
    }
    // The turn at work knew what was forgotten: it ends, and leaves nothing.
    store.complete_turn(ends(&third, false, keep(0))).await.unwrap();
    assert_eq!(store.agent_record(&third.session, "agent").unwrap().state, None);
    let later = say(&store, &group, "8", "bo once more", vec![]).await;
    let now = store.agent_record(&third.session, "agent").unwrap().forgotten;
    let fresh = AgentCommit { state: Some(AgentState { version: 1, bytes: b"fresh".into() }), ..keep(now) };
    let fresh = AgentCommit { left: None, ..fresh };
    store.complete_turn(ends(&later, false, fresh)).await.unwrap();
    assert_eq!(store.agent_record(&third.session, "agent").unwrap().state.unwrap().bytes, b"fresh");
    store.compact().await.unwrap();
    store.close().await;
    assert!(!holds(&home, CANARY));
}

#[tokio::test]
async fn what_is_carried_on_is_kept_as_long_as_the_messages_that_it_was_made_of() {
    let home = Home::new();
    let store = home.open();
    let group = conversation("group");
    let keep = |forgotten| AgentCommit {
        plugin: "agent".into(),
        state: Some(AgentState { version: 1, bytes: b"state".into() }),
        left: Some(format!("{CANARY} left").into_bytes()),
        history_from: None,
        forgotten,
    };
    let ends = |turn: &Turn, agent| TurnDone { end_session: true, agent, ..done(turn, &["ok"]) };
    let mut last = String::new();
    for day in [0, 20, 25] {
        let turn = say(&store, &group, "8", &format!("day {day}"), vec![]).await;
        store.complete_turn(ends(&turn, keep(0))).await.unwrap();
        last.clone_from(&turn.session);
        home.clock.advance(DAY * if day == 0 { 20 } else { 5 });
    }
    let carried = |session: &str| store.agent_record(session, "agent").unwrap().carried;
    assert_eq!(store.sweep_messages(DAY * 31).await.unwrap().messages, 0);
    assert!(carried(&last).is_some());
    assert!(store.sweep_messages(DAY * 29).await.unwrap().messages > 0, "those of the first day");
    assert_eq!(carried(&last), None);
    assert!(store.messages(&last, 10, None).unwrap().total > 0);
    let next = say(&store, &group, "8", "day 30", vec![]).await;
    assert_eq!(carried(&next.session), None);
    let now = store.agent_record(&next.session, "agent").unwrap().forgotten;
    store.complete_turn(ends(&next, keep(now))).await.unwrap();
    let after = say(&store, &group, "8", "day 30 again", vec![]).await;
    assert!(carried(&after.session).is_some(), "what is new is carried on");
    store.sweep_messages(DAY * 29).await.unwrap();
    assert!(carried(&after.session).is_some());
}

#[tokio::test]
async fn the_key_that_a_program_knows_a_session_by_goes_with_it() {
    let home = Home::new();
    let store = home.open();
    let keyed = async |key: &str| {
        let new = NewSession {
            channel: "chat".into(),
            user_id: "7".into(),
            metadata: json!({}),
            conversation: None,
            model: None,
            agent: None,
            language: None,
        };
        store.keyed_session(key, new).await.unwrap().id
    };
    let first = keyed("ann's").await;
    store.terminate_session(&first).await.unwrap();
    let second = keyed("ann's").await;
    assert_ne!(first, second);
    store.erase_session(&first).await.unwrap();
    assert_eq!(keyed("ann's").await, second, "the key is the newer one's");

    let gone = keyed("by the name of Annabelle").await;
    store.erase_user(&ann()).await.unwrap();
    assert_ne!(keyed("ann's").await, second);
    assert!(store.session(&gone).is_err());
    store.compact().await.unwrap();
    store.close().await;
    assert!(!holds(&home, "Annabelle"));
}
