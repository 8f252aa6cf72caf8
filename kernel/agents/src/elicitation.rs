//! Elicitation: a person is asked what an MCP server wants to know while it works on a call.

use tokio::sync::mpsc::Receiver;
use tracing::error;

use super::approval::{self, About};
use super::arguments;
use super::words::{Words, with};
use super::work::Work;
use prx_base::text::is_seen;
use prx_mcp::Question;
use prx_mcp::door::Answer;
use prx_store::{Decision, Elicitation};

/// Puts a call's questions to the person, one after the other, until the call is over.
pub(super) async fn answer(work: &Work<'_>, call: About<'_>, mut questions: Receiver<Question>) {
    let About { call, tool, arguments, .. } = call;
    while let Some(mut question) = questions.recv().await {
        if question.is_withdrawn() {
            continue;
        }
        let words = match asked(work.words(), &question.server, &question.asked) {
            Ok(words) => words,
            Err(why) => {
                question.decline(format!("it can't be shown: {why}"));
                continue;
            }
        };
        let about =
            About { call, tool, arguments, elicitation: Some(question.asked.clone()), question: None };
        let decided = approval::put(work, about, words, question.withdrawn()).await;
        question.answer(match decided {
            Ok(Decision::Allow) => Answer::Accepted,
            Ok(Decision::Deny | Decision::Chosen(_)) => Answer::Declined,
            Ok(Decision::Expired) => Answer::None,
            Err(error) => {
                error!(%error, "what the server of a tool asks can't be put to the user");
                Answer::None
            }
        });
    }
}

/// What a person is asked, in Markdown: the server's words as they are, and what yes means.
///
/// # Errors
/// What yes answers can't be shown; says why.
fn asked(words: &Words, server: &str, asked: &Elicitation) -> Result<String, String> {
    let said = format!("{}\n\n{}", with(words.server_asks, server), quoted(&asked.message));
    if let Some(url) = &asked.url {
        return Ok(format!("{said}\n\n{}\n\n{}", words.page, quoted(url)));
    }
    match &asked.content {
        Some(content) if content.as_object().is_some_and(|content| !content.is_empty()) => {
            let content = arguments::shown(content)?;
            Ok(format!("{said}\n\n{}\n\n```json\n{content}\n```", words.yes_answers))
        }
        _ => Ok(said),
    }
}

/// A text in a block that nothing in it ends. What is not seen in it is left out.
fn quoted(text: &str) -> String {
    let text: String = text.chars().filter(|c| is_seen(*c) || *c == '\n').collect();
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}\n{}\n{fence}", text.trim())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::words::of;
    use super::*;

    fn about(message: &str) -> Elicitation {
        Elicitation { number: 1, message: message.into(), url: None, content: Some(json!({})) }
    }

    #[test]
    fn a_person_is_shown_whose_words_they_are_and_what_yes_means() {
        assert_eq!(
            asked(of(None), "near", &about("Sure?\n[Yes](https://evil.example)")).unwrap(),
            "The MCP server `near` asks:\n\n```\nSure?\n[Yes](https://evil.example)\n```"
        );
        let form = Elicitation { content: Some(json!({"sure": true})), ..about("Sure?") };
        assert!(
            asked(of(None), "near", &form)
                .unwrap()
                .ends_with("Yes answers this:\n\n```json\n{\n  \"sure\": true\n}\n```")
        );
        let page = Elicitation { url: Some("https://example.org/a".into()), content: None, ..about("Sure?") };
        let shown = asked(of(None), "near", &page).unwrap();
        assert!(
            shown.contains("if you don't trust it") && shown.ends_with("```\nhttps://example.org/a\n```")
        );
        let many: serde_json::Map<_, _> = (0..50).map(|n| (format!("f{n}"), json!(true))).collect();
        let form = Elicitation { content: Some(many.into()), ..about("Sure?") };
        assert!(asked(of(None), "near", &form).unwrap_err().contains("more than the 40"));
    }

    #[test]
    fn nothing_in_a_question_ends_its_block_or_hides_in_it() {
        assert_eq!(quoted("a\u{202e}b\u{1b}[2J\r\n``` x"), "````\nab[2J\n``` x\n````");
        assert_eq!(quoted("a `b` ``c``"), "```\na `b` ``c``\n```");
    }
}
