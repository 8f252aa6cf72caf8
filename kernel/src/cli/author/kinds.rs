//! What a new plugin begins as: for each kind the example whose `template.toml` names it, under the plugin's own name.

use clap::ValueEnum;
use serde::Deserialize;

use crate::cli::failure::Failure;

/// The examples, made by `build.rs`.
mod embedded {
    use super::Example;

    include!(concat!(env!("OUT_DIR"), "/examples.rs"));
}

/// What a plugin is to give.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum Kind {
    /// Something that a model or a caller can have done
    #[default]
    Tool,
    /// Instructions that a word in a message brings in
    Skill,
    /// A platform that people write from
    Connector,
    /// Models, behind a server of your choice
    Provider,
    /// Who answers: what models are asked, what tools are called
    Agent,
    /// What looks at messages, replies and calls, and may change or stop them
    Filter,
    /// What is told what happens
    Observer,
    /// What happens at set times
    Job,
    /// Pages or an API, served over HTTP
    Route,
}

/// One of the examples, as it is embedded.
struct Example {
    /// Its folder.
    name: &'static str,
    /// Its `template.toml`.
    template: &'static str,
    /// What it depends on, as its package's manifest says, with versions.
    dependencies: &'static str,
    /// Its manifest, its sources, and what it is tried against.
    files: &'static [(&'static str, &'static str)],
}

/// `template.toml`. In its texts `{name}` and `{component}` stand for those of the new plugin.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    /// Of which kind it is, in the command line's word.
    kind: String,
    /// What it gives.
    about: String,
    /// Where else its name stands in its sources, around it.
    #[serde(default)]
    named: Vec<String>,
    /// In a sentence, for the README.
    what: String,
    /// How it is tried without a gateway.
    attempt: String,
    /// What its operator puts into `prx.toml`.
    #[serde(default)]
    settings: String,
    /// How it is used in a gateway.
    call: String,
}

/// What a new plugin begins as.
pub(super) struct Template {
    words: Words,
    example: &'static Example,
}

impl Kind {
    /// # Errors
    /// This program was built without one, or with one that can't be read.
    pub(super) fn template(self) -> Result<Template, Failure> {
        let word = self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        for example in embedded::EXAMPLES {
            let words: Words = toml::from_str(example.template)
                .map_err(|error| Failure::new(format!("examples/{}/template.toml: {error}", example.name)))?;
            if words.kind == word {
                return Ok(Template { words, example });
            }
        }
        Err(Failure::new(format!("there is no example of a {word} to begin with")))
    }
}

impl Template {
    /// What it gives, in a few words.
    pub(super) fn about(&self) -> &str {
        &self.words.about
    }

    /// The tables of dependencies of its package.
    pub(super) fn dependencies(&self) -> &'static str {
        self.example.dependencies
    }

    /// What its README says: the parts by what stands for them.
    pub(super) fn parts(&self) -> [(&'static str, String); 4] {
        let Words { what, attempt, settings, call, .. } = &self.words;
        let set_up = match settings.as_str() {
            "" => String::new(),
            lines => format!("Put this into `prx.toml` first:\n\n```toml\n{lines}\n```\n\n"),
        };
        [("{what}", what.clone()), ("{try}", attempt.clone()), ("{set_up}", set_up), ("{call}", call.clone())]
    }

    /// Its files but for those that every plugin has, under this name.
    pub(super) fn files(&self, name: &str) -> Vec<(&'static str, String)> {
        let own = self.example.name;
        let line = |name: &str| format!("name = {name:?}\n");
        let renamed = |(path, text): &(&'static str, &'static str)| {
            let text = match *path {
                "plugin.toml" => text.replacen(&line(own), &line(name), 1),
                _ => self.words.named.iter().fold((*text).to_owned(), |text, around| {
                    text.replace(&around.replace("{}", own), &around.replace("{}", name))
                }),
            };
            (*path, text)
        };
        self.example.files.iter().map(renamed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_one_example_to_begin_with() {
        let kinds: Vec<Template> =
            Kind::value_variants().iter().map(|kind| kind.template().expect("an example")).collect();
        assert_eq!(kinds.len(), embedded::EXAMPLES.len(), "and no example is left over");
        for Template { example, .. } in &kinds {
            let has = |wanted: &str| example.files.iter().any(|(path, _)| *path == wanted);
            assert!(has("plugin.toml") && has("src/lib.rs"), "{}", example.name);
        }
    }
}
