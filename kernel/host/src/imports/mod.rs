//! What a component may ask of the kernel: one file for each interface it can import.

mod blobs;
mod clocks;
mod common;
mod config;
mod file_stream;
mod files;
mod host;
mod http;
mod kv;
mod log;
mod memory;
mod quota;
mod random;
mod shared;
mod sink;
mod stdio;
mod transcript;
mod turns;
mod wasi;

use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi_http::p2::bindings::http::{outgoing_handler, types as http_types};
use wasmtime_wasi_http::{WasiHttp, WasiHttpView};

pub(crate) use self::host::{CallState, Host};
pub(crate) use self::shared::Shared;
use super::bindings;
use super::links::Links;

/// Serves what every component may import, and of the rest what `links` grants.
pub(super) fn link(linker: &mut Linker<Host>, links: &Links) -> wasmtime::Result<()> {
    wasi::link(linker)?;
    bindings::common::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    bindings::log::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    bindings::config::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    bindings::blobs::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    bindings::sink::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    bindings::transcript::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    if links.kv_bytes.is_some() {
        bindings::kv::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    }
    if links.turns {
        bindings::turns::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    }
    if links.memory.is_some() {
        bindings::memory::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    }
    // What requests and responses are; without a handler there is nobody to send one to.
    let options = http_types::LinkOptions::default();
    http_types::add_to_linker::<Host, WasiHttp>(linker, &options, Host::http)?;
    if links.http.is_some() {
        outgoing_handler::add_to_linker::<Host, WasiHttp>(linker, Host::http)?;
    }
    Ok(())
}
