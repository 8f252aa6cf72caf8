//! HTML as far as the platform reads it, that of `parse_mode` and that of rich messages: what a text says once its tags are
//! taken as marks.

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

/// Tags of rich messages besides, as far as texts have any.
const RICH_TAGS: [&str; 20] = [
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "p",
    "ul",
    "ol",
    "li",
    "blockquote",
    "table",
    "tr",
    "th",
    "td",
    "tg-math",
    "tg-math-block",
    "br",
    "hr/",
    "input",
];
/// Those of them that count as blocks.
const BLOCKS: [&str; 14] =
    ["h1", "h2", "h3", "h4", "h5", "h6", "p", "ul", "ol", "li", "blockquote", "table", "tr", "tg-math-block"];

/// The text without its marks, or why the platform can't read it.
pub(super) fn plain(html: &str) -> Result<String, String> {
    read(html, false)
}

/// What a rich message says, a line a block, or why the platform does not take it.
pub(super) fn rich(html: &str) -> Result<String, String> {
    let blocks =
        html.split('<').filter(|tag| BLOCKS.iter().any(|name| tag.split([' ', '>']).next() == Some(name)));
    if blocks.count() > 500 {
        return Err("too many blocks".to_owned());
    }
    let text = read(html, true)?;
    let lines: Vec<_> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    Ok(lines.join("\n"))
}

fn read(html: &str, is_rich: bool) -> Result<String, String> {
    let mut text = String::with_capacity(html.len());
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&']) {
        let (before, special) = rest.split_at(at);
        text.push_str(before);
        rest = match special.strip_prefix('<') {
            Some(tag) => {
                let (tag, after) = tag.split_once('>').ok_or("Unclosed start tag")?;
                let name = tag.trim_start_matches('/').split_whitespace().next().unwrap_or_default();
                let is_known = TAGS.contains(&name) || (is_rich && RICH_TAGS.contains(&name));
                if !is_known {
                    return Err(format!("Unsupported start tag \"{name}\""));
                }
                mark(tag, name, &mut open)?;
                text.push_str(match name {
                    _ if !is_rich => "",
                    "th" | "td" => " ",
                    "br" | "pre" => "\n",
                    _ if BLOCKS.contains(&name) => "\n",
                    _ => "",
                });
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

fn mark<'a>(tag: &'a str, name: &'a str, open: &mut Vec<&'a str>) -> Result<(), String> {
    match tag.starts_with('/') {
        _ if matches!(name, "br" | "hr/" | "input") => Ok(()),
        false => {
            open.push(name);
            Ok(())
        }
        true if open.pop() == Some(name) => Ok(()),
        true => Err(format!("Unexpected end tag {name}")),
    }
}

/// Reads one entity; an ampersand that begins none is itself.
fn entity<'a>(special: &'a str, text: &mut String) -> &'a str {
    let known = [("&lt;", '<'), ("&gt;", '>'), ("&amp;", '&'), ("&quot;", '"')];
    let (name, character) =
        known.into_iter().find(|(name, _)| special.starts_with(name)).unwrap_or(("&", '&'));
    text.push(character);
    &special[name.len()..]
}
