//! Saving: at every moment either the old file or the new one is complete, and its links, mode and owner are preserved.
#![cfg(unix)]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use wgru::Error;
use wgru::io::{TensorFile, write_atomically};

/// Values of the tensor that a child process saves repeatedly: each save writes 256 KB.
const VALUES: usize = 1 << 16;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> = entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("metadata").mode() & 0o7777
}

fn root() -> bool {
    let folder = folder();
    fs::metadata(folder.path()).expect("metadata").uid() == 0
}

/// Asserts that saving to `path` is refused with all of `words`.
#[track_caller]
fn refused(path: &Path, words: &[&str]) {
    let error = write_atomically(path, b"new").expect_err("refused");
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    let text = error.to_string();
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
}

fn file_of(k: usize) -> TensorFile {
    let mut file = TensorFile::default();
    file.insert("values", &[VALUES], vec![k as f32; VALUES]);
    file
}

/// A command that starts this program again to run only [`child`].
fn this(action: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["saving::child", "--exact", "--ignored", "--nocapture"]);
    command.env("WGRU_SAVING", action).env("WGRU_SAVING_PATH", path);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Entry point of the processes that the tests below start.
#[test]
#[ignore = "run by other tests"]
fn child() {
    let path = PathBuf::from(std::env::var_os("WGRU_SAVING_PATH").expect("a path"));
    match std::env::var("WGRU_SAVING").expect("an action").as_str() {
        "forever" => {
            for k in 1.. {
                file_of(k).save(&path).expect("saved");
            }
        }
        "once" => file_of(7).save(&path).expect("saved"),
        "refused" => assert!(file_of(7).save(&path).is_err()),
        other => panic!("{other}"),
    }
}

#[test]
fn a_save_that_is_killed_leaves_the_old_file_or_the_new_one() {
    let folder = folder();
    let path = folder.path().join("model.safetensors");
    file_of(0).save(&path).expect("saved");
    let (mut left, mut moved) = (0, 0);
    // `scripts/proof.sh soak` kills more.
    let rounds: u64 = if std::env::var("WGRU_SOAK").as_deref() == Ok("1") { 1000 } else { 200 };
    for round in 0..rounds {
        let mut process = this("forever", &path).spawn().expect("a process");
        // Killed at some point from before the first save to a few saves later.
        std::thread::sleep(Duration::from_micros(2_000 + round * 7_919 % 40_000));
        process.kill().expect("killed");
        process.wait().expect("ended");
        let file = TensorFile::open(&path).expect("a whole file");
        let values = file.get("values").expect("there").1;
        assert!(values.len() == VALUES && values.iter().all(|v| *v == values[0]), "round {round}: a torn file");
        moved += (values[0] > 0.0) as usize;
        let leftovers = names(folder.path()).len() - 1;
        assert!(leftovers <= 1, "round {round}: {:?}", names(folder.path()));
        left += leftovers;
    }
    println!("of {rounds} kills {left} left a temporary file, {moved} a newer file");
    assert!(left > 0 && moved > 0, "no kill hit a save, or every kill hit the first: the test has no effect");
    file_of(1).save(&path).expect("saved");
    assert_eq!(names(folder.path()), ["model.safetensors"]);
}

#[test]
fn temporary_files_of_other_savers_are_kept() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let (live, dead) = (at(".wgru-0123456789abcdef.tmp"), at(".wgru-fedcba9876543210.tmp"));
    let others = [".wgru-0123456789abcdeg.tmp", ".wgru-1.tmp", "wgru-0123456789abcdef.tmp", ".model.1.tmp"];
    others
        .iter()
        .map(|name| at(name))
        .chain([live.clone(), dead.clone()])
        .for_each(|p| fs::write(p, b"x").expect("made"));
    fs::create_dir(at(".wgru-aaaaaaaaaaaaaaaa.tmp")).expect("a folder");
    symlink(at(".model.1.tmp"), at(".wgru-bbbbbbbbbbbbbbbb.tmp")).expect("a link");
    let lock = File::open(&live).expect("opened");
    lock.lock().expect("locked, as by a save in progress");
    write_atomically(&at("new"), b"new").expect("saved");
    assert!(live.exists() && !dead.exists(), "{:?}", names(folder.path()));
    assert_eq!(names(folder.path()).len(), others.len() + 4, "{:?}", names(folder.path()));
    // Closing the file would not suffice: child processes that other tests are spawning hold a copy until they exec.
    lock.unlock().expect("unlocked");
    write_atomically(&at("new"), b"new").expect("saved");
    assert!(!live.exists(), "{:?}", names(folder.path()));
}

#[test]
fn concurrent_saves_are_each_complete() {
    let folder = folder();
    let path = folder.path().join("file");
    std::thread::scope(|scope| {
        for k in 0..4u8 {
            let path = &path;
            scope.spawn(move || (0..50).for_each(|_| write_atomically(path, &[k; 10_000]).expect("saved")));
        }
    });
    let bytes = fs::read(&path).expect("read");
    assert!(bytes.len() == 10_000 && bytes.iter().all(|&b| b == bytes[0]));
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn modes_are_kept_and_new_files_obey_the_umask() {
    let folder = folder();
    let path = folder.path().join("file");
    File::create(folder.path().join("other")).expect("made");
    write_atomically(&path, b"new").expect("saved");
    assert_eq!(mode(&path), mode(&folder.path().join("other")));
    for bits in [0o600, 0o640, 0o644, 0o666, 0o755, 0o2664] {
        fs::set_permissions(&path, fs::Permissions::from_mode(bits)).expect("set");
        write_atomically(&path, b"newer").expect("saved");
        assert_eq!(mode(&path), bits, "{:o} became {:o}", bits, mode(&path));
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).expect("set");
    refused(&path, &["read-only"]);
    assert_eq!(fs::read(&path).expect("read"), b"newer");
}

#[test]
fn owners_stay() {
    if !root() {
        return eprintln!("SKIPPED: only root can give files away");
    }
    let folder = folder();
    let path = folder.path().join("file");
    fs::write(&path, b"old").expect("made");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
    std::os::unix::fs::chown(&path, Some(1234), Some(2345)).expect("given away");
    write_atomically(&path, b"new").expect("saved");
    let there = fs::metadata(&path).expect("metadata");
    assert_eq!((there.uid(), there.gid(), mode(&path)), (1234, 2345, 0o640));
    // A process that may not change the owner still saves, without opening the file to anyone else.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("set");
    let saved = this("once", &path).uid(4321).gid(4321).status();
    if !saved.is_ok_and(|status| status.success()) {
        return eprintln!("SKIPPED: another user cannot run this program");
    }
    let there = fs::metadata(&path).expect("metadata");
    assert_eq!((there.uid(), there.gid(), mode(&path)), (4321, 4321, 0o600));
}

#[test]
fn symbolic_links_are_followed() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("runs")).expect("a folder");
    write_atomically(&at("runs/7"), b"old").expect("saved");
    symlink("runs/7", at("last")).expect("a link");
    symlink(at("last"), at("best")).expect("a link to a link");
    symlink("../runs", at("runs/here")).expect("a link to a folder");
    for (link, bytes) in [("last", b"1"), ("best", b"2"), ("runs/here/7", b"3")] {
        write_atomically(&at(link), bytes).expect("saved");
        assert_eq!(fs::read(at("runs/7")).expect("read"), bytes);
    }
    assert!(at("last").is_symlink() && at("best").is_symlink());
    symlink("runs/8", at("next")).expect("a link to nothing");
    write_atomically(&at("next"), b"8").expect("saved");
    assert!(at("next").is_symlink() && fs::read(at("runs/8")).expect("read") == b"8");
    symlink("nowhere/9", at("lost")).expect("a link into no folder");
    refused(&at("lost"), &["lost"]);
    symlink("round", at("round")).expect("a link to itself");
    refused(&at("round"), &["round", "symbolic links"]);
    assert_eq!(names(folder.path()), ["best", "last", "lost", "next", "round", "runs"]);
}

#[test]
fn other_names_of_a_file_keep_the_old_content() {
    let folder = folder();
    let (path, other) = (folder.path().join("file"), folder.path().join("backup"));
    write_atomically(&path, b"old").expect("saved");
    fs::hard_link(&path, &other).expect("a link");
    write_atomically(&path, b"new").expect("saved");
    assert_eq!((fs::read(&path).expect("read"), fs::read(&other).expect("read")), (b"new".to_vec(), b"old".to_vec()));
}

#[test]
fn targets_that_are_no_regular_files_are_refused_and_kept() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("folder")).expect("a folder");
    refused(&at("folder"), &["folder", "is a folder"]);
    let socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("a socket");
    refused(&at("socket"), &["is a socket"]);
    drop(socket);
    let make = |program: &str, args: &[&str]| {
        Command::new(program)
            .args(args)
            .current_dir(folder.path())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    };
    match make("mkfifo", &["pipe"]) {
        true => {
            refused(&at("pipe"), &["is a pipe"]);
            assert!(fs::metadata(at("pipe")).expect("there").file_type().is_fifo());
        }
        false => eprintln!("SKIPPED: mkfifo is missing"),
    }
    match make("mknod", &["null", "c", "1", "3"]) {
        true => {
            symlink("null", at("link")).expect("a link");
            refused(&at("null"), &["is a device"]);
            refused(&at("link"), &["leads to", "null", "is a device"]);
            assert!(fs::metadata(at("null")).expect("there").file_type().is_char_device());
        }
        false => eprintln!("SKIPPED: only root makes devices"),
    }
}

#[test]
fn names_of_any_length_and_bytes_can_be_saved_to() {
    let folder = folder();
    for name in [OsStr::from_bytes(&[b'n'; 255]), OsStr::from_bytes(b"not \xff UTF-8"), OsStr::new("…")] {
        let path = folder.path().join(name);
        write_atomically(&path, b"new").expect("saved");
        assert_eq!(fs::read(&path).expect("read"), b"new");
    }
    assert_eq!(names(folder.path()).len(), 3);
    for no_name in ["", "/", "..", "a/..", "new/", "new/."] {
        let path = folder.path().join("x").join(no_name);
        let path = if no_name.is_empty() { PathBuf::new() } else { path };
        refused(&path, &["does not end in the name of a file"]);
    }
    refused(&folder.path().join("missing/file"), &["missing/file", "os error 2"]);
    refused(&folder.path().join([b'n'; 256].map(char::from).iter().collect::<String>()), &["os error 36"]);
    assert_eq!(names(folder.path()).len(), 3);
}

#[test]
fn a_save_into_the_current_folder_needs_no_folder_in_the_path() {
    let folder = folder();
    let mut command = this("once", Path::new("file"));
    assert!(command.current_dir(folder.path()).status().expect("run").success());
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn a_disk_that_is_full_keeps_the_old_file() {
    let folder = folder();
    let path = folder.path().join("model.safetensors");
    file_of(1).save(&path).expect("saved");
    let before = fs::read(&path).expect("read");
    // A limit on the file size simulates a full disk.
    let program = this("refused", &path);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\""]).arg(program.get_program());
    command.args(program.get_args()).env("WGRU_SAVING", "refused").env("WGRU_SAVING_PATH", &path);
    assert!(command.stdout(Stdio::null()).status().expect("sh").success(), "the save was not refused");
    assert!(fs::read(&path).expect("read") == before, "the old file changed");
    assert_eq!(names(folder.path()), ["model.safetensors"]);
}

#[test]
fn a_folder_that_cannot_be_written_keeps_the_old_file() {
    let folder = folder();
    let path = folder.path().join("file");
    fs::write(&path, b"old").expect("made");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).expect("set");
    let mut command = this("refused", &path);
    if root() {
        // Root may write anywhere.
        command.uid(4321).gid(4321);
    }
    match command.status() {
        Ok(status) => assert!(status.success(), "the save was not refused"),
        Err(error) => eprintln!("SKIPPED: another user cannot run this program: {error}"),
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("set");
    assert_eq!(fs::read(&path).expect("read"), b"old");
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
#[cfg(target_os = "linux")]
fn full_and_read_only_disks_keep_the_old_file() {
    let run = |program: &str, args: &[&OsStr]| {
        Command::new(program).args(args).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    let disk = folder();
    let mount = |options: &str| {
        let words = ["-t", "tmpfs", "-o", options, "none"].map(OsStr::new);
        run("mount", &[&words[..], &[disk.path().as_os_str()]].concat())
    };
    if !mount("size=64k") {
        return eprintln!("SKIPPED: only root can mount a disk");
    }
    let path = disk.path().join("file");
    // A panic in between would leave the disk mounted.
    let outcome = std::panic::catch_unwind(|| {
        let old = vec![1; 40_000];
        write_atomically(&path, &old).expect("saved");
        let full = write_atomically(&path, &[2; 40_000]).expect_err("full");
        assert!(fs::read(&path).expect("read") == old && names(disk.path()) == ["file"], "{full}");
        assert!(mount("remount,ro"), "not remounted");
        let read_only = write_atomically(&path, b"3").expect_err("read-only");
        assert!(fs::read(&path).expect("read") == old && names(disk.path()) == ["file"], "{read_only}");
        [full, read_only]
    });
    assert!(run("umount", &[disk.path().as_os_str()]), "still mounted");
    let [full, read_only] = outcome.expect("no panic");
    assert!(matches!(&full, Error::Io { .. }) && full.to_string().contains("os error 28"), "{full}");
    assert!(matches!(&read_only, Error::Io { .. }) && read_only.to_string().contains("os error 30"), "{read_only}");
}
