//! Atomic replacement of files.
//!
//! The new content is written to a temporary file in the same folder, synced, and renamed over the old file (ADR 0032).
//! A process that is killed in between leaves the temporary file behind. The file is locked while it is written, and
//! the system releases the locks of a killed process, so the next save can tell leftovers from files in use, and
//! removes them.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Prefix and suffix of a temporary file's name, with 16 digits between them. The name is short, so that the target's
/// name may have any length.
const PREFIX: &str = ".wgru-";
const SUFFIX: &str = ".tmp";
/// Maximum number of symbolic links followed, as in Linux.
const MOST_LINKS: usize = 40;
/// Maximum number of attempts of a save, which starts again if its temporary file was removed.
const ATTEMPTS: usize = 8;

/// Replaces the file at `path`, or creates it, so that at every moment either the whole old file or the whole new one
/// exists, even after a crash or a power failure.
///
/// Symbolic links are followed; a missing target of a link is created. The mode is kept, and so is the owner if the
/// system allows it; the mode of a new file follows the umask. Access control lists and extended attributes are not
/// kept. If a file has several names (hard links), only this name gets the new content. The folder must be writable. A
/// process that is killed during a save leaves one `.wgru-….tmp` file in the folder, which the next save there removes.
///
/// ```
/// let path = std::env::temp_dir().join("wgru-doc-atomic.txt");
/// wgru::io::write_atomically(&path, b"new")?;
/// assert_eq!(std::fs::read(&path).unwrap(), b"new");
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// [`Error::Io`] if the system reports an error, or if the target is read-only or not a regular file (a folder, a
/// device, a pipe). The old file then does not change, unless only syncing the folder failed: then it has already been
/// replaced.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes).map_err(Error::io(path))
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (target, old) = target(path)?;
    let folder = folder(&target);
    remove_leftovers(folder);
    for _ in 0..ATTEMPTS {
        if attempt(&target, old.as_ref(), bytes)? {
            return sync_folder(folder);
        }
    }
    Err(io::Error::other("another program removed its temporary files"))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn refuse<T>(why: impl Into<String>) -> io::Result<T> {
    Err(io::Error::new(ErrorKind::InvalidInput, why.into()))
}

/// Follows links. Returns the file to replace, and its metadata if it exists.
fn target(path: &Path) -> io::Result<(PathBuf, Option<Metadata>)> {
    let mut target = path.to_path_buf();
    for _ in 0..=MOST_LINKS {
        let name = target.file_name().map(OsStr::as_encoded_bytes);
        if name.is_none_or(|name| !target.as_os_str().as_encoded_bytes().ends_with(name)) {
            return refuse("does not end in the name of a file");
        }
        match fs::symlink_metadata(&target) {
            Ok(there) if there.is_symlink() => target = folder(&target).join(fs::read_link(&target)?),
            Ok(there) if !there.is_file() => {
                let leads =
                    if target == path { String::new() } else { format!("leads to {}, which ", target.display()) };
                return refuse(format!("{leads}is {}; expected a regular file, or none", kind(&there)));
            }
            Ok(there) if there.permissions().readonly() => {
                let why = "is read-only: make it writable, or save under another name";
                return Err(io::Error::new(ErrorKind::PermissionDenied, why));
            }
            Ok(there) => return Ok((target, Some(there))),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((target, None)),
            Err(error) => return Err(error),
        }
    }
    refuse(format!("involves more than {MOST_LINKS} symbolic links"))
}

fn kind(there: &Metadata) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = there.file_type();
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
        if kind.is_fifo() {
            return "a pipe";
        }
        if kind.is_socket() {
            return "a socket";
        }
    }
    if there.is_dir() { "a folder" } else { "no regular file" }
}

/// Writes a temporary file and moves it to `target`. Returns `false` if another program removed it meanwhile.
fn attempt(target: &Path, old: Option<&Metadata>, bytes: &[u8]) -> io::Result<bool> {
    let (beside, mut file) = create(folder(target), old.is_some())?;
    // Between creation and locking, a save in another process may have taken the file for a leftover.
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(false),
        _ if fs::symlink_metadata(&beside).is_err() => return Ok(false),
        // Not every file system has locks. Without them, no file is taken for a leftover.
        Ok(()) | Err(TryLockError::Error(_)) => {}
    }
    let written = write(&mut file, old, bytes).and_then(|()| {
        // On Windows, a lock keeps others from reading the file.
        if cfg!(windows) {
            file.unlock()?;
        }
        fs::rename(&beside, target)
    });
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound && folder(target).is_dir() => Ok(false),
        Err(error) => {
            let _ = fs::remove_file(&beside);
            Err(error)
        }
    }
}

/// Creates a file with an unpredictable name. If `private` is set, only its owner may open it.
fn create(folder: &Path, private: bool) -> io::Result<(PathBuf, File)> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if private {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = private;
    loop {
        let random = RandomState::new().hash_one(std::process::id());
        let beside = folder.join(format!("{PREFIX}{random:016x}{SUFFIX}"));
        match options.open(&beside) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            opened => return opened.map(|file| (beside, file)),
        }
    }
}

fn write(file: &mut File, old: Option<&Metadata>, bytes: &[u8]) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(old) = old {
        keep_owner_and_mode(file, old);
    }
    #[cfg(not(unix))]
    let _ = old;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Gives a file the owner, group and mode of the file that it replaces, if the system allows it. Never grants more
/// access than the old file did.
#[cfg(unix)]
fn keep_owner_and_mode(file: &File, old: &Metadata) {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let Ok(new) = file.metadata() else { return };
    let mut mode = old.mode() & 0o7777;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) && fchown(file, Some(old.uid()), Some(old.gid())).is_err() {
        mode &= 0o777;
        if new.gid() != old.gid() && fchown(file, None, Some(old.gid())).is_err() {
            // The group differs from the old one, so it gets no more access than everyone else.
            mode &= 0o707 | (mode & 0o007) << 3;
        }
    }
    // File systems without modes refuse this; the file then keeps the mode that it was created with.
    let _ = file.set_permissions(fs::Permissions::from_mode(mode));
}

/// Makes a rename durable. Some systems and folders cannot be synced, which is not an error.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    use ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error) if !matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported) => Err(error),
        _ => Ok(()),
    }
}

/// Removes the temporary files of killed processes: those that are not locked.
fn remove_leftovers(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
        let ours = digits.is_some_and(|d| d.len() == 16 && d.bytes().all(|b| b.is_ascii_hexdigit()));
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let path = entry.path();
        // The lock is held until the file is gone, so that no other process writes to it meanwhile.
        if let Ok(file) = OpenOptions::new().write(true).open(&path)
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(&path);
        }
    }
}
