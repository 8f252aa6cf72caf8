//! Interactions that the platform posts to the channel's own address, signed with the application's key.

use ed25519_dalek::{Signature, VerifyingKey};
use prx_sdk::connector::{Commands, Context, LogLevel, Webhook, WebhookReply};
use serde_json::{Value, json};

use crate::config::Config;
use crate::interact::{self, Interaction};
use crate::state::State;

/// Answers a call at once; what it brings is delivered in the same step.
pub(crate) fn called(cx: &Context<Config>, state: &mut State, call: &Webhook, out: &mut Commands) {
    let (status, body) = match answer(cx, state, call, out) {
        Ok(body) => (200, body),
        Err((status, why)) => {
            out.log(LogLevel::Warn, format!("an interaction was refused with {status}: {why}"));
            (status, json!({"error": why}))
        }
    };
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    out.webhook_reply(call.token, WebhookReply { status, headers, body: body.to_string().into_bytes() });
}

fn answer(
    cx: &Context<Config>,
    state: &mut State,
    call: &Webhook,
    out: &mut Commands,
) -> Result<Value, (u16, &'static str)> {
    if call.method != "POST" {
        return Err((405, "interactions are posted"));
    }
    let key = key(&cx.config.public_key).map_err(|why| (401, why))?;
    if !is_signed(call, &key) {
        return Err((401, "the signature does not fit public_key"));
    }
    let interaction = serde_json::from_slice::<Interaction>(&call.body).ok();
    match interaction.filter(Interaction::is_whole) {
        Some(interaction) => Ok(interact::take(cx, state, interaction, out)),
        None => Err((400, "no interaction that can be read")),
    }
}

fn key(configured: &str) -> Result<VerifyingKey, &'static str> {
    if configured.is_empty() {
        return Err("set public_key to the one that the application's page in the developer portal shows");
    }
    let key = bytes(configured.trim()).and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
    key.ok_or("public_key is no key: copy it from the application's page in the developer portal")
}

fn is_signed(call: &Webhook, key: &VerifyingKey) -> bool {
    let header = |name: &str| call.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value);
    let (Some(signature), Some(timestamp)) = (header("x-signature-ed25519"), header("x-signature-timestamp"))
    else {
        return false;
    };
    let Some(signature) = bytes(signature).map(|bytes| Signature::from_bytes(&bytes)) else { return false };
    let signed = [timestamp.as_bytes(), &call.body].concat();
    key.verify_strict(&signed, &signature).is_ok()
}

/// Hexadecimal digits as bytes, if there are exactly so many.
fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let digits: Vec<u8> =
        hex.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    let pairs: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    if digits.len() == 2 * N { pairs.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_are_read_and_nothing_else() {
        assert_eq!(bytes("00fFa0"), Some([0, 255, 160]));
        for text in ["", "00ff", "00ffa", "00ffa00", "00ffg0", "００ff00"] {
            assert_eq!(bytes::<3>(text), None, "{text}");
        }
    }
}
