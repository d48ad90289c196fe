//! C and C++ programs compile without warnings and do what they should: linked statically and dynamically, and with
//! sanitizers for addresses, leaks and undefined behavior.
//!
//! Needs `cc` and `c++`. With `WGRU_REQUIRE_CLANG` set, also uses clang, which otherwise is used if it is installed.
#![cfg(target_os = "linux")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// System libraries that Rust's standard library links to.
const SYSTEM: [&str; 5] = ["-lpthread", "-ldl", "-lm", "-lrt", "-lgcc_s"];
const SANITIZERS: [&str; 4] =
    ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g"];

/// The folder of the libraries, which cargo builds for this test together with the Rust library.
fn libraries() -> PathBuf {
    let folder = std::env::current_exe().expect("a program").parent().expect("a folder").to_path_buf();
    for name in ["libwgru.a", "libwgru.so"] {
        assert!(folder.join(name).exists(), "{} has no {name}", folder.display());
    }
    folder
}

/// A folder with models of every kind, until it is dropped.
fn models() -> TempDir {
    let folder = tempfile::tempdir().expect("folder");
    common::write_models(folder.path());
    folder
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    output
}

/// How to link.
#[derive(Clone, Copy)]
enum Link {
    Static,
    Shared,
}

/// Compiles a program and runs it on an argument. Returns what it prints.
fn run(compiler: &str, source: &str, link: Link, flags: &[&str], argument: &Path) -> String {
    let folder = tempfile::tempdir().expect("folder");
    let program = folder.path().join("program");
    let standard = if source.ends_with(".cpp") { "-std=c++17" } else { "-std=c11" };
    let strict = ["-O1", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror", standard];
    let mut compile = Command::new(compiler);
    // POSIX threads and clocks in strict C.
    compile.current_dir(ROOT).args(strict).arg("-D_POSIX_C_SOURCE=200809L").args(flags);
    compile.args(["-Iinclude", source, "-o"]).arg(&program);
    match link {
        Link::Static => compile.arg(libraries().join("libwgru.a")).args(SYSTEM),
        Link::Shared => compile.arg("-L").arg(libraries()).args(["-lwgru", "-lm", "-lpthread"]),
    };
    succeed(&mut compile);
    let output = succeed(Command::new(&program).arg(argument).env("LD_LIBRARY_PATH", libraries()));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The compilers for C and C++.
fn compilers() -> Vec<[&'static str; 2]> {
    let clang = Command::new("clang").arg("--version").output().is_ok();
    assert!(clang || std::env::var_os("WGRU_REQUIRE_CLANG").is_none(), "clang is not installed");
    if !clang {
        println!("SKIPPED: clang is not installed");
    }
    [["cc", "c++"]].into_iter().chain(clang.then_some(["clang", "clang++"])).collect()
}

/// Runs a test program with both compilers, both ways of linking, and sanitizers.
fn everywhere(source: &str, expected: &str) {
    let models = models();
    for (at, [c, cpp]) in compilers().into_iter().enumerate() {
        let compiler = if source.ends_with(".cpp") { cpp } else { c };
        let plain = if at == 0 { Link::Shared } else { Link::Static };
        for (link, flags) in [(plain, &[][..]), (Link::Static, &SANITIZERS)] {
            let output = run(compiler, source, link, flags, models.path());
            assert!(output.contains(expected), "{compiler} {source}: {output}");
        }
    }
}

#[test]
fn c_programs_use_every_function() {
    everywhere("tests/c/usage.c", "checks");
}

#[test]
fn mistakes_give_errors() {
    everywhere("tests/c/hostile.c", "checks");
}

#[test]
fn cpp_programs_own_their_objects() {
    everywhere("tests/c/owners.cpp", "all checks passed");
}

/// The tests above would see a leak and an overflow.
#[test]
fn sanitizers_are_at_work() {
    let (folder, models) = (tempfile::tempdir().expect("folder"), models());
    for (name, body, report) in [
        (
            "leak",
            "WgruModel *m = 0; int bad = wgru_model_open(a[1], 0, &m, 0) != 0; m = 0; return bad;",
            "LeakSanitizer",
        ),
        (
            "overflow",
            "char *p = malloc(4); p[n + 2] = 1; free(p); return (int)wgru_version_number() < 0;",
            "heap-buffer",
        ),
    ] {
        let (source, program) = (folder.path().join(format!("{name}.c")), folder.path().join(name));
        let text = format!("#include <stdlib.h>\n#include <wgru.h>\nint main(int n, char **a) {{ (void)a; {body} }}\n");
        std::fs::write(&source, text).expect("written");
        let mut compile = Command::new("cc");
        compile.current_dir(ROOT).args(SANITIZERS).arg("-Iinclude").arg(&source).arg("-o").arg(&program);
        succeed(compile.arg(libraries().join("libwgru.a")).args(SYSTEM));
        let output = Command::new(&program).arg(models.path().join("gru.safetensors")).output().expect("run");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && errors.contains(report), "{name}: {errors}");
    }
}

#[test]
fn examples_run() {
    let models = models();
    let model = |name: &str| models.path().join(name);
    for name in ["gru.safetensors", "graph.onnx", "rtneural.json"] {
        let output = run("cc", "examples/stream.c", Link::Static, &[], &model(name));
        assert!(output.contains("from the same state: the same"), "{output}");
    }
    let output = run("c++", "examples/sequence.cpp", Link::Shared, &[], &model("lstm.safetensors"));
    assert!(output.contains("y: [2, 50, 16]") && output.contains("c_n: [1, 2, 16]"), "{output}");
}

/// The header is complete: it compiles alone, and as C++.
#[test]
fn headers_compile_alone() {
    for (compiler, language, header) in [("cc", "c", "wgru.h"), ("c++", "c++", "wgru.h"), ("c++", "c++", "wgru.hpp")] {
        let flags = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-x", language];
        let mut compile = Command::new(compiler);
        compile.current_dir(ROOT).args(flags);
        succeed(compile.arg(format!("include/{header}")));
    }
}
