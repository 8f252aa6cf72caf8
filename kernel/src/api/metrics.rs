//! Counts and gauges, in the text format of Prometheus.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::task::spawn_blocking;

use self::text::Page;
use super::status;
use crate::gateway::Gateway;
use prx_base::error::{Error, Result};
use prx_base::events::Kind;
use prx_base::issue::IssueKind;
use prx_base::meter::Meter;
use prx_host::Status as PluginState;
use prx_http::{Call, Doc, Reply};
use prx_mcp::State as McpState;
use prx_store::HookState;

mod text;

/// Entries of an outbox, and dead letters, that are counted of one channel.
const MAX_COUNTED: usize = 100_000;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) const SHOW: Doc = Doc::new("Show counts and gauges for Prometheus").or_as("text/plain");

pub(super) async fn show(gateway: Arc<Gateway>, _: Call) -> Result<Reply> {
    let issues = status::all_issues(&gateway).await;
    // What is kept is counted where nobody else waits for it.
    let page = spawn_blocking(move || {
        let mut page = Page::default();
        requests(&gateway, &mut page);
        events(&gateway, &mut page);
        turns(&gateway.base.meter, &mut page);
        models(&gateway.base.meter, &mut page);
        tools(&gateway.base.meter, &mut page);
        gauges(&gateway, &mut page);
        channels(&gateway, &mut page);
        plugins(&gateway, &mut page);
        hooks(&gateway, &mut page);
        jobs(&gateway, &mut page);
        page.family(
            "prx_issues",
            "gauge",
            "What is wrong and should not be, by what it is about, as in the status.",
        );
        for kind in IssueKind::ALL {
            let count = issues.iter().filter(|issue| issue.kind == *kind).count();
            page.sample("prx_issues", &[("kind", kind.name())], count);
        }
        page.0
    });
    Ok(Reply::text(TEXT, page.await.map_err(Error::internal)?))
}

fn turns(meter: &Meter, page: &mut Page) {
    page.family("prx_turns_total", "counter", "Turns that ended, by agent and by how.");
    for (agent, ends) in meter.turns() {
        for (end, count) in ends {
            page.sample("prx_turns_total", &[("agent", &agent), ("outcome", end.name())], count);
        }
    }
    let name = "prx_turn_duration_seconds";
    let about = "From the arrival of a message until the last reply of its turn was on disk.";
    page.family(name, "histogram", about);
    page.histogram(name, &[], &meter.turn_times());
}

fn models(meter: &Meter, page: &mut Page) {
    let providers = meter.providers();
    page.family(
        "prx_model_calls_total",
        "counter",
        "Attempts to have a model answer, by provider and outcome.",
    );
    for (provider, calls) in &providers {
        for (outcome, count) in [("answered", &calls.answered), ("failed", &calls.failed)] {
            let labels = [("provider", provider.as_str()), ("outcome", outcome)];
            page.sample("prx_model_calls_total", &labels, count.load(Ordering::Relaxed));
        }
    }
    let about = "Tokens that models have read (input) and written (output), by provider.";
    page.family("prx_tokens_total", "counter", about);
    for (provider, calls) in &providers {
        let (input, output) = calls.tokens();
        for (direction, count) in [("input", input), ("output", output)] {
            let labels = [("provider", provider.as_str()), ("direction", direction)];
            page.sample("prx_tokens_total", &labels, count);
        }
    }
    let name = "prx_model_call_duration_seconds";
    page.family(name, "histogram", "How long attempts to have a model answer took.");
    for (provider, calls) in &providers {
        page.histogram(name, &[("provider", provider)], &calls.times.distribution());
    }
}

fn tools(meter: &Meter, page: &mut Page) {
    let tools = meter.tools();
    page.family(
        "prx_tool_calls_total",
        "counter",
        "Calls of tools, by where those come from, and by outcome.",
    );
    for (source, calls) in &tools {
        for (outcome, count) in [("done", &calls.done), ("failed", &calls.failed)] {
            let labels = [("source", source.as_str()), ("outcome", outcome)];
            page.sample("prx_tool_calls_total", &labels, count.load(Ordering::Relaxed));
        }
    }
    let name = "prx_tool_call_duration_seconds";
    page.family(name, "histogram", "How long calls of tools took.");
    for (source, calls) in &tools {
        page.histogram(name, &[("source", source)], &calls.times.distribution());
    }
    page.family("prx_filter_verdicts_total", "counter", "What filters have made of what they were shown.");
    for (filter, verdicts) in meter.filters() {
        for (verdict, count) in verdicts {
            page.sample(
                "prx_filter_verdicts_total",
                &[("filter", &filter), ("verdict", verdict.name())],
                count,
            );
        }
    }
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
    page.family("prx_build_info", "gauge", "1, with the version that runs.");
    page.sample("prx_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.single("prx_sessions_active", "gauge", "Active sessions.", gateway.store.active_sessions(None));
    if let Some(bytes) = resident_bytes() {
        page.single("process_resident_memory_bytes", "gauge", "Memory of the gateway.", bytes);
    }
    let started = gateway.process.started.as_second();
    page.single("process_start_time_seconds", "gauge", "When the gateway was started.", started);
    let store = &gateway.store;
    let healthy = u8::from(store.is_healthy());
    page.single("prx_store_healthy", "gauge", "1 while the disk takes what it is given.", healthy);
    page.single("prx_store_file_bytes", "gauge", "The file of the store.", store.file_bytes());
    let (exported, dropped) = gateway.base.traces.counts();
    let about = "Spans of traces that a collector has taken.";
    page.single("prx_trace_spans_exported_total", "counter", about, exported);
    let about = "Spans of traces that no collector will see.";
    page.single("prx_trace_spans_dropped_total", "counter", about, dropped);
    let about = "Commits of the store since the start.";
    page.single("prx_store_commits_total", "counter", about, store.commits());
}

fn channels(gateway: &Gateway, page: &mut Page) {
    let channels = gateway.channels.list();
    page.family("prx_channel_connected", "gauge", "1 for a channel that is connected.");
    for channel in &channels {
        let connected = u8::from(channel.connected_at.is_some());
        page.sample("prx_channel_connected", &[("channel", &channel.name)], connected);
    }
    let depth = |channel: &str| gateway.store.outbox_depth(channel, MAX_COUNTED).unwrap_or_default();
    let depths: Vec<_> = channels.iter().map(|channel| (&channel.name, depth(&channel.name))).collect();
    page.family(
        "prx_outbox_entries",
        "gauge",
        "What waits to be sent to a channel's platform, or is on its way.",
    );
    for (channel, (waiting, _)) in &depths {
        page.sample("prx_outbox_entries", &[("channel", channel)], waiting);
    }
    page.family("prx_dead_letters", "gauge", "What a channel has given up, and can be sent again.");
    for (channel, (_, dead)) in &depths {
        page.sample("prx_dead_letters", &[("channel", channel)], dead);
    }
    let servers = gateway.mcp.list();
    page.family("prx_mcp_server_connected", "gauge", "1 for an MCP server that is connected.");
    for server in &servers {
        let connected = u8::from(server.state == McpState::Connected);
        page.sample("prx_mcp_server_connected", &[("server", &server.name)], connected);
    }
    page.family("prx_mcp_server_tools", "gauge", "Tools of an MCP server.");
    for server in &servers {
        page.sample("prx_mcp_server_tools", &[("server", &server.name)], server.tools.len());
    }
}

fn plugins(gateway: &Gateway, page: &mut Page) {
    let plugins = gateway.plugins.list();
    page.family("prx_plugin_loaded", "gauge", "1 for a plugin that serves.");
    for plugin in &plugins {
        let loaded = u8::from(plugin.status == PluginState::Loaded);
        page.sample("prx_plugin_loaded", &[("plugin", &plugin.name)], loaded);
    }
    page.family("prx_plugin_memory_bytes", "gauge", "Memory of a plugin's instances and code.");
    for plugin in &plugins {
        page.sample("prx_plugin_memory_bytes", &[("plugin", &plugin.name)], plugin.memory_usage_bytes);
    }
}

fn jobs(gateway: &Gateway, page: &mut Page) {
    let jobs = gateway.jobs.list().unwrap_or_default();
    let ran = jobs.iter().filter_map(|job| Some((job, job.last_run.as_ref()?)));
    let ran: Vec<_> =
        ran.map(|(job, last)| ([("plugin", &*job.plugin), ("job", &*job.name)], last)).collect();
    page.family("prx_job_last_run_timestamp_seconds", "gauge", "When a job ended the last time.");
    for (labels, last) in &ran {
        page.sample("prx_job_last_run_timestamp_seconds", labels, last.ended_at.as_second());
    }
    page.family("prx_job_last_run_success", "gauge", "1 where a job did what it was to, the last time.");
    for (labels, last) in &ran {
        page.sample("prx_job_last_run_success", labels, u8::from(last.problem.is_none()));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_says_how_much_memory_there_is() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
