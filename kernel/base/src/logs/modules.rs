//! The names under which logs know the modules of the gateway: `module` in `GET /logs`, and the filter of the level.
//!
//! They are older than the crates. People and their dashboards write them, so they stay whatever the paths of the code
//! become.

/// Where the code of each module is, and its name. The first path that fits counts, so a longer one stands before a
/// shorter one.
const MODULES: [(&str, &str); 13] = [
    ("prx_agents::tool", "tool"),
    ("prx_agents", "session"),
    ("prx_background", "background"),
    ("prx_channels", "channel"),
    ("prx_egress", "egress"),
    ("prx_hooks", "webhook"),
    ("prx_host::memory", "memory"),
    ("prx_host", "plugin"),
    ("prx_http", "http"),
    ("prx_mcp", "mcp"),
    ("prx_store", "store"),
    ("prx::gateway", "kernel"),
    ("prx::settings", "kernel"),
];

/// The crates whose modules have the names of their files.
const BY_FILE: [&str; 2] = ["prx::", "prx_base::"];

/// The name of the module that code at this path belongs to; none where the code is not the gateway's.
pub(super) fn name(target: &str) -> Option<&str> {
    if let Some((_, name)) = MODULES.iter().find(|(path, _)| is_in(target, path)) {
        return Some(name);
    }
    BY_FILE.iter().find_map(|prefix| target.strip_prefix(prefix)?.split("::").next())
}

/// The paths of the code of a module that has a level of its own: `agent` is what `GET /logs` calls the session's.
pub(super) fn paths(module: &str) -> Vec<String> {
    let named = if module == "agent" { "session" } else { module };
    let mut paths: Vec<String> =
        MODULES.iter().filter(|(_, name)| *name == named).map(|(path, _)| (*path).to_owned()).collect();
    match module {
        // What plugins log themselves.
        "plugin" => paths.push("plugin".to_owned()),
        _ if paths.is_empty() => paths.push(format!("prx::{module}")),
        _ => {}
    }
    paths
}

fn is_in(target: &str, path: &str) -> bool {
    target.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// A filter with the paths of the code in place of names such as `prx::channel`. What names no module stays.
pub(super) fn resolve(filter: &str) -> String {
    let directives: Vec<String> = filter.split(',').map(directive).collect();
    directives.join(",")
}

/// One directive of a filter: `prx::channel::socket=debug`. A module in several places becomes as many directives.
fn directive(text: &str) -> String {
    let Some(inner) = text.trim().strip_prefix("prx::") else { return text.to_owned() };
    let end = inner.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(inner.len());
    let (wanted, rest) = inner.split_at(end);
    let paths: Vec<&str> =
        MODULES.iter().filter(|(_, name)| *name == wanted).map(|(path, _)| *path).collect();
    if paths.is_empty() {
        return text.to_owned();
    }
    paths.iter().map(|path| format!("{path}{rest}")).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_keeps_its_name_wherever_its_code_is() {
        for (target, module) in [
            ("prx_channels", "channel"),
            ("prx_channels::pump", "channel"),
            ("prx_agents::tool::names", "tool"),
            ("prx_agents::turn", "session"),
            ("prx_host::memory::rank", "memory"),
            ("prx_host::load", "plugin"),
            ("prx_hooks::courier", "webhook"),
            ("prx_base::logs::ring", "logs"),
            ("prx::gateway", "kernel"),
            ("prx::settings::follow", "kernel"),
            ("prx::api::mcp", "api"),
            ("prx::cli::serve", "cli"),
        ] {
            assert_eq!(name(target), Some(module), "{target}");
        }
        for other in ["rmcp::service", "prx_hostile", "prx", "plugin"] {
            assert_eq!(name(other), None, "{other}");
        }
    }

    #[test]
    fn a_filter_names_modules_or_paths() {
        for (filter, resolved) in [
            ("info", "info"),
            ("info,prx::channel=debug", "info,prx_channels=debug"),
            ("prx::channel::pump=trace, prx_store=warn", "prx_channels::pump=trace, prx_store=warn"),
            ("warn, prx::tool", "warn,prx_agents::tool"),
            ("warn,prx::kernel=debug,prx::api", "warn,prx::gateway=debug,prx::settings=debug,prx::api"),
            ("prx=debug,prx::channels=info", "prx=debug,prx::channels=info"),
            ("prx[{module=x}]=info,prx::http[request]=trace", "prx[{module=x}]=info,prx_http[request]=trace"),
        ] {
            assert_eq!(resolve(filter), resolved);
        }
    }

    #[test]
    fn every_module_with_a_level_of_its_own_has_code() {
        for key in crate::config::keys::LOG_MODULES {
            let paths = paths(key.path);
            let known = |path: &String| path == "plugin" || name(path).is_some();
            assert!(!paths.is_empty() && paths.iter().all(known), "{}: {paths:?}", key.path);
        }
        assert_eq!(paths("kernel"), ["prx::gateway", "prx::settings"]);
        assert_eq!(paths("agent"), ["prx_agents"]);
        assert_eq!(paths("plugin"), ["prx_host", "plugin"]);
    }

    #[test]
    fn no_path_hides_a_longer_one() {
        for (index, (path, _)) in MODULES.iter().enumerate() {
            assert!(!MODULES[..index].iter().any(|(earlier, _)| is_in(path, earlier)), "{path}");
        }
    }
}
