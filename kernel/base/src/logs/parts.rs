//! The parts of the gateway by the names that logs know them under.
//!
//! The names are older than the crates: `module` in `GET /logs` and the filter in `logs.level` are written by people
//! and by their dashboards, and stay.

/// Where the code of each part is, and its name. The first path that fits counts.
const PARTS: [(&str, &str); 13] = [
    ("prx_agents::tool", "tool"),
    ("prx_agents", "session"),
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
    ("prx_base::logs", "logs"),
];

/// The part that code at this path belongs to; none where it is not the gateway's.
pub(super) fn part(target: &str) -> Option<&str> {
    let inside =
        |path: &str| target.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    let named = PARTS.iter().find(|(path, _)| inside(path)).map(|(_, name)| *name);
    let own =
        || target.strip_prefix("prx::").or_else(|| target.strip_prefix("prx_base::"))?.split("::").next();
    named.or_else(own)
}

/// A filter with the paths of today in place of names such as `prx::channel`.
pub(super) fn with_paths(filter: &str) -> String {
    let directives = filter.split(',').map(|directive| {
        let Some((name, rest)) = directive.trim().strip_prefix("prx::").map(|inside| {
            inside
                .split_at(inside.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(inside.len()))
        }) else {
            return directive.to_owned();
        };
        let paths = PARTS.iter().filter(|(_, part)| *part == name).map(|(path, _)| format!("{path}{rest}"));
        let paths: Vec<String> = paths.collect();
        if paths.is_empty() { directive.to_owned() } else { paths.join(",") }
    });
    directives.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_keeps_its_name_wherever_its_code_is() {
        let parts = [
            "prx_channels::pump",
            "prx_agents::tool::names",
            "prx_agents::turn",
            "prx::gateway",
            "prx::api::mcp",
        ];
        assert_eq!(
            parts.map(part),
            [Some("channel"), Some("tool"), Some("session"), Some("kernel"), Some("api")]
        );
        assert_eq!(["rmcp::service", "prx_hostile"].map(part), [None, None]);
    }

    #[test]
    fn filters_name_parts_or_paths() {
        assert_eq!(with_paths("info,prx::channel=debug"), "info,prx_channels=debug");
        assert_eq!(
            with_paths("prx::channel::pump=trace,prx_store=warn"),
            "prx_channels::pump=trace,prx_store=warn"
        );
        assert_eq!(
            with_paths("warn,prx::kernel=debug,prx::api"),
            "warn,prx::gateway=debug,prx::settings=debug,prx::api"
        );
        assert_eq!(with_paths("prx[{module=x}]=info"), "prx[{module=x}]=info");
    }
}
