//! What a message shows beside its text, and names in place of ids, in words.

use serde_json::Value;

use crate::message::{Message, User};

/// Most characters of one thing that is shown.
const MAX_CHARS: usize = 1_000;
/// Most things that are shown of a message.
const MAX_SHOWN: usize = 10;
/// Most levels of components in each other.
const MAX_DEPTH: usize = 5;
/// The kind of a component that is text.
const TEXT_DISPLAY: u64 = 10;

/// The lines that say what a message shows beside its text and its files.
pub(crate) fn lines(message: &Message) -> Vec<String> {
    let text =
        |value: &Value| value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let stickers = message.sticker_items.iter().map(|sticker| match text(&sticker["name"]) {
        Some(name) => format!("[sticker {name}]"),
        None => "[sticker]".to_owned(),
    });
    let poll = message.poll.as_ref().map(|poll| {
        let answers = poll["answers"].as_array().into_iter().flatten();
        let answer = |answer: &Value| {
            let media = &answer["poll_media"];
            text(&media["text"]).or_else(|| text(&media["emoji"]["name"]))
        };
        let answers: Vec<_> = answers.take(MAX_SHOWN).filter_map(answer).collect();
        let question = text(&poll["question"]["text"]).unwrap_or_default();
        format!("[poll {question:?}: {}]", answers.join(" / "))
    });
    let embeds = message.embeds.iter().filter_map(|embed| {
        let fields = embed["fields"].as_array().into_iter().flatten().take(MAX_SHOWN);
        let fields =
            fields.filter_map(|field| Some(format!("{}: {}", text(&field["name"])?, text(&field["value"])?)));
        let whole = [&embed["author"]["name"], &embed["title"], &embed["description"]].map(text);
        let parts = whole.into_iter().flatten().chain(fields);
        let parts: Vec<_> = parts.chain(text(&embed["footer"]["text"])).chain(text(&embed["url"])).collect();
        (!parts.is_empty()).then(|| format!("[embed {}]", parts.join(" | ")))
    });
    let voice = message
        .attachments
        .iter()
        .filter_map(|file| file.duration_secs)
        .map(|seconds| format!("[a voice message of {} s]", seconds.clamp(0.0, 1e6).round()));
    let voice = voice.take(if message.is_voice() { 1 } else { 0 });
    let activity = message.activity.iter().map(|_| "[an invitation to an activity]".to_owned());
    let mut card = Vec::new();
    message.components.iter().for_each(|component| texts(component, MAX_DEPTH, &mut card));
    let card = (!card.is_empty()).then(|| format!("[card {}]", card.join(" | ")));
    let all = voice.chain(stickers.take(MAX_SHOWN)).chain(poll).chain(activity).chain(embeds.take(MAX_SHOWN));
    let all = all.chain(card);
    all.map(|line| shortened(&line)).collect()
}

/// The texts of a component and of those in it.
fn texts(component: &Value, depth: usize, found: &mut Vec<String>) {
    if depth == 0 || found.len() >= MAX_SHOWN {
        return;
    }
    if component["type"] == TEXT_DISPLAY
        && let Some(text) = component["content"].as_str().map(str::trim).filter(|text| !text.is_empty())
    {
        found.push(text.to_owned());
    }
    for inner in component["components"].as_array().into_iter().flatten() {
        texts(inner, depth - 1, found);
    }
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(MAX_CHARS) {
        Some((at, _)) => format!("{}…]", &line[..at]),
        None => line.to_owned(),
    }
}

/// The id of the role that is the bot's own, and the bot's name.
pub(crate) type OwnRole<'a> = Option<(&'a str, &'a str)>;

/// The text with names for what it mentions, as far as they came along; in code nothing is a mention.
pub(crate) fn named(message: &Message, own: OwnRole<'_>, text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(['<', '`']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (shown, length) = if rest.starts_with('`') {
            let length = code(rest);
            (rest[..length].to_owned(), length)
        } else {
            mention(message, own, rest).unwrap_or_else(|| ("<".to_owned(), 1))
        };
        out.push_str(&shown);
        rest = &rest[length..];
    }
    out.push_str(rest);
    out
}

/// The length of the code that begins here, or of its signs if it does not end.
fn code(text: &str) -> usize {
    let signs = text.len() - text.trim_start_matches('`').len();
    let (mut at, sign) = (signs, &text[..signs]);
    while let Some(found) = text[at..].find(sign) {
        let begin = at + found;
        let run = text[begin..].len() - text[begin..].trim_start_matches('`').len();
        if run == signs {
            return begin + run;
        }
        at = begin + run;
    }
    signs
}

/// What the mention that begins here is called, and its length.
fn mention(message: &Message, own: OwnRole<'_>, text: &str) -> Option<(String, usize)> {
    let end = text.find('>')?;
    let inside = text.get(1..end).filter(|inside| inside.len() <= 120)?;
    let shown = if let Some(id) = inside.strip_prefix("@&") {
        let (_, name) = own.filter(|(role, name)| *role == id && !name.is_empty())?;
        format!("@{name}")
    } else if let Some(id) = inside.strip_prefix("@!").or_else(|| inside.strip_prefix('@')) {
        format!("@{}", message.mentions.iter().find(|user| user.id == id).map(User::name)?)
    } else if let Some(id) = inside.strip_prefix('#') {
        let channel = message.mention_channels.iter().find(|channel| channel["id"] == id)?;
        format!("#{}", channel["name"].as_str()?)
    } else if let Some(command) = inside.strip_prefix('/') {
        format!("/{}", command.rsplit_once(':')?.0)
    } else {
        let emoji = inside.strip_prefix("a:").or_else(|| inside.strip_prefix(':'))?;
        let (name, id) = emoji.split_once(':')?;
        let is_one = !name.is_empty() && !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        is_one.then(|| format!(":{name}:"))?
    };
    Some((shown, end + 1))
}
