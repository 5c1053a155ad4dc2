//! The program itself, built with the tests so that they can run it.

fn main() -> std::process::ExitCode {
    tollgate::main()
}
