//! `bindgen IN.wasm FOLDER NAME`: writes `FOLDER/NAME.js`, `NAME.d.ts` and `NAME_bg.wasm` for `IN.wasm`.

use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

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
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}
