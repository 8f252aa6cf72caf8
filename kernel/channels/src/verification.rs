//! Whether a webhook is its platform's own, by the rule in the manifest. The connector could not tell: it sees no
//! secret.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use jiff::Timestamp;
use subtle::ConstantTimeEq;

use super::challenge::Answerer;
use super::webhook::{Webhook, WebhookReply};
use prx_base::config::Secret;
use prx_base::signature;
use prx_egress::Policy;
use prx_host::manifest::{Encoding, Manifest, Piece, Scheme, Verification};

/// From here on a Unix time is one in milliseconds.
const MILLIS_FROM: u64 = 100_000_000_000;

/// A rule, and the secret that it goes by.
pub(super) struct Verifier {
    rule: Verification,
    secret: Option<Secret>,
    challenge: Option<Answerer>,
}

impl Verifier {
    /// None where the manifest has no rule: the connector looks for itself.
    pub(super) fn new(manifest: &Manifest, policy: &Policy) -> Option<Self> {
        let rule = manifest.channel.as_ref()?.webhook.as_ref()?.get_ref().clone();
        let secret = policy.secrets().get(&rule.secret).cloned();
        let challenge = rule.challenge.clone().map(|challenge| {
            let secret = challenge.secret.as_ref().and_then(|name| policy.secrets().get(name).cloned());
            Answerer::new(challenge, secret)
        });
        Some(Self { rule, secret, challenge })
    }

    /// The answer to the platform's question whether its webhooks are wanted. None: the webhook is verified, and the
    /// connector's to handle.
    ///
    /// # Errors
    /// Says what is wrong, for the operator.
    pub(super) fn admit(&self, webhook: &Webhook, now: Timestamp) -> Result<Option<WebhookReply>, String> {
        let asked = self.challenge.as_ref().and_then(|challenge| challenge.asked(webhook));
        if asked.is_some() {
            return Ok(asked);
        }
        self.verify(webhook, now)?;
        Ok(self.challenge.as_ref().and_then(|challenge| challenge.posted(webhook)))
    }

    /// Checks a webhook against the rule.
    ///
    /// # Errors
    /// Says what is wrong, for the operator.
    fn verify(&self, webhook: &Webhook, now: Timestamp) -> Result<(), String> {
        let Some(secret) = &self.secret else {
            return Err(format!(
                "`{}` is not set, so that nobody can be told from the platform",
                self.rule.secret
            ));
        };
        let header = |name: &str| webhook.header(name);
        if self.rule.scheme == Scheme::StandardWebhooks {
            let header = |name: &str| header(name).map(str::to_owned);
            return signature::verify(secret, header, &webhook.body, now).map_err(str::to_owned);
        }
        let name = self.rule.header.as_ref().map_or("", |name| name.as_str());
        let shown = header(name).ok_or_else(|| format!("the header {name} is missing"))?;
        let genuine = match self.rule.scheme {
            Scheme::HmacSha256 => {
                self.check_age(webhook, now)?;
                self.is_signed(shown, secret, webhook)?
            }
            _ => shown.as_bytes().ct_eq(secret.expose().as_bytes()).into(),
        };
        if genuine { Ok(()) } else { Err(format!("the header {name} does not show the secret")) }
    }

    /// Whether it is as old as the rule lets it be. Its time is signed, as the manifest's check sees to.
    fn check_age(&self, webhook: &Webhook, now: Timestamp) -> Result<(), String> {
        let (Some(most), Some(name)) = (self.rule.max_age, self.rule.timestamp()) else { return Ok(()) };
        let shown = webhook.header(name.as_str()).ok_or_else(|| format!("the header {name} is missing"))?;
        let number: i64 = shown.parse().map_err(|_| format!("the header {name} is no Unix time"))?;
        let seconds = if number.unsigned_abs() >= MILLIS_FROM { number / 1000 } else { number };
        if now.as_second().abs_diff(seconds) > u64::from(most) {
            return Err(format!(
                "the request is older than {most} seconds, or from the future: {name} is {number}"
            ));
        }
        Ok(())
    }

    /// # Errors
    /// A header that is signed is missing, or could be read as more than itself.
    fn is_signed(&self, shown: &str, secret: &Secret, webhook: &Webhook) -> Result<bool, String> {
        use hmac::Mac;
        let signature =
            shown.strip_prefix(self.rule.prefix.as_str()).and_then(|text| match self.rule.encoding {
                Encoding::Hex => from_hex(text),
                Encoding::Base64 => STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok(),
            });
        let mac = signature::mac(secret.expose().as_bytes());
        let (Some(signature), Some(mut mac)) = (signature, mac) else { return Ok(false) };
        let pieces = &self.rule.signed.0;
        for (piece, next) in pieces.iter().zip(pieces.iter().skip(1).map(Some).chain([None])) {
            match piece {
                Piece::Text(text) => mac.update(text.as_bytes()),
                Piece::Body => mac.update(&webhook.body),
                Piece::Header(name) => {
                    let value = webhook
                        .header(name.as_str())
                        .ok_or_else(|| format!("the header {name} is missing"))?;
                    // It ends where what follows it begins: nothing of the body can be moved into it.
                    if let Some(Piece::Text(text)) = next
                        && value.contains(text.as_str())
                    {
                        return Err(format!(
                            "the header {name} has {text:?} in it, which ends it in what is signed"
                        ));
                    }
                    mac.update(value.as_bytes());
                }
            }
        }
        Ok(mac.verify_slice(&signature).is_ok())
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|digit| u8::try_from(digit.to_digit(16)?).ok()).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: &str, headers: &[(&str, &str)]) -> Result<(), String> {
        check_at(rule, headers, ("Jefe", "what do ya want for nothing?", 0))
    }

    fn check_at(
        rule: &str,
        headers: &[(&str, &str)],
        (key, body, now): (&str, &str, i64),
    ) -> Result<(), String> {
        let text = format!(
            "[plugin]\nname='t'\nversion='1'\n[permissions]\nsecrets=['key']\n[config.key]\ntype='string'\n\
             secret=true\n[channel.webhook]\nsecret='key'\n{rule}"
        );
        let secrets = [("key".to_owned(), Secret::new(key))].into_iter().collect();
        let policy = Policy::new(Vec::new(), secrets);
        let verifier = Verifier::new(&Manifest::parse(&text).unwrap(), &policy).unwrap();
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let body = body.as_bytes().to_vec();
        let (method, path, query) = ("POST".into(), String::new(), String::new());
        verifier.verify(&Webhook { method, path, query, headers, body }, Timestamp::from_second(now).unwrap())
    }

    #[test]
    fn a_signature_may_be_of_more_than_the_body_and_of_a_certain_age() {
        const KEY: &str = "Jefe";
        const BODY: &str = "text=hello";
        const SIGNATURE: &str = "v0=3a2456bf7321b60deb044979642104141b96de9cc2fb60e0037aa3b38b321544";
        const AT: i64 = 1_531_420_618;
        let rule = "scheme='hmac-sha256'\nheader='x-sig'\nprefix='v0='\nmax_age=300\n\
                    signed='v0:{header:x-time}:{body}'";
        let at = |time: &str, now: i64, body: &str| {
            let headers = [("x-sig", SIGNATURE), ("x-time", time)];
            check_at(rule, &headers, (KEY, body, now))
        };
        let time = AT.to_string();
        assert_eq!(at(&time, AT + 300, BODY), Ok(()));
        assert_eq!(at(&time, AT - 300, BODY), Ok(()));
        for (time, now, body, why) in [
            (time.as_str(), AT + 301, BODY, "older than 300 seconds"),
            (&time, AT - 301, BODY, "from the future"),
            (&(AT + 1).to_string(), AT, BODY, "does not show the secret"),
            (&time, AT, "text=other", "does not show the secret"),
            ("soon", AT, BODY, "no Unix time"),
            ("99999999999999999999", AT, BODY, "no Unix time"),
            ("-9223372036854775808", AT, BODY, "older than 300 seconds"),
        ] {
            let told = at(time, now, body).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
        let signature = [("x-sig", SIGNATURE)];
        assert!(check_at(rule, &signature, (KEY, BODY, AT)).unwrap_err().contains("x-time is missing"));
        let any_age = rule.replace("max_age=300\n", "");
        let moved = [("x-sig", SIGNATURE), ("x-time", "1531420618:text")];
        assert!(
            check_at(&any_age, &moved, (KEY, BODY, 0)).unwrap_err().contains("ends it in what is signed")
        );
    }

    #[test]
    fn a_signature_of_the_body_shows_the_secret() {
        // RFC 4231, test case 2.
        const HEX: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        const BASE64: &str = "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM";
        let hex = "scheme='hmac-sha256'\nheader='x-sig'\nprefix='sha256='";
        assert_eq!(check(hex, &[("x-sig", &format!("sha256={HEX}"))]), Ok(()));
        assert_eq!(check(hex, &[("x-sig", &format!("sha256={}", HEX.to_uppercase()))]), Ok(()));
        let base64 = "scheme='hmac-sha256'\nheader='x-sig'\nencoding='base64'";
        assert_eq!(check(base64, &[("x-sig", BASE64)]), Ok(()));
        assert_eq!(check(base64, &[("x-sig", &format!("{BASE64}="))]), Ok(()));
        let wrong = HEX.replace('5', "6");
        for shown in [HEX, "", "sha256=", "sha256=5", "sha256=zz", "sha256=é", &format!("sha256={wrong}")] {
            assert!(check(hex, &[("x-sig", shown)]).is_err(), "{shown}");
        }
        assert!(check(hex, &[]).unwrap_err().contains("x-sig is missing"));
    }

    #[test]
    fn a_header_may_hold_the_secret_itself() {
        let rule = "scheme='header-equals'\nheader='X-Token'";
        assert_eq!(check(rule, &[("x-token", "Jefe")]), Ok(()));
        for shown in ["", "jefe", "Jef", "Jefe "] {
            let problem = check(rule, &[("x-token", shown)]).unwrap_err();
            assert!(!problem.contains("Jefe"), "{problem}");
        }
    }

    #[test]
    fn the_standard_has_its_own_headers() {
        let rule = "scheme='standard-webhooks'";
        assert!(check(rule, &[]).unwrap_err().contains("webhook-id"));
        let headers = [("webhook-id", "a"), ("webhook-timestamp", "0"), ("webhook-signature", "v1,AAAA")];
        assert!(check(rule, &headers).unwrap_err().contains("no signature is right"));
    }
}
