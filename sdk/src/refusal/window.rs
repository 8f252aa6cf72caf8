//! The window of a model, as servers speak of it.

/// Codes that say it alone.
const CODES: [&str; 5] = [
    "context_length_exceeded",
    "exceed_context_size_error",
    "request_too_large",
    "model_context_window_exceeded",
    "context_window_exceeded",
];

/// Words that say it alone, in small letters.
const WORDS: [&str; 26] = [
    "prompt is too long",
    "prompt too long",
    "input is too long",
    "input too long",
    "context_length_exceeded",
    "exceed_context_size",
    "maximum context length",
    "maximum prompt length",
    "maximum input length",
    "maximum number of tokens allowed",
    "maximum allowed length",
    "maximum allowed input length",
    "model token limit",
    "exceed context limit",
    "reduce the length of",
    "too many input tokens",
    "input token count",
    "input tokens exceed",
    "range of input length should be",
    "request too large for model",
    "exceeds max length",
    "too many tokens: ",
    "`inputs` must have less than",
    "`max_new_tokens` must be <=",
    "contextwindowexceedederror",
    "max input tokens: ",
];

/// Words for the window, which say it beside one of the next list.
const WINDOW: [&str; 5] =
    ["context length", "context window", "context size", "context limit", "token limit"];
const BEYOND: [&str; 8] =
    ["exceed", "larger", "greater", "longer", "too long", "too large", "beyond", "overflow"];

/// What the window's number stands behind.
const BEFORE_NUMBER: [&str; 22] = [
    " > ",
    "maximum context length is ",
    "maximum context length of ",
    "maximum context length: ",
    "context length (",
    "context length of only ",
    "maximum prompt length is ",
    "maximum number of tokens allowed (",
    "maximum number of tokens allowed ",
    "max input tokens: ",
    "max size: ",
    "cannot exceed ",
    "must have less than ",
    "available context size (",
    "context limit of ",
    "token limit: ",
    "limit of ",
    "limit: ",
    "limit is ",
    "limit ",
    "length should be [1, ",
    "must be <= ",
];

/// What the number of tokens that were asked for stands behind.
const BEFORE_REQUESTED: [&str; 16] = [
    "requested ",
    "prompt is too long: ",
    "input token count (",
    "input token count of ",
    "request contains ",
    "resulted in ",
    "request (",
    "your prompt contains at least ",
    "prompt contains ",
    "given: ",
    "current length is ",
    "your request has ",
    "the input (",
    "request input token count: ",
    "received ",
    "keep the first ",
];

/// Whether it is the length that a server refuses; its words in small letters.
pub(super) fn is_too_long(status: u16, codes: &[String], words: &str) -> bool {
    match status {
        401..=404 => return false,
        // More in one request than the account may send in a minute: it will never go through.
        429 => return words.contains("request too large"),
        413 => return true,
        _ => {}
    }
    let has = |list: &[&str]| list.iter().any(|known| words.contains(known));
    // One message alone may be too long, counted in letters.
    let is_message =
        words.contains("string too long") && ["messages[", "'input"].iter().any(|part| words.contains(part));
    is_message
        || codes.iter().any(|code| CODES.contains(&code.as_str()))
        || has(&WORDS)
        || (has(&WINDOW) && has(&BEYOND))
}

/// The tokens of the window, where the words name them.
pub(super) fn tokens(words: &str) -> Option<u64> {
    let after = BEFORE_NUMBER.iter().find_map(|known| number(&words[words.find(known)? + known.len()..]));
    after.or_else(|| {
        let before = &words[..words.find(" maximum")?];
        number(before.rsplit(' ').next()?)
    })
}

/// The tokens that were asked for, where the words name them.
pub(super) fn requested(words: &str) -> Option<u64> {
    BEFORE_REQUESTED.iter().find_map(|known| number(&words[words.find(known)? + known.len()..]))
}

/// The number at the beginning, with or without commas.
fn number(text: &str) -> Option<u64> {
    let digits: String =
        text.chars().take_while(|c| c.is_ascii_digit() || *c == ',').filter(|c| *c != ',').collect();
    digits.parse().ok().filter(|number| *number > 0)
}
