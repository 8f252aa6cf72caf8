//! Whose code is taken under a plugin's name: by its signature, and by who held the name first.

use std::collections::BTreeMap;

use super::candidate::Origin;
use super::lock::FOLDER;
use super::manifest::About;
use super::signature::PublicKey;
use prx_base::config;
use prx_egress::Origin as WebOrigin;

/// Whose code is taken under one name.
#[derive(Debug, Clone, Default)]
pub(super) struct Trust {
    required: Required,
    /// The keys that the operator trusts, with the names that he gave them.
    keys: BTreeMap<String, PublicKey>,
    /// The key of who held the name first.
    owner: Option<PublicKey>,
}

/// What has to be signed with a trusted key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Required {
    /// Nothing.
    #[default]
    Nothing,
    /// What came over the API, from whoever may use it.
    ThirdParty,
    /// What the operator has put into the folder of plugins himself, too. What came with the gateway is part of it.
    All,
}

impl Trust {
    /// As the operator says, for a name that this key holds.
    pub(super) fn of(config: &config::Plugins, owner: Option<&str>) -> Self {
        let required = match config.require_signature.as_str() {
            "all" => Required::All,
            "third-party" => Required::ThirdParty,
            _ => Required::Nothing,
        };
        let keys =
            config.trusted_keys.iter().filter_map(|(name, key)| Some((name.clone(), key.parse().ok()?)));
        Self { required, keys: keys.collect(), owner: owner.and_then(|key| key.parse().ok()) }
    }

    /// Whether code that was signed with this key, or with none, is taken.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub(super) fn check(
        &self,
        about: &About,
        signer: Option<PublicKey>,
        origin: &Origin,
    ) -> Result<(), String> {
        let third_party = match origin {
            Origin::Bundled => return Ok(()),
            Origin::Delivered(_) => true,
            Origin::Kept(record) | Origin::Folder { known: Some(record) } => record.source != FOLDER,
            Origin::Folder { known: None } => false,
        };
        self.check_owner(about, signer, origin)?;
        let is_required = match self.required {
            Required::Nothing => false,
            Required::ThirdParty => third_party,
            Required::All => true,
        };
        let is_trusted = signer.is_some_and(|signer| self.keys.values().any(|key| *key == signer));
        if !is_required || is_trusted {
            return Ok(());
        }
        let About { name, version, .. } = about;
        let word = if self.required == Required::All { "all" } else { "third-party" };
        let keys: Vec<&str> = self.keys.keys().map(String::as_str).collect();
        let keys = if keys.is_empty() { "none yet".to_owned() } else { keys.join(", ") };
        Err(match signer {
            None => format!(
                "{name} {version} is not signed, and plugins.require_signature = \"{word}\" wants a signature with one of \
                 [plugins.trusted_keys] ({keys}): get it signed, or sign it yourself (`prx plugin sign FILE --key KEY`)"
            ),
            Some(signer) => format!(
                "{name} {version} is signed with {signer}, which is none of [plugins.trusted_keys] ({keys}): if that is its \
                 author's key, put NAME = \"{signer}\" there"
            ),
        })
    }

    /// What served under the name before may do so again.
    fn check_owner(&self, about: &About, signer: Option<PublicKey>, origin: &Origin) -> Result<(), String> {
        let Some(owner) = self.owner.filter(|owner| signer != Some(*owner)) else { return Ok(()) };
        if matches!(origin, Origin::Kept(_) | Origin::Folder { known: Some(_) }) {
            return Ok(());
        }
        let About { name, version, .. } = about;
        let found =
            signer.map_or("not signed".to_owned(), |signer| format!("signed with {}", self.named(signer)));
        Err(format!(
            "{name} {version} is {found}, and the name {name} belongs to {}, whose code held it first: get it from there, or \
             give the name up with all that is kept under it: `prx plugin remove {name} --purge`",
            self.named(owner)
        ))
    }

    /// A key, with the name that the operator gave it.
    pub(super) fn named(&self, key: PublicKey) -> String {
        let name = self.keys.iter().find(|(_, known)| **known == key);
        name.map_or(key.to_string(), |(name, _)| format!("{key} ({name})"))
    }
}

/// What is wrong with `[plugins]`, each with its key.
pub fn check_settings(settings: &config::Plugins) -> Vec<String> {
    let keys = settings.trusted_keys.iter().filter_map(|(name, key)| {
        let wrong = key.parse::<PublicKey>().err()?;
        Some(format!("plugins.trusted_keys.{name}: {key:?} {wrong}"))
    });
    let sources = settings.sources.iter().filter_map(|source| {
        let wrong = WebOrigin::parse(source).err()?;
        Some(format!("plugins.sources: {source:?}: {wrong}"))
    });
    keys.chain(sources).collect()
}

#[cfg(test)]
mod tests {
    use super::super::catalog::Delivery;
    use super::super::signature::SigningKey;
    use super::*;

    fn key(seed: u8) -> PublicKey {
        SigningKey::from_seed([seed; 32]).expect("a key").public()
    }

    #[test]
    fn what_is_required_and_who_holds_the_name_decide() {
        let about = crate::manifest::Manifest::parse("[plugin]\nname = \"a\"\nversion = \"1.0.0\"\n")
            .expect("one")
            .plugin;
        let delivered = || Origin::Delivered(Delivery { source: "upload".into(), ..Delivery::default() });
        let in_folder = || Origin::Folder { known: None };
        let check = |required: &str, owner: Option<u8>, signer: Option<u8>, origin: Origin| {
            let settings = config::Plugins {
                require_signature: required.into(),
                trusted_keys: [("alice".to_owned(), key(1).to_string())].into(),
                ..config::Plugins::default()
            };
            let owner = owner.map(|seed| key(seed).to_string());
            Trust::of(&settings, owner.as_deref()).check(&about, signer.map(key), &origin)
        };
        for signer in [None, Some(1), Some(2)] {
            assert_eq!(check("off", None, signer, delivered()), Ok(()));
            assert_eq!(check("third-party", None, signer, in_folder()), Ok(()));
            assert_eq!(check("all", Some(3), signer, Origin::Bundled), Ok(()));
        }
        for (required, origin) in [("third-party", delivered()), ("all", delivered()), ("all", in_folder())] {
            assert_eq!(check(required, None, Some(1), origin.clone()), Ok(()));
            let unsigned = check(required, None, None, origin.clone()).expect_err("refused");
            assert!(unsigned.contains("a 1.0.0 is not signed") && unsigned.contains("(alice)"), "{unsigned}");
            let unknown = check(required, None, Some(2), origin).expect_err("refused");
            assert!(unknown.contains(&format!("put NAME = \"{}\" there", key(2))), "{unknown}");
        }
        for (signer, origin) in [(None, delivered()), (Some(2), delivered()), (None, in_folder())] {
            let taken = check("off", Some(1), signer, origin).expect_err("another's name");
            assert!(
                taken.contains(&format!("belongs to {} (alice)", key(1))) && taken.contains("--purge"),
                "{taken}"
            );
        }
        assert_eq!(check("off", Some(1), Some(1), delivered()), Ok(()));
    }
}
