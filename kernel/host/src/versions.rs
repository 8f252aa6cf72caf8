//! Versions: those of plugins, which are semver, and the gateway's own, which a plugin may require.

use semver::{Version, VersionReq};
use serde_json::json;

use super::manifest::{About, Manifest};
use prx_base::error::{Error, Result};

/// The version of this gateway.
const GATEWAY: &str = env!("CARGO_PKG_VERSION");

impl About {
    /// Its version as one that can be compared.
    ///
    /// # Errors
    /// It is none: what would be, and where to write it.
    pub fn semver(&self) -> Result<Version, String> {
        let Self { name, version, .. } = self;
        Version::parse(version).map_err(|error| {
            let such = completed(version).unwrap_or_else(|| "1.2.0".to_owned());
            format!(
                "plugin.version of {name} is {version:?}, which is no version ({error}): write one of three numbers such as \
                 \"{such}\" (semver) into plugin.toml and build it again"
            )
        })
    }
}

impl Manifest {
    /// Whether this gateway is one that it works with.
    ///
    /// # Errors
    /// It is not: both versions, and what to do.
    pub(super) fn check_requires(&self) -> Result<(), String> {
        let Some(wanted) = &self.requires.prx else { return Ok(()) };
        if includes(wanted, GATEWAY) {
            return Ok(());
        }
        let About { name, version, .. } = &self.plugin;
        Err(format!(
            "{name} {version} requires prx {wanted}, and this is prx {GATEWAY}: install another version of {name}, or a \
             gateway of {wanted}"
        ))
    }
}

/// Whether a requirement is met; a preview of a version counts as that version.
fn includes(wanted: &VersionReq, version: &str) -> bool {
    Version::parse(version).is_ok_and(|version| {
        let release = Version::new(version.major, version.minor, version.patch);
        wanted.matches(&version) || wanted.matches(&release)
    })
}

/// Refuses a version that is lower than the one that is installed. Where one of both can't be compared, any may follow.
pub(super) fn check_upgrade(installed: &About, offered: &About) -> Result<()> {
    let (Ok(before), Ok(after)) = (installed.semver(), offered.semver()) else { return Ok(()) };
    if after.cmp_precedence(&before).is_ge() {
        return Ok(());
    }
    let name = &offered.name;
    let message = format!(
        "Plugin {name}: {after} is lower than {before}, which is installed; `prx plugin rollback {name}` goes back to what \
         served before, and `prx plugin install FILE --replace {name} --downgrade` (?downgrade=true) installs {after} all \
         the same"
    );
    let details = json!({
        "plugin": name,
        "installed": before.to_string(),
        "offered": after.to_string(),
    });
    Err(Error::conflict(message).with_details(details))
}

/// What is to be said of other code in the place of code of this version.
pub(super) fn note_on(installed: &About, taken: &About) -> Option<String> {
    if installed.version == taken.version {
        let version = &taken.version;
        return Some(format!("other bytes than before under the same version {version}"));
    }
    let (before, after) = (installed.semver().ok()?, taken.semver().ok()?);
    after
        .cmp_precedence(&before)
        .is_lt()
        .then(|| format!("version {after} in the place of {before}, which is higher"))
}

/// A version such as `1`, `1.2` or `v1.2.0`, written in full.
fn completed(text: &str) -> Option<String> {
    let numbers = text.strip_prefix('v').unwrap_or(text);
    ["", ".0", ".0.0"].iter().map(|rest| format!("{numbers}{rest}")).find(|text| Version::parse(text).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(version: &str) -> About {
        Manifest::parse(&format!("[plugin]\nname = \"a\"\nversion = {version:?}\n"))
            .expect("a manifest")
            .plugin
    }

    #[test]
    fn what_is_no_version_is_told_what_would_be() {
        assert_eq!(about("1.2.0-rc.1+build").semver().map(|version| version.minor), Ok(2));
        for (version, such) in [
            ("1", "1.0.0"),
            ("v1.2", "1.2.0"),
            ("v2.0.1", "2.0.1"),
            ("banana", "1.2.0"),
            ("1.2.3.4", "1.2.0"),
        ] {
            let said = about(version).semver().expect_err("no version");
            assert!(
                said.contains(&format!("{version:?}")) && said.contains(&format!("\"{such}\"")),
                "{said}"
            );
        }
    }

    #[test]
    fn only_a_lower_version_is_a_downgrade() {
        let refused = |before: &str, after: &str| check_upgrade(&about(before), &about(after)).is_err();
        for (before, after) in
            [("1.2.0", "1.1.9"), ("2.0.0", "2.0.0-rc.1"), ("0.10.0", "0.9.0"), ("1.0.0-2", "1.0.0-1")]
        {
            assert!(refused(before, after), "{after} after {before}");
            assert!(!refused(after, before), "{before} after {after}");
        }
        for (before, after) in
            [("1.0.0", "1.0.0"), ("1.0.0+b", "1.0.0+a"), ("banana", "0.0.1"), ("1.0.0", "banana")]
        {
            assert!(!refused(before, after), "{after} after {before}");
        }
    }

    #[test]
    fn a_preview_of_a_gateway_is_a_gateway_of_that_version() {
        let includes = |wanted: &str, version: &str| {
            super::includes(&VersionReq::parse(wanted).expect("a requirement"), version)
        };
        assert!(includes(">=0.2", "0.2.0") && includes(">=0.2", "0.2.0-rc.1") && includes("^0.2.1", "0.2.7"));
        assert!(!includes(">=0.2", "0.1.9") && !includes("<0.2", "0.2.0-rc.1"));
    }
}
