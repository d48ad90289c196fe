//! The command `wgru`: shows, runs, checks, compares, converts and times recurrent models, and reports on GPUs.
//!
//! Exit codes: 0 if everything went well; 1 if the answer is no (a check failed, devices disagree, a model needs
//! something that is missing); 2 for wrong arguments; 3 for a file that cannot be read or written; 4 for a device that
//! does not exist or fails; 5 for any other error.

mod bench;
mod check;
mod compare;
mod convert;
mod device;
mod devices;
mod failure;
mod graph;
mod info;
mod inputs;
mod model;
mod output;
#[cfg(feature = "gpu")]
mod report;
mod run;
mod tune;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use serde_json::json;

use failure::Result;
use output::{Answer, Output};

const CODES: &str = "Exit codes: 0 success; 1 the answer is no (a check failed, devices disagree, a model needs something \
                     that is missing); 2 wrong arguments; 3 a file cannot be read or written; 4 a device does not exist \
                     or fails; 5 any other error.";

/// Shows, runs, checks, compares, converts and times recurrent models of any framework.
#[derive(Parser, Debug)]
#[command(name = "wgru", version, after_help = CODES)]
struct Args {
    #[command(subcommand)]
    command: Command,
    /// Print the result as one JSON object.
    #[arg(long, global = true)]
    json: bool,
    /// Show no progress bars.
    #[arg(long, global = true)]
    quiet: bool,
}

#[derive(Subcommand, Debug)]
enum Command {
    Info(info::Args),
    Run(run::Args),
    Check(check::Args),
    Compare(compare::Args),
    Convert(convert::Args),
    Bench(bench::Args),
    Devices(devices::Args),
    Tune(tune::Args),
    #[cfg(feature = "gpu")]
    Report(report::Args),
    /// Prints a script that completes the arguments of this command in a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

fn dispatch(command: Command, out: &Output) -> Result<Answer> {
    match command {
        Command::Info(args) => info::info(&args, out),
        Command::Run(args) => run::run(&args, out),
        Command::Check(args) => check::check(&args, out),
        Command::Compare(args) => compare::compare(&args, out),
        Command::Convert(args) => convert::convert(&args, out),
        Command::Bench(args) => bench::bench(&args, out),
        Command::Devices(args) => devices::devices(&args, out),
        Command::Tune(args) => tune::tune(&args, out),
        #[cfg(feature = "gpu")]
        Command::Report(args) => report::report(&args, out),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "wgru", &mut script);
            let script = String::from_utf8_lossy(&script).into_owned();
            out.line(script.trim_end());
            Ok(Answer::yes(json!({ "script": script })))
        }
    }
}

fn main() -> ExitCode {
    env_logger::init();
    let args = Args::parse();
    let out = Output::new(args.json, args.quiet);
    match dispatch(args.command, &out) {
        Ok(answer) => {
            out.json(&answer.json);
            if answer.yes { ExitCode::SUCCESS } else { ExitCode::from(failure::NO) }
        }
        Err(failure) => {
            out.json(&json!({ "error": failure.text, "exit": failure.exit }));
            output::complain(&format!("error: {}", failure.text));
            ExitCode::from(failure.exit)
        }
    }
}
