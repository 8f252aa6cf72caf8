//! The parts of WASI 0.2 that every guest toolchain imports, over contexts that hold nothing: no arguments, no
//! environment, and no files but those of a private directory. Sockets are there because toolchains import them whether a
//! program uses them or not; none can be made, and no name is looked up.

use wasmtime::component::{HasData, HasSelf, Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, io, random, sockets};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};
use wasmtime_wasi::{WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use super::files::{Filesystem, View};
use super::host::Host;
use super::random::Entropy;

/// Serves `wasi:cli`, `clocks`, `filesystem`, `io` and `random`, and `sockets` that are denied.
pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    io::error::add_to_linker::<Host, Table>(linker, |host| &mut host.table)?;
    io::poll::add_to_linker::<Host, Table>(linker, |host| &mut host.table)?;
    io::streams::add_to_linker::<Host, Table>(linker, |host| &mut host.table)?;

    clocks::wall_clock::add_to_linker::<Host, WasiClocks>(linker, Host::clocks)?;
    clocks::monotonic_clock::add_to_linker::<Host, WasiClocks>(linker, Host::clocks)?;

    random::random::add_to_linker::<Host, HasSelf<Entropy>>(linker, |host| &mut host.entropy)?;
    random::insecure::add_to_linker::<Host, HasSelf<Entropy>>(linker, |host| &mut host.entropy)?;
    random::insecure_seed::add_to_linker::<Host, HasSelf<Entropy>>(linker, |host| &mut host.entropy)?;

    filesystem::types::add_to_linker::<Host, Filesystem>(linker, View::of)?;
    filesystem::preopens::add_to_linker::<Host, WasiFilesystem>(linker, Host::filesystem)?;

    cli::environment::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::exit::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::stdin::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::stdout::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::stderr::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::terminal_input::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::terminal_output::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::terminal_stdin::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::terminal_stdout::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::terminal_stderr::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;

    let options = sockets::network::LinkOptions::default();
    sockets::network::add_to_linker::<Host, WasiSockets>(linker, &options, Host::sockets)?;
    sockets::instance_network::add_to_linker::<Host, WasiSockets>(linker, Host::sockets)?;
    sockets::ip_name_lookup::add_to_linker::<Host, WasiSockets>(linker, Host::sockets)?;
    sockets::tcp_create_socket::add_to_linker::<Host, WasiSockets>(linker, Host::sockets)?;
    sockets::tcp::add_to_linker::<Host, WasiSockets>(linker, Host::sockets)?;
    sockets::udp_create_socket::add_to_linker::<Host, WasiSockets>(linker, Host::sockets)?;
    sockets::udp::add_to_linker::<Host, WasiSockets>(linker, Host::sockets)
}

struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.http.view(&mut self.table, self.call.scope.trace)
    }
}
