//! `parse_mode` HTML, as far as the platform reads it: what a text says once its tags are taken as marks.

const TAGS: [&str; 15] = [
    "a",
    "b",
    "strong",
    "i",
    "em",
    "u",
    "ins",
    "s",
    "strike",
    "del",
    "span",
    "tg-spoiler",
    "code",
    "pre",
    "blockquote",
];

/// The text without its marks, or why the platform can't read it.
pub(super) fn plain(html: &str) -> Result<String, String> {
    let mut text = String::with_capacity(html.len());
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&']) {
        let (before, special) = rest.split_at(at);
        text.push_str(before);
        rest = match special.strip_prefix('<') {
            Some(tag) => {
                let (tag, after) = tag.split_once('>').ok_or("Unclosed start tag")?;
                mark(tag, &mut open)?;
                after
            }
            None => entity(special, &mut text),
        };
    }
    text.push_str(rest);
    match open.pop() {
        Some(tag) => Err(format!("Can't find end tag corresponding to start tag {tag}")),
        None => Ok(text),
    }
}

fn mark<'a>(tag: &'a str, open: &mut Vec<&'a str>) -> Result<(), String> {
    if let Some(name) = tag.strip_prefix('/') {
        return match open.pop() {
            Some(opened) if opened == name => Ok(()),
            _ => Err(format!("Unexpected end tag {name}")),
        };
    }
    let name = tag.split_whitespace().next().unwrap_or_default();
    if !TAGS.contains(&name) {
        return Err(format!("Unsupported start tag \"{name}\""));
    }
    open.push(name);
    Ok(())
}

/// Reads one entity; an ampersand that begins none is itself.
fn entity<'a>(special: &'a str, text: &mut String) -> &'a str {
    let known = [("&lt;", '<'), ("&gt;", '>'), ("&amp;", '&'), ("&quot;", '"')];
    let (name, character) =
        known.into_iter().find(|(name, _)| special.starts_with(name)).unwrap_or(("&", '&'));
    text.push(character);
    &special[name.len()..]
}
