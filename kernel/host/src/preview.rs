//! What a component would be, were it installed, beside the one that is.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::candidate::{Candidate, Origin};
use super::catalog::Delivery;
use super::generation::Generation;
use super::grants;
use super::inspect::{InspectError, inspect};
use super::load::examine;
use super::manifest::{Manifest, Permissions};
use super::registry::Plugins;
use super::signature::PublicKey;
use prx_base::config::Grant;
use prx_base::error::Result as Outcome;
use prx_base::text::hex;

/// What can be said of a component before it is installed, and of the one that is.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Preview {
    /// The plugin's name.
    pub name: String,
    /// The component that would be installed.
    pub new: Look,
    /// The one that is; none where there is none.
    pub installed: Option<Look>,
    /// What would have to be granted: the fields of `granted` that would have to change, as they would have to be.
    pub missing: Option<Grant>,
    /// Why it would not be installed as things are.
    pub problem: Option<String>,
}

/// What a component is and asks for.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "ComponentLook")]
pub struct Look {
    /// The version that its manifest has.
    pub version: String,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// Its bytes.
    pub size: u64,
    /// The key that it is signed with.
    pub signed_by: Option<String>,
    /// What it asks for.
    pub requested: Permissions,
    /// Its configuration keys that are secret.
    pub secrets: Vec<String>,
    /// What it gives, such as `tool:get_weather`; none where it could not be asked, as when it is not granted what it needs.
    pub capabilities: Option<Vec<String>>,
    /// What its skills are called by; none as above.
    pub triggers: Option<Vec<String>>,
}

impl Look {
    /// What a component says of itself without being run. Takes time in proportion to its size.
    ///
    /// # Errors
    /// It is no plugin.
    pub fn of(component: &[u8]) -> Result<Self, InspectError> {
        let found = inspect(component)?;
        Ok(Self::unrun(
            &found.manifest,
            found.signer,
            &Sha256::digest(component).into(),
            component.len() as u64,
        ))
    }

    /// What is known without running it.
    fn unrun(manifest: &Manifest, signer: Option<PublicKey>, digest: &[u8; 32], size: u64) -> Self {
        let secrets = manifest.keys().filter(|(_, key)| key.secret);
        Self {
            version: manifest.plugin.version.clone(),
            sha256: hex(digest),
            size,
            signed_by: signer.map(|key| key.to_string()),
            requested: manifest.permissions.clone(),
            secrets: secrets.map(|(name, _)| name.to_owned()).collect(),
            capabilities: None,
            triggers: None,
        }
    }
}

impl Generation {
    /// What it is and asks for.
    pub fn look(&self) -> Look {
        let skills = self.description.skills.iter();
        Look {
            capabilities: Some(self.capabilities()),
            triggers: Some(skills.flat_map(|skill| skill.triggers.iter().cloned()).collect()),
            ..Look::unrun(&self.manifest, self.signer, &self.digest, self.size)
        }
    }
}

impl Plugins {
    /// What installing a component would bring. It is compiled and asked to describe itself under the grants in force, and
    /// nothing is changed.
    ///
    /// # Errors
    /// `bad_request` or `conflict` for what is no plugin at all.
    pub async fn preview(&self, bytes: Bytes, delivery: Delivery) -> Outcome<Preview> {
        let (found, digest) = examine(bytes.clone()).await?;
        let name = found.manifest.plugin.name.clone();
        let missing = grants::missing(&found.manifest, &self.allowance(&name, false)?);
        let installed = self.catalog().entry(&name).and_then(|entry| Some(entry.generation.as_ref()?.look()));
        let mut new = Look::unrun(&found.manifest, found.signer, &digest, bytes.len() as u64);
        let mut problem =
            self.check_offer(&found, digest, &delivery).await.err().map(|error| error.to_string());
        let candidate = Candidate { bytes, origin: Origin::Delivered(delivery) };
        match self.prepare(&name, candidate).await {
            Ok(prepared) => new = prepared.generation.look(),
            Err(refusal) => problem = problem.or(Some(refusal.error.to_string())),
        }
        Ok(Preview { name, new, installed, missing, problem })
    }
}
