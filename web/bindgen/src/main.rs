//! `bindgen IN.wasm FOLDER NAME`: writes `FOLDER/NAME.js`, `NAME.d.ts` and `NAME_bg.wasm` for `IN.wasm`.

use std::path::Path;
use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

/// Takes comments and indentation out of a script: pages download it, and nobody reads it.
fn bare(script: &Path) -> std::io::Result<()> {
    let text = std::fs::read_to_string(script)?;
    let is_comment = |line: &&str| ["/*", "*", "//"].iter().any(|mark| line.starts_with(mark));
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !is_comment(line) && !line.is_empty()).collect();
    std::fs::write(script, lines.join("\n") + "\n")
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [input, folder, name] = &args[..] else {
        eprintln!("usage: bindgen IN.wasm FOLDER NAME");
        return ExitCode::FAILURE;
    };
    let mut bindgen = Bindgen::new();
    let made = bindgen
        .web(true)
        .and_then(|b| b.typescript(true).reset_state_function(true).input_path(input).out_name(name).generate(folder));
    let made = made.and_then(|()| Ok(bare(&Path::new(folder).join(format!("{name}.js")))?));
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}
