//! Signatures of components: ed25519 over all bytes before the custom section `prx:signature`, which stands last. The section
//! holds the public key, 32 bytes, and the signature, 64 bytes.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

/// The custom section that holds a signature.
pub const SECTION: &str = "prx:signature";

/// What stands before a public key that is written out, and before a secret one.
const PUBLIC: &str = "ed25519:";
const SECRET: &str = "ed25519-secret:";
const KEY_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 64;
/// Bytes of a component before its first section.
const HEADER_BYTES: usize = 8;

/// Who signs, as everyone may know it. Written as `ed25519:` and base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey([u8; KEY_BYTES]);

/// What signs.
pub struct SigningKey {
    seed: [u8; KEY_BYTES],
    pair: Ed25519KeyPair,
}

/// Why a signature is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There are several.
    #[error("has more than one section `{SECTION}`; sign it anew: `prx plugin sign FILE --key KEY`")]
    Twice,
    /// Something stands behind it that it says nothing of.
    #[error(
        "has {0} bytes behind its section `{SECTION}`, which has to stand last, so that nothing is unsigned; sign it anew: \
         `prx plugin sign FILE --key KEY`"
    )]
    NotLast(usize),
    /// It can't be a key and a signature.
    #[error(
        "has {0} bytes in its section `{SECTION}`; a key and a signature have 96; sign it anew: `prx plugin sign FILE --key KEY`"
    )]
    Length(usize),
    /// It is another component's.
    #[error(
        "was changed after it was signed: its bytes are not those that {0} has signed; get it anew from where it came"
    )]
    Tampered(PublicKey),
}

/// A text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no key: one is written `ed25519:` and 44 characters of base64, as `prx plugin keygen` prints it")]
pub struct NoKey;

/// Who has signed a component; none where nobody has. Takes time in proportion to its size.
///
/// # Errors
/// What is there is no signature of all of it.
pub fn signer(component: &[u8]) -> Result<Option<PublicKey>, SignatureError> {
    let mut found = Sections::of(component);
    let Some(Section { place, data }) = found.next() else { return Ok(None) };
    if found.next().is_some() {
        return Err(SignatureError::Twice);
    }
    if place.end != component.len() {
        return Err(SignatureError::NotLast(component.len() - place.end));
    }
    let length = data.len();
    let signed =
        component[data].split_first_chunk::<KEY_BYTES>().filter(|(_, rest)| rest.len() == SIGNATURE_BYTES);
    let (key, signature) = signed.ok_or(SignatureError::Length(length))?;
    let verified = UnparsedPublicKey::new(&ED25519, key).verify(&component[..place.start], signature);
    verified.map(|()| Some(PublicKey(*key))).map_err(|_| SignatureError::Tampered(PublicKey(*key)))
}

/// A component with this signature instead of any that it had.
pub fn sign(component: &[u8], key: &SigningKey) -> Vec<u8> {
    let (mut bytes, mut from) = (Vec::with_capacity(component.len() + 256), 0);
    for Section { place, .. } in Sections::of(component) {
        bytes.extend_from_slice(&component[from..place.start]);
        from = place.end;
    }
    bytes.extend_from_slice(&component[from..]);
    let signature = key.pair.sign(&bytes);
    let name = SECTION.as_bytes();
    // A custom section has the number 0; each of both lengths fits one byte.
    bytes.extend_from_slice(&[0, (1 + name.len() + KEY_BYTES + SIGNATURE_BYTES) as u8, name.len() as u8]);
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(key.pair.public_key().as_ref());
    bytes.extend_from_slice(signature.as_ref());
    bytes
}

impl SigningKey {
    /// A key of these bytes, which are to be random and nobody else's.
    ///
    /// # Errors
    /// Never, for any 32 bytes are one.
    pub fn from_seed(seed: [u8; KEY_BYTES]) -> Result<Self, NoKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| NoKey)?;
        Ok(Self { seed, pair })
    }

    /// What everyone may know of it.
    pub fn public(&self) -> PublicKey {
        let mut key = [0; KEY_BYTES];
        key.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(key)
    }

    /// All of it, as it is kept in a file.
    pub fn secret_text(&self) -> String {
        format!("{SECRET}{}", STANDARD.encode(self.seed))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public())
    }
}

impl FromStr for SigningKey {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        Self::from_seed(bytes(text, SECRET)?)
    }
}

impl FromStr for PublicKey {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        bytes(text, PUBLIC).map(Self)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC}{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn bytes(text: &str, prefix: &str) -> Result<[u8; KEY_BYTES], NoKey> {
    let encoded = text.trim().strip_prefix(prefix).ok_or(NoKey)?;
    let decoded = STANDARD.decode(encoded).map_err(|_| NoKey)?;
    decoded.try_into().map_err(|_| NoKey)
}

/// A section `prx:signature`: where all of it is, and where its data is.
struct Section {
    place: Range<usize>,
    data: Range<usize>,
}

/// Those of the outermost component, in order. Where the bytes make no sense, they end.
struct Sections<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Sections<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, at: HEADER_BYTES }
    }

    /// A number in LEB128 at a place, and where it ends.
    fn number(&self, at: usize) -> Option<(usize, usize)> {
        let mut number = 0_u64;
        for (n, byte) in self.bytes.get(at..)?.iter().take(5).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * n);
            if byte & 0x80 == 0 {
                return Some((usize::try_from(number).ok()?, at + n + 1));
            }
        }
        None
    }

    /// The next section of any kind: its number, where it begins and where its content is.
    fn step(&mut self) -> Option<(u8, usize, Range<usize>)> {
        let start = self.at;
        let kind = *self.bytes.get(start)?;
        let (length, content) = self.number(start + 1)?;
        let end = content.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        self.at = end;
        Some((kind, start, content..end))
    }
}

impl Iterator for Sections<'_> {
    type Item = Section;

    fn next(&mut self) -> Option<Section> {
        loop {
            let (kind, start, content) = self.step()?;
            let Some((length, name)) = self.number(content.start).filter(|_| kind == 0) else { continue };
            let Some(data) = name.checked_add(length).filter(|end| *end <= content.end) else { continue };
            if self.bytes[name..data] == *SECTION.as_bytes() {
                return Some(Section { place: start..content.end, data: data..content.end });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component of two empty custom sections.
    fn component() -> Vec<u8> {
        [b"\0asm\x0d\0\x01\0".as_slice(), b"\0\x02\x01a", b"\0\x03\x01b!"].concat()
    }

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed([seed; 32]).expect("a key")
    }

    #[test]
    fn what_was_signed_and_nothing_else_is_of_who_signed_it() {
        assert_eq!(signer(&component()), Ok(None));
        let signed = sign(&component(), &key(1));
        assert_eq!(signer(&signed), Ok(Some(key(1).public())));
        assert_eq!(sign(&sign(&signed, &key(2)), &key(1)), signed, "signed anew, it has one signature");
        for at in 0..signed.len() {
            let mut changed = signed.clone();
            changed[at] ^= 1;
            assert_ne!(signer(&changed), Ok(Some(key(1).public())), "byte {at}");
        }
        let mut tampered = signed.clone();
        tampered[15] ^= 1;
        assert_eq!(signer(&tampered), Err(SignatureError::Tampered(key(1).public())));
    }

    #[test]
    fn a_signature_stands_alone_and_last() {
        let signed = sign(&component(), &key(1));
        let signature = &signed[component().len()..];
        let appended = |rest: &[u8]| [signed.as_slice(), rest].concat();
        assert_eq!(signer(&appended(signature)), Err(SignatureError::Twice));
        assert_eq!(signer(&appended(b"\0\x02\x01a")), Err(SignatureError::NotLast(4)));
        assert_eq!(
            signer(&appended(b"\x7f")),
            Err(SignatureError::NotLast(1)),
            "not even what makes no sense"
        );
        let short = [component().as_slice(), b"\0\x0f\x0dprx:signature!"].concat();
        assert_eq!(signer(&short), Err(SignatureError::Length(1)));
        for cut in component().len() + 1..signed.len() {
            assert_eq!(
                signer(&signed[..cut]),
                Ok(None),
                "half a section is for the reader of components to refuse"
            );
        }
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        let (secret, public) = (key(7).secret_text(), key(7).public().to_string());
        assert_eq!(
            format!("{secret}\n").parse::<SigningKey>().map(|key| key.public()).ok(),
            public.parse().ok()
        );
        for wrong in ["", "ed25519:", &public[8..], secret.as_str(), public.replace("=", "").as_str()] {
            assert_eq!(wrong.parse::<PublicKey>(), Err(NoKey), "{wrong}");
        }
        assert!(!format!("{:?}", key(7)).contains(&secret[15..]));
    }
}
