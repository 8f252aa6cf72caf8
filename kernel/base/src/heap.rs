//! Memory that is free in the process and that the system could use.

/// Returns what is free to the system: tens of MiB after a compilation, or after thousands of connections, that the
/// allocator would keep. Takes milliseconds; for callers that may block.
pub fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "the allocator is asked by a C call")]
    // SAFETY: malloc_trim(3) may be called at any time from any thread; it only unmaps what is free.
    unsafe {
        libc::malloc_trim(0);
    }
}
