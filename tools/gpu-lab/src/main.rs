//! Translates every kernel as wgpu does, and compares the statistics that Mesa's driver for AMD GPUs prints about them
//! with a committed table. Needs no GPU. Run by `scripts/gpu-lab.sh`.
//!
//! ```text
//! gpu-lab emit FOLDER             writes SPIR-V, HLSL and MSL of every kernel
//! gpu-lab table FILE [--write]    prints statistics of every kernel and compares them with FILE, or writes FILE
//! ```

mod radv;
mod table;
mod translate;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use table::Table;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["emit", folder] => emit(Path::new(folder)),
        ["table", file] => compare(Path::new(file)),
        ["table", file, "--write"] => write(Path::new(file)),
        _ => Err("usage: gpu-lab emit FOLDER, or gpu-lab table FILE [--write]".into()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("gpu-lab: {error}");
            ExitCode::FAILURE
        }
    }
}

fn emit(folder: &Path) -> Result<bool> {
    std::fs::create_dir_all(folder)?;
    let kernels = wgru::kernels::all();
    for kernel in &kernels {
        let shader = translate::parse(kernel)?;
        for (environment, version) in translate::ENVIRONMENTS {
            let words = shader.spirv(version, translate::Buffers::Checked)?;
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            std::fs::write(folder.join(format!("{}.{environment}.spv", kernel.name)), bytes)?;
        }
        std::fs::write(folder.join(format!("{}.hlsl", kernel.name)), shader.hlsl()?)?;
        std::fs::write(folder.join(format!("{}.metal", kernel.name)), shader.msl()?)?;
    }
    println!("{} kernels written", kernels.len());
    Ok(true)
}

/// Compiles every kernel that can run on the GPU.
fn measure() -> Result<Table> {
    let driver = radv::Driver::open()?;
    let mut rows = Vec::new();
    for kernel in wgru::kernels::all() {
        if driver.has_subgroup_size(kernel.subgroup) {
            let words = translate::parse(&kernel)?.spirv((1, 6), translate::Buffers::Robust)?;
            let buffers = kernel.reads.len() + kernel.writes.len();
            rows.push(driver.statistics(kernel.name, &words, buffers)?);
        } else {
            println!("left out, because this GPU has no subgroups of {} lanes: {}", kernel.subgroup, kernel.name);
        }
    }
    Ok(Table::new(driver.gpu, driver.mesa, rows))
}

fn write(file: &Path) -> Result<bool> {
    let table = measure()?;
    std::fs::write(file, table.to_string())?;
    println!("{} written, {}", file.display(), table.mesa());
    Ok(table.spills().is_empty())
}

fn compare(file: &Path) -> Result<bool> {
    let now = measure()?;
    println!("{now}");
    let before: Table = std::fs::read_to_string(file)?.parse()?;
    if before.mesa() != now.mesa() {
        now.spills().iter().for_each(|spill| println!("{spill}"));
        println!(
            "NOT COMPARED: {} holds figures of {}, and this is {}; compilers of different versions differ",
            file.display(),
            before.mesa(),
            now.mesa(),
        );
        return Ok(now.spills().is_empty());
    }
    let findings = now.findings(&before);
    findings.iter().for_each(|finding| println!("{finding}"));
    if findings.is_empty() {
        println!("as in {}: no spills, no kernel missing, no latency higher by more than a tenth", file.display());
    } else {
        println!("differs from {}; to accept: scripts/gpu-lab.sh --write", file.display());
    }
    Ok(findings.is_empty())
}
