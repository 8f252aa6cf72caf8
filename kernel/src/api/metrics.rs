//! Counts and gauges, in the text format of Prometheus.

use std::fmt::{Display, Write};
use std::fs;
use std::sync::Arc;

use crate::gateway::Gateway;
use prx_base::error::Result;
use prx_base::events::Kind;
use prx_http::{Call, Doc, Reply};
use prx_store::HookState;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) const SHOW: Doc = Doc::new("Show counts and gauges for Prometheus").or_as("text/plain");

pub(super) async fn show(gateway: Arc<Gateway>, _: Call) -> Result<Reply> {
    let mut page = Page::default();
    requests(&gateway, &mut page);
    events(&gateway, &mut page);
    gauges(&gateway, &mut page);
    hooks(&gateway, &mut page);
    Ok(Reply::text(TEXT, page.0))
}

fn requests(gateway: &Gateway, page: &mut Page) {
    page.family("prx_http_requests_total", "counter", "Requests by route and outcome.");
    for (outcome, count) in gateway.process.traffic.requests() {
        let status = outcome.status.to_string();
        let labels = [("method", &*outcome.method), ("route", outcome.route), ("status", &*status)];
        page.sample("prx_http_requests_total", &labels, count);
    }
    page.single("prx_http_connections", "gauge", "Open connections.", gateway.process.traffic.connections());
}

fn events(gateway: &Gateway, page: &mut Page) {
    page.family("prx_events_total", "counter", "What happened, by kind; message.sent counts finished turns.");
    let counts = gateway.base.events.counted();
    for kind in Kind::ALL {
        let count = counts.get(&Some(*kind)).copied().unwrap_or_default();
        page.sample("prx_events_total", &[("type", kind.name())], count);
    }
    // Under one name: how many there are is the plugins' choice.
    page.sample("prx_events_total", &[("type", "plugin")], counts.get(&None).copied().unwrap_or_default());
    let about = "Calls of components that failed through a defect of the component.";
    page.single("prx_plugin_call_failures_total", "counter", about, gateway.plugins.failed_calls());
}

fn gauges(gateway: &Gateway, page: &mut Page) {
    page.single("prx_sessions_active", "gauge", "Active sessions.", gateway.store.active_sessions(None));
    page.family("prx_channel_connected", "gauge", "1 for a channel that is connected.");
    for channel in gateway.channels.list() {
        let connected = u8::from(channel.connected_at.is_some());
        page.sample("prx_channel_connected", &[("channel", &channel.name)], connected);
    }
    page.family("prx_plugin_memory_bytes", "gauge", "Memory of a plugin's instances and code.");
    for plugin in gateway.plugins.list() {
        page.sample("prx_plugin_memory_bytes", &[("plugin", &plugin.name)], plugin.memory_usage_bytes);
    }
    if let Some(bytes) = resident_bytes() {
        page.single("process_resident_memory_bytes", "gauge", "Memory of the gateway.", bytes);
    }
    let started = gateway.process.started.as_second();
    page.single("process_start_time_seconds", "gauge", "When the gateway was started.", started);
    let healthy = u8::from(gateway.store.is_healthy());
    page.single("prx_store_healthy", "gauge", "1 while the disk takes what it is given.", healthy);
}

/// The counts of hooks are kept in the store: a restart does not begin them anew.
fn hooks(gateway: &Gateway, page: &mut Page) {
    let hooks = gateway.store.hook_states().unwrap_or_default();
    let about = "Deliveries to hooks that are over, and events that found a hook's queue full, by outcome.";
    page.family("prx_hook_deliveries_total", "counter", about);
    for HookState { hook, record, .. } in &hooks {
        let counts = [("delivered", record.delivered), ("given_up", record.given_up), ("lost", record.lost)];
        for (outcome, count) in counts {
            page.sample("prx_hook_deliveries_total", &[("hook", &hook.id), ("outcome", outcome)], count);
        }
    }
    page.family("prx_hook_deliveries_waiting", "gauge", "Deliveries that wait for a hook.");
    for HookState { hook, waiting, .. } in &hooks {
        page.sample("prx_hook_deliveries_waiting", &[("hook", &hook.id)], waiting);
    }
    page.family("prx_hook_active", "gauge", "1 for a hook that is turned on.");
    for HookState { hook, .. } in &hooks {
        page.sample("prx_hook_active", &[("hook", &hook.id)], u8::from(hook.active));
    }
    page.family("prx_hook_failing", "gauge", "1 for a hook whose last attempt failed.");
    for HookState { hook, record, .. } in &hooks {
        page.sample("prx_hook_failing", &[("hook", &hook.id)], u8::from(record.failing_since.is_some()));
    }
}

/// What the system says the process has in memory; none where it doesn't say.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, about: &str) {
        self.line(format_args!("# HELP {name} {about}\n# TYPE {name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        self.line(format_args!("{name}{{{}}} {value}", labels.join(",")));
    }

    fn single(&mut self, name: &str, kind: &str, about: &str, value: impl Display) {
        self.family(name, kind, about);
        self.line(format_args!("{name} {value}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a text does not fail.
        let _ = writeln!(self.0, "{line}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_may_say_anything() {
        let mut page = Page::default();
        page.family("a", "gauge", "About.");
        page.sample("a", &[("b", "c\"\\\nd"), ("e", "")], 7);
        page.single("f", "counter", "About.", 0);
        let expected = "# HELP a About.\n# TYPE a gauge\na{b=\"c\\\"\\\\\\nd\",e=\"\"} 7\n\
                        # HELP f About.\n# TYPE f counter\nf 0\n";
        assert_eq!(page.0, expected);
    }

    #[test]
    fn the_system_says_how_much_memory_there_is() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
