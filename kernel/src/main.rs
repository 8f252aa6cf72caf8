//! The gateway's one binary; everything is in the library.

fn main() -> std::process::ExitCode {
    prx::cli::main()
}
