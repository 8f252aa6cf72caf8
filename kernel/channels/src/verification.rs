//! Whether a webhook is its platform's own, by the rule in the manifest. The connector could not tell: it sees no
//! secret.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use jiff::Timestamp;
use subtle::ConstantTimeEq;

use super::webhook::Webhook;
use prx_base::config::Secret;
use prx_base::signature;
use prx_egress::Policy;
use prx_host::manifest::{Encoding, Manifest, Scheme, Verification};

/// A rule, and the secret that it goes by.
pub(super) struct Verifier {
    rule: Verification,
    secret: Option<Secret>,
}

impl Verifier {
    /// None where the manifest has no rule: the connector looks for itself.
    pub(super) fn new(manifest: &Manifest, policy: &Policy) -> Option<Self> {
        let rule = manifest.channel.as_ref()?.webhook.as_ref()?.get_ref().clone();
        let secret = policy.secrets().get(&rule.secret).cloned();
        Some(Self { rule, secret })
    }

    /// Checks a webhook against the rule.
    ///
    /// # Errors
    /// Says what is wrong, for the operator.
    pub(super) fn verify(&self, webhook: &Webhook, now: Timestamp) -> Result<(), String> {
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
            Scheme::HmacSha256 => self.is_signed(shown, secret, &webhook.body),
            _ => shown.as_bytes().ct_eq(secret.expose().as_bytes()).into(),
        };
        if genuine { Ok(()) } else { Err(format!("the header {name} does not show the secret")) }
    }

    fn is_signed(&self, shown: &str, secret: &Secret, body: &[u8]) -> bool {
        use hmac::Mac;
        let signature =
            shown.strip_prefix(self.rule.prefix.as_str()).and_then(|text| match self.rule.encoding {
                Encoding::Hex => from_hex(text),
                Encoding::Base64 => STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok(),
            });
        let mac = signature::mac(secret.expose().as_bytes());
        let (Some(signature), Some(mac)) = (signature, mac) else { return false };
        mac.chain_update(body).verify_slice(&signature).is_ok()
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
        let text = format!(
            "[plugin]\nname='t'\nversion='1'\n[permissions]\nsecrets=['key']\n[config.key]\ntype='string'\n\
             secret=true\n[channel.webhook]\nsecret='key'\n{rule}"
        );
        let secrets = [("key".to_owned(), Secret::new("Jefe"))].into_iter().collect();
        let policy = Policy::new(Vec::new(), secrets);
        let verifier = Verifier::new(&Manifest::parse(&text).unwrap(), &policy).unwrap();
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let body = b"what do ya want for nothing?".to_vec();
        let (method, path, query) = ("POST".into(), String::new(), String::new());
        verifier.verify(&Webhook { method, path, query, headers, body }, Timestamp::UNIX_EPOCH)
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
