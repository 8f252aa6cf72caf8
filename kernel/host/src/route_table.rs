//! Which plugin serves which paths.

use std::collections::BTreeMap;

use super::manifest::MAX_ROUTE_DEPTH;

/// What every plugin's own paths begin with; its name follows.
const OWN: &str = "/ext/";

/// Plugins by the prefixes of paths that they serve beside their own.
#[derive(Debug, Clone, Default)]
pub(super) struct RouteTable(BTreeMap<String, String>);

impl RouteTable {
    /// Has a plugin serve these.
    pub(super) fn insert(&mut self, plugin: &str, prefixes: Vec<String>) {
        self.0.extend(prefixes.into_iter().map(|prefix| (prefix, plugin.to_owned())));
    }

    /// The plugin that a path is for, and where in the path begins what is for it to read: of its own paths what follows its
    /// name.
    pub(super) fn find<'a>(&'a self, path: &'a str) -> Option<(&'a str, usize)> {
        if let Some(rest) = path.strip_prefix(OWN) {
            let name = &rest[..rest.find('/').unwrap_or(rest.len())];
            return Some((name, OWN.len() + name.len()));
        }
        let slashes = path.char_indices().skip(1).filter(|(_, c)| *c == '/').map(|(at, _)| at);
        let ends = slashes.take(MAX_ROUTE_DEPTH).chain([path.len()]);
        // The root is a path, and no prefix of others.
        let prefixes = ends.filter_map(|end| path.get(..end)).filter(|prefix| *prefix != "/" || path == "/");
        prefixes.filter_map(|prefix| self.0.get(prefix)).next().map(|plugin| (plugin.as_str(), 0))
    }

    /// What of these prefixes another plugin than this one has, in part or in whole.
    pub(super) fn conflict(&self, plugin: &str, prefixes: &[String]) -> Option<String> {
        let of_others = || self.0.iter().filter(|(_, holder)| *holder != plugin);
        prefixes.iter().find_map(|prefix| {
            let (held, holder) = of_others().find(|(held, _)| meet(prefix, held))?;
            Some(match held == prefix {
                true => format!("route {prefix} is already served by plugin {holder}"),
                false => format!("route {prefix} meets {held}, which is already served by plugin {holder}"),
            })
        })
    }
}

/// Whether one path is a prefix of the other one, by whole segments. The root is a path of its own.
fn meet(one: &str, other: &str) -> bool {
    let is_under = |path: &str, prefix: &str| {
        prefix != "/"
            && path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    one == other || is_under(one, other) || is_under(other, one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> RouteTable {
        let mut table = RouteTable::default();
        table.insert("chat", vec!["/v1".to_owned(), "/a/b".to_owned()]);
        table.insert("console", vec!["/".to_owned(), "/console".to_owned()]);
        table
    }

    #[test]
    fn a_path_leads_to_a_plugin_by_whole_segments() {
        let table = table();
        for (path, plugin, rest) in [
            ("/v1", "chat", "/v1"),
            ("/v1/", "chat", "/v1/"),
            ("/v1/models", "chat", "/v1/models"),
            ("/a/b/c", "chat", "/a/b/c"),
            ("/", "console", "/"),
            ("/console/x.js", "console", "/console/x.js"),
            ("/ext/chat", "chat", ""),
            ("/ext/chat/v1", "chat", "/v1"),
            ("/ext/other/", "other", "/"),
        ] {
            let (found, at) = table.find(path).unwrap_or_else(|| panic!("{path} leads nowhere"));
            assert_eq!((found, &path[at..]), (plugin, rest), "{path}");
        }
        for path in ["/v11", "/V1", "//v1", "/a", "/x/v1", "/%761", ""] {
            assert_eq!(table.find(path), None, "{path}");
        }
        assert_eq!(table.find(&"/v".repeat(10_000)), None);
    }

    #[test]
    fn what_another_plugin_serves_is_refused_by_name() {
        let table = table();
        let said = |plugin: &str, path: &str| table.conflict(plugin, &[path.to_owned()]).unwrap_or_default();
        assert_eq!(said("new", "/v1"), "route /v1 is already served by plugin chat");
        assert_eq!(said("new", "/v1/x"), "route /v1/x meets /v1, which is already served by plugin chat");
        assert_eq!(said("new", "/a"), "route /a meets /a/b, which is already served by plugin chat");
        assert_eq!(said("new", "/"), "route / is already served by plugin console");
        for (plugin, path) in [("chat", "/v1"), ("new", "/v2"), ("new", "/v11"), ("new", "/ab")] {
            assert_eq!(said(plugin, path), "", "{path}");
        }
    }
}
