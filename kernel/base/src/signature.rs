//! Signatures of Standard Webhooks 1.0, symmetric: `v1,` and HMAC-SHA256.

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use sha2::Sha256;

use crate::config::Secret;
use crate::error::{Error, Result};

const PREFIX: &str = "whsec_";
/// Takes base64 with its padding or without.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A new secret of 256 bits.
///
/// # Errors
/// The system has no randomness to give.
pub fn make_secret() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(Error::internal)?;
    Ok(format!("{PREFIX}{}", STANDARD.encode(bytes)))
}

/// The value of the header `webhook-signature`.
///
/// # Errors
/// The secret can't be used as a key.
pub fn sign(secret: &Secret, id: &str, at: Timestamp, body: &str) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key(secret.expose())).map_err(Error::internal)?;
    mac.update(format!("{id}.{}.{body}", at.as_second()).as_bytes());
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// How old or how early a signature may be: 5 minutes.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// Whether a message that came with these headers was signed with this secret, a short while ago.
///
/// # Errors
/// Says which of it is wrong.
pub fn verify(
    secret: &Secret,
    header: impl Fn(&str) -> Option<String>,
    body: &[u8],
    now: Timestamp,
) -> std::result::Result<(), &'static str> {
    let id = header("webhook-id").ok_or("the header webhook-id is missing")?;
    let at = header("webhook-timestamp").ok_or("the header webhook-timestamp is missing")?;
    let signatures = header("webhook-signature").ok_or("the header webhook-signature is missing")?;
    let Some(signed_at) = at.parse().ok().and_then(|second| Timestamp::from_second(second).ok()) else {
        return Err("the header webhook-timestamp is no Unix second");
    };
    if now.duration_since(signed_at).abs() > TOLERANCE {
        return Err("the signature is older than five minutes, or from the future");
    }
    let keyed = mac(&key(secret.expose())).ok_or("the secret can't be used")?;
    let expected = keyed.chain_update(format!("{id}.{at}.")).chain_update(body);
    let mut given =
        signatures.split(' ').filter_map(|signature| LENIENT.decode(signature.strip_prefix("v1,")?).ok());
    if given.any(|signature| expected.clone().verify_slice(&signature).is_ok()) {
        Ok(())
    } else {
        Err("no signature is right")
    }
}

/// HMAC-SHA256 with this key.
pub fn mac(key: &[u8]) -> Option<Hmac<Sha256>> {
    Hmac::new_from_slice(key).ok()
}

/// The bytes that a secret stands for: what its base64 means, where it has the prefix and is base64, or itself.
fn key(secret: &str) -> Vec<u8> {
    let decoded = secret.strip_prefix(PREFIX).and_then(|text| LENIENT.decode(text).ok());
    decoded.filter(|key| !key.is_empty()).unwrap_or_else(|| secret.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &str = r#"{"test": 2432232314}"#;

    fn signed(secret: &str) -> String {
        let at = Timestamp::from_second(1_614_265_330).unwrap();
        sign(&Secret::new(secret), ID, at, BODY).unwrap()
    }

    #[test]
    fn the_standards_own_example_comes_out() {
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signed("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), expected);
    }

    /// Computed with Python's `hmac`.
    #[test]
    fn whatever_is_no_base64_is_the_key_itself() {
        assert_eq!(signed("correct horse"), "v1,ZquVke8vjahY5FUylxSXNumFQQGbjldZLz39AEzazrc=");
        assert_eq!(signed("whsec_xxxxxxxxxxx"), "v1,1DZAti5LlCSk4EzJ8sTY2Rpr+xXVtTPBAf60WJcDpLA=");
    }

    #[test]
    fn what_is_signed_is_verified_for_a_while() {
        let (secret, at) = (Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), 1_614_265_330);
        let check = |id: &str, signature: &str, body: &str, now: i64| {
            let header = |name: &str| match name {
                "webhook-id" => Some(id.to_owned()),
                "webhook-timestamp" => Some(at.to_string()),
                _ => Some(signature.to_owned()),
            };
            verify(&secret, header, body.as_bytes(), Timestamp::from_second(now).unwrap())
        };
        let right = signed(secret.expose());
        for signature in [&right, &format!("v1,AAAA {right}"), &right.trim_end_matches('=').to_owned()] {
            assert_eq!(check(ID, signature, BODY, at + 299), Ok(()), "{signature}");
        }
        assert!(check(ID, &right, BODY, at + 301).is_err() && check(ID, &right, BODY, at - 301).is_err());
        assert!(check("other", &right, BODY, at).is_err() && check(ID, &right, "{}", at).is_err());
        for signature in ["", "v1,", "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", &right[3..]] {
            assert!(check(ID, signature, BODY, at).is_err(), "{signature}");
        }
        assert!(verify(&secret, |_| None, b"", Timestamp::UNIX_EPOCH).unwrap_err().contains("webhook-id"));
    }

    #[test]
    fn a_made_secret_is_256_bits_and_never_the_same() {
        let (one, other) = (make_secret().unwrap(), make_secret().unwrap());
        assert_ne!(one, other);
        assert_eq!(key(&one).len(), 32);
    }

    #[test]
    fn padding_may_be_left_out() {
        assert_eq!(key("whsec_AAECAw"), [0, 1, 2, 3]);
        assert_eq!(key("whsec_AAECAw=="), [0, 1, 2, 3]);
        assert_eq!(key("whsec_"), b"whsec_");
    }
}
