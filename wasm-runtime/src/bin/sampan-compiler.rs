//! The compiler child as a program of its own: for tests, whose harness owns `main`.

fn main() -> std::process::ExitCode {
    sampan_wasm_runtime::compile_child_main();
    eprintln!("sampan-compiler is started by the runtime, not by hand");
    std::process::ExitCode::FAILURE
}
