//! `tollgate`: one program, every role.

use std::process::ExitCode;

/// glibc's arenas grow without bound in servers of many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tollgate::main()
}
