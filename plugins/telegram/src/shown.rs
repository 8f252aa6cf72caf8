//! What a message shows that is neither text nor a file, in words.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::update::Raw;

/// Most characters of one thing that is shown.
const MAX_CHARS: usize = 1_000;
/// Most items of a list that are shown.
const MAX_ITEMS: usize = 30;

/// The line that says what the message of an update shows, of the kinds that people send.
pub(crate) fn line(update: &RawValue) -> Option<String> {
    of(&serde_json::from_str::<Raw>(update.get()).ok()?.message)
}

/// The line that says what a message shows.
pub(crate) fn of(message: &Value) -> Option<String> {
    let words = place(message).or_else(|| list(message)).or_else(|| single(message))?;
    let line = format!("[{words}]");
    Some(match line.char_indices().nth(MAX_CHARS) {
        Some((at, _)) => format!("{}…]", &line[..at]),
        None => line,
    })
}

fn text(value: &Value) -> Option<&str> {
    value.as_str().map(str::trim).filter(|text| !text.is_empty())
}

/// The words with what the platform says of it, if it does.
fn with(words: &str, what: Option<&str>) -> String {
    what.map_or_else(|| words.to_owned(), |what| format!("{words} {what}"))
}

fn place(message: &Value) -> Option<String> {
    let at = |location: &Value| {
        Some(format!("{}, {}", location["latitude"].as_f64()?, location["longitude"].as_f64()?))
    };
    // A venue has a location beside it, for those who know no venues.
    if let Some(venue) = message.get("venue") {
        let parts = [text(&venue["title"]), text(&venue["address"])].into_iter().flatten().map(str::to_owned);
        return Some(format!("venue {}", parts.chain(at(&venue["location"])).collect::<Vec<_>>().join(", ")));
    }
    let location = message.get("location")?;
    let kind = if location["live_period"].is_u64() { "live location" } else { "location" };
    Some(with(kind, at(location).as_deref()))
}

fn list(message: &Value) -> Option<String> {
    let items = |items: &Value, mark: &dyn Fn(&Value) -> &'static str| {
        let items = items.as_array().into_iter().flatten().take(MAX_ITEMS);
        let items = items.filter_map(|item| Some(format!("{}{}", mark(item), text(&item["text"])?)));
        items.collect::<Vec<_>>().join(" / ")
    };
    if let Some(poll) = message.get("poll") {
        let question = text(&poll["question"]).unwrap_or_default();
        return Some(format!("poll {question:?}: {}", items(&poll["options"], &|_| "")));
    }
    let list = message.get("checklist")?;
    let done = |task: &Value| if task["completion_date"].as_u64() > Some(0) { "☑ " } else { "☐ " };
    let title = text(&list["title"]).unwrap_or_default();
    Some(format!("checklist {title:?}: {}", items(&list["tasks"], &done)))
}

fn single(message: &Value) -> Option<String> {
    if let Some(contact) = message.get("contact") {
        let names = [text(&contact["first_name"]), text(&contact["last_name"])];
        let name = names.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let parts = [Some(name.as_str()), text(&contact["phone_number"])].into_iter().flatten();
        return Some(format!("contact {}", parts.collect::<Vec<_>>().join(", ")));
    }
    if let Some(dice) = message.get("dice") {
        return Some(with(
            &with("dice", text(&dice["emoji"])),
            dice["value"].as_u64().map(|n| n.to_string()).as_deref(),
        ));
    }
    if let Some(paid) = message.get("paid_media") {
        return Some(format!("paid media for {} stars", paid["star_count"].as_u64().unwrap_or_default()));
    }
    let kinds = [
        ("sticker", "sticker", "emoji"),
        ("game", "game", "title"),
        ("invoice", "invoice", "title"),
        ("story", "story", ""),
        ("giveaway", "giveaway", "prize_description"),
        ("giveaway_winners", "winners of a giveaway", "prize_description"),
        ("gift", "gift", "text"),
        ("unique_gift", "gift", "text"),
        ("web_app_data", "data of a web app", "data"),
    ];
    let (key, words, detail) = kinds.into_iter().find(|(key, ..)| message.get(key).is_some())?;
    Some(with(words, text(&message[key][detail])))
}
