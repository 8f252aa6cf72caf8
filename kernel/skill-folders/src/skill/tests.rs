use super::*;

fn parse(text: &str) -> Result<(Skill, String), String> {
    Skill::parse("tidy-up", text)
}

fn refused(text: &str) -> String {
    parse(text).unwrap_err()
}

#[test]
fn what_the_format_says_is_read() {
    let text = "---\nname: tidy-up\ndescription: >\n  Tidies up,\n  when asked.\nlicense: Apache-2.0\ncompatibility: Needs a broom\n\
                metadata:\n  author: someone\n  version: \"1.0\"\n  nested: {a: [1, 2]}\n\
                allowed-tools: Bash(git add *) Bash(jq:*), Read\n---\n\n# How\n\nSweep.\n\n---\n\nThen rest.\n";
    let (skill, instructions) = parse(text).unwrap();
    assert_eq!((&*skill.name, &*skill.description), ("tidy-up", "Tidies up, when asked."));
    assert_eq!(skill.triggers, ["/tidy-up"]);
    assert_eq!(skill.tools, ["Bash(git add *)", "Bash(jq:*)", "Read"]);
    assert_eq!(instructions, "# How\n\nSweep.\n\n---\n\nThen rest.");
    assert!(skill.unknown.is_empty());
}

#[test]
fn editors_leave_their_marks_and_other_products_their_keys() {
    let text = "\u{feff}---\r\nname: tidy-up  \r\nversion: 2\r\nhooks: {after: [run]}\r\ndescription: Tidies.\r\n\
                allowed-tools:\r\n  - crm.*\r\n  - recall\r\nmetadata: {triggers: \"/clean,  clean up ,\"}\r\n--- \r\nSweep.\r\n";
    let (skill, instructions) = parse(text).unwrap();
    assert_eq!((&*skill.description, &*instructions), ("Tidies.", "Sweep."));
    assert_eq!(skill.tools, ["crm.*", "recall"]);
    assert_eq!(skill.triggers, ["/clean", "clean up"]);
    assert_eq!(skill.unknown, ["version", "hooks"]);
}

#[test]
fn without_instructions_the_description_is_all_there_is() {
    let (skill, instructions) =
        parse("---\nname: tidy-up\ndescription: Tidies.\nmetadata:\nallowed-tools:\n---").unwrap();
    assert_eq!((&*instructions, skill.tools.len()), ("Tidies.", 0));
    let (numbered, _) = Skill::parse("2048", "---\nname: 2048\ndescription: yes\n---\n").unwrap();
    assert_eq!((&*numbered.name, &*numbered.description), ("2048", "yes"));
    let listed = "---\nname: tidy-up\ndescription: T\nmetadata:\n  triggers: [tidy, \"/t\"]\n---\n";
    assert_eq!(parse(listed).unwrap().0.triggers, ["tidy", "/t"]);
}

#[test]
fn what_is_wrong_is_said_with_what_would_do() {
    let long = format!("---\nname: tidy-up\ndescription: {}\n---\n", "ä".repeat(1025));
    for (text, words) in [
        ("", "does not begin with a line `---`"),
        ("# Tidy up\n", "does not begin with a line `---`"),
        ("---\nname: tidy-up\n", "not closed"),
        ("---\n---\n", "no name; here it is `name: tidy-up`"),
        ("---\ndescription: T\n---\n", "no name; here it is `name: tidy-up`"),
        ("---\nname: tidy-up\n---\n", "no description"),
        ("---\nname: tidy-up\ndescription: \"  \"\n---\n", "no description"),
        ("---\nname: Tidy_Up\ndescription: T\n---\n", "\"Tidy_Up\" is none"),
        ("---\nname: tidy--up\ndescription: T\n---\n", "is none"),
        ("---\nname: clean-up\ndescription: T\n---\n", "clean-up, and its folder is called tidy-up"),
        (&long, "1025 characters; 1024 are the most"),
        ("---\nname: tidy-up\ndescription: Use it when: always\n---\n", "line 3"),
        ("---\nname: tidy-up\ndescription: T\nname: tidy-up\n---\n", "uplicate"),
        ("---\nname: [tidy-up]\ndescription: T\n---\n", "line 2"),
        ("---\nname: tidy-up\ndescription: {a: b}\n---\n", "line 3"),
        ("---\nname: tidy-up\ndescription: T\nallowed-tools: 7\n---\n", "a text, or a list of texts"),
        ("---\nname: tidy-up\ndescription: T\nallowed-tools: [[a]]\n---\n", "line 4"),
        ("---\nname: tidy-up\ndescription: T\nmetadata: a\n---\n", "line 4"),
        ("---\n- a\n---\n", "can't be read"),
        ("---\njust words\n---\n", "can't be read"),
    ] {
        let why = refused(text);
        assert!(why.contains(words), "{text:?}: {why}");
        assert!(!why.contains('\n'), "one line: {why}");
    }
    let long =
        format!("---\nname: tidy-up\ndescription: T\nmetadata: {{triggers: {}}}\n---\n", "x".repeat(65));
    assert!(refused(&long).contains("one line of 64 characters"));
}

#[test]
fn yaml_that_grows_is_refused_before_it_does() {
    let mut bomb = "---\nname: tidy-up\ndescription: T\na: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let refer = vec![format!("*a{}", n - 1); 10].join(", ");
        bomb.push_str(&format!("b{n}: &a{n} [{refer}]\n"));
    }
    assert!(refused(&format!("{bomb}---\n")).contains("can't be read"));
    let deep =
        format!("---\nname: tidy-up\ndescription: T\na: {}{}\n---\n", "[".repeat(5000), "]".repeat(5000));
    assert!(refused(&deep).contains("can't be read"));
    let wide = format!("---\nname: tidy-up\ndescription: T\na: [{}]\n---\n", "1,".repeat(20_000));
    assert!(refused(&wide).contains("can't be read"));
}

#[test]
fn names_are_what_the_format_allows() {
    for (name, wanted) in [
        ("a", true),
        ("pdf-processing", true),
        ("2048", true),
        ("", false),
        ("-a", false),
        ("a-", false),
        ("a--b", false),
        ("A", false),
        ("a_b", false),
        ("ä", false),
        ("../a", false),
    ] {
        assert_eq!(is_name(name), wanted, "{name:?}");
    }
    assert!(is_name(&"a".repeat(64)) && !is_name(&"a".repeat(65)));
}
