//! The gateway's one binary; everything is in the library.

fn main() -> std::process::ExitCode {
    prx_mcp::become_program(std::env::args_os()).unwrap_or_else(prx::cli::main)
}
