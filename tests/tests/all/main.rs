//! The gateway as its users meet it: one binary of modules, so that it is linked, and everything it needs is built, once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking; not every module does it in each of these ways"
)]

mod agents;
mod agents_config;
mod agents_life;
mod audit;
mod authors;
mod backup;
mod bad_input;
mod blobs;
mod canary;
mod certificates;
mod channels_api;
mod chat;
mod compiling;
mod components;
mod config_api;
mod config_file;
mod console;
mod crash;
mod discord;
mod egress;
mod elsewhere;
mod files;
mod filters;
mod first_run;
mod frozen;
mod grants;
mod hooks;
mod hostile;
mod installing;
mod jobs;
mod killed_turns;
mod limits;
mod live_swap;
mod log_streams;
mod login_codes;
mod logs_api;
mod long_conversations;
mod mcp;
mod mcp_door;
mod mcp_http;
mod mcp_login;
mod mcp_odd;
mod mcp_questions;
mod mcp_resources;
mod memory;
mod metrics;
mod mishaps;
mod observers;
mod openai_api;
mod parameters;
mod plugins_api;
mod process;
mod provenance;
mod provider_data;
mod provider_faults;
mod provider_requests;
mod provider_tables;
mod providers;
mod reference;
mod reloaded_agents;
mod retention;
mod rights;
mod routes;
mod scripted;
mod service;
mod session_models;
mod sessions_api;
mod signed;
mod skills;
mod sockets;
mod stable_prompts;
mod stats;
mod streaming;
mod swap;
mod telegram;
mod tidy;
mod tool_bounds;
mod tool_files;
mod tools;
mod traces;
mod turns;
mod units;
mod webhook_channel;
mod wild_agents;
