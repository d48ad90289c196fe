//! `bindgen IN.wasm FOLDER NAME`: writes `FOLDER/NAME.js`, `NAME.d.ts` and `NAME_bg.wasm` for `IN.wasm`.

use std::path::Path;
use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [input, folder, name] = &args[..] else {
        eprintln!("usage: bindgen IN.wasm FOLDER NAME");
        return ExitCode::FAILURE;
    };
    match generate(input, Path::new(folder), name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn generate(input: &str, folder: &Path, name: &str) -> Result<(), String> {
    let mut bindgen = Bindgen::new();
    let mut made = bindgen
        .web(true)
        .and_then(|b| b.typescript(true).reset_state_function(true).input_path(input).out_name(name).generate_output())
        .map_err(|error| format!("{error:?}"))?;
    // The module that holds the functions of the glue.
    let own = format!("./{name}_bg.js");
    let mut long: Vec<String> =
        made.wasm().imports.iter().filter(|i| i.module == own).map(|i| i.name.clone()).collect();
    // In the order of their names, so that all builds with the same imports share one glue file.
    long.sort_unstable();
    long.dedup();
    for import in made.wasm_mut().imports.iter_mut().filter(|i| i.module == own) {
        if let Ok(at) = long.binary_search(&import.name) {
            import.name = short(at);
        }
    }
    made.emit(folder).map_err(|error| format!("{error:?}"))?;
    let path = folder.join(format!("{name}.js"));
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut script = std::fs::read_to_string(&path).map_err(failed)?;
    for (at, long) in long.iter().enumerate() {
        let (key, count) = (format!("        {long}: "), script.matches(&format!("        {long}: ")).count());
        if count != 1 {
            return Err(format!("{}: {long:?} is defined {count} times; expected once", path.display()));
        }
        script = script.replace(&key, &format!("        {}: ", short(at)));
    }
    std::fs::write(&path, script).map_err(failed)
}

/// The name of an import in the glue and in the module. wasm-bindgen's names end with a hash, which does not compress.
fn short(at: usize) -> String {
    format!("a{at}")
}
