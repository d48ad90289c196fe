//! `println` for programs whose output goes to a pipe.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stdout};
use std::process::exit;

/// As the macro of the standard library, but ends the program quietly when the reader of the pipe, for example `head`,
/// has enough. The standard library panics.
macro_rules! println {
    () => {
        $crate::print::line(format_args!(""))
    };
    ($($text:tt)*) => {
        $crate::print::line(format_args!($($text)*))
    };
}

/// Prints a line.
pub fn line(text: Arguments<'_>) {
    if cfg!(test) {
        // Tests capture it.
        std::println!("{text}");
    } else {
        write(text);
    }
}

fn write(text: Arguments<'_>) {
    match writeln!(stdout(), "{text}") {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => exit(0),
        Err(error) => {
            eprintln!("error: standard output: {error}");
            exit(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    /// Run by the other test, in a process of its own.
    #[test]
    #[ignore = "prints until the pipe is closed"]
    fn printing_without_end() {
        loop {
            super::write(format_args!("a line"));
        }
    }

    #[test]
    fn a_closed_pipe_ends_the_program_quietly() {
        let mut program = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "print::tests::printing_without_end", "--ignored", "--nocapture"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(program.stdout.take().unwrap()).lines().map_while(Result::ok);
        // Drops the pipe after the line.
        assert!(lines.take(100).any(|line| line == "a line"));
        let ended = program.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success() && errors.is_empty(), "{:?}: {errors}", ended.status);
    }
}
