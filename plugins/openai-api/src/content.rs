//! What a message holds: text, and pictures in data URLs.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use prx_sdk::blobs;
use prx_sdk::turns::Attachment;
use serde_json::Value;

use crate::error::Refusal;

/// Most bytes of one picture, decoded.
const MAX_PICTURE: usize = 20 << 20;
/// Most pictures of one request.
pub(crate) const MAX_PICTURES: usize = 32;

/// The content of a message.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) text: String,
    pub(crate) files: Vec<Attachment>,
}

/// Reads a message's content. `at` is where it stands; pictures are read only of people's messages.
pub(crate) fn read(content: &Value, at: &str, pictures: bool) -> Result<Content, Refusal> {
    match content {
        Value::Null => Ok(Content::default()),
        Value::String(text) => Ok(Content { text: text.clone(), files: Vec::new() }),
        Value::Array(parts) => {
            let mut read = Content::default();
            for (n, part) in parts.iter().enumerate() {
                add(&mut read, part, &format!("{at}.content[{n}]"), pictures)?;
            }
            Ok(read)
        }
        _ => Err(Refusal::of(format!("{at}.content"), "takes a text, or a list of parts")),
    }
}

fn add(read: &mut Content, part: &Value, at: &str, pictures: bool) -> Result<(), Refusal> {
    let kind = part["type"].as_str().unwrap_or_default();
    match kind {
        "text" | "refusal" => {
            let text =
                part[kind].as_str().ok_or_else(|| Refusal::of(format!("{at}.{kind}"), "takes a text"))?;
            let gap = if read.text.is_empty() { "" } else { "\n" };
            read.text.push_str(&format!("{gap}{text}"));
            Ok(())
        }
        "image_url" if pictures => {
            let image = &part["image_url"];
            let url = image.as_str().or_else(|| image["url"].as_str());
            let at = format!("{at}.image_url.url");
            let url = url.ok_or_else(|| Refusal::of(&at, "takes a text"))?;
            read.files.push(picture(url, &at)?);
            Ok(())
        }
        _ => Err(Refusal::unsupported(
            format!("{at}.type"),
            format!("{kind:?} is not taken here; there are text and, of users, image_url"),
        )),
    }
}

/// Makes a file of a picture in a data URL.
fn picture(url: &str, at: &str) -> Result<Attachment, Refusal> {
    let Some(rest) = url.strip_prefix("data:") else {
        return Err(Refusal::unsupported(
            at,
            "pictures are taken as data URLs, such as data:image/png;base64,…; none is fetched from elsewhere",
        ));
    };
    let (mime, data) = rest
        .split_once(";base64,")
        .ok_or_else(|| Refusal::of(at, "a data URL of a picture is written data:image/png;base64,…"))?;
    if !mime.starts_with("image/") || mime.len() > 64 {
        return Err(Refusal::unsupported(at, format!("{mime:?} is no picture")));
    }
    if data.len() / 4 * 3 > MAX_PICTURE {
        return Err(Refusal::of(at, format!("a picture has {MAX_PICTURE} bytes at most")));
    }
    let data = data.trim();
    let bytes = STANDARD.decode(data).or_else(|_| STANDARD_NO_PAD.decode(data));
    let bytes = bytes.map_err(|error| Refusal::of(at, format!("is not base64: {error}")))?;
    let kind = mime.split(['/', '+', ';']).nth(1).unwrap_or("img");
    Ok(blobs::make(&format!("picture.{kind}"), mime, &bytes)?)
}
