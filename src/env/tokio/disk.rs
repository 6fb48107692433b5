//! The operating system's files.
//!
//! Writes go straight into the page cache, on the thread that asks. Reads try the page cache on that thread
//! as well and go to tokio's blocking threads only for what is not in it (RWF_NOWAIT). Everything that may
//! wait for the device (syncs, names, truncation) always goes there.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::{Errno, ReadWriteFlags};

use crate::env::{Disk, DiskError, DiskErrorKind, DiskOperation, Entry, File, OpenMode, Space};

/// Buffers in one write call: the kernel's limit (IOV_MAX).
const SLICES_PER_WRITE: usize = 1024;

/// Bytes per read call. Safe Rust must zero a buffer before a call that takes flags may fill
/// it; in pieces of this size that happens within the processor's own cache and hardly shows.
const READ_PIECE: usize = 128 * 1024;

/// The machine's file systems.
#[derive(Debug, Clone, Copy)]
pub struct TokioDisk;

/// Holds a directory until dropped.
#[derive(Debug)]
pub struct DirLock {
    _file: OwnedFd,
}

impl Disk for TokioDisk {
    type File = TokioFile;
    type Lock = DirLock;

    async fn open(&self, path: &Path, mode: OpenMode) -> Result<TokioFile, DiskError> {
        let flags = match mode {
            OpenMode::Existing => OFlags::empty(),
            OpenMode::CreateNew => OFlags::CREATE | OFlags::EXCL,
            OpenMode::CreateOrTruncate => OFlags::CREATE | OFlags::TRUNC,
            OpenMode::CreateOrOpen => OFlags::CREATE,
        };
        let path = path.to_owned();
        let file = blocking(DiskOperation::Open, &path, {
            let path = path.clone();
            move || open_file(&path, OFlags::RDWR | flags)
        })
        .await?;
        Ok(TokioFile { inner: Arc::new(OpenFile { file, path }) })
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let (old, new) = (from.to_owned(), to.to_owned());
        blocking(DiskOperation::Rename, from, move || Ok(rustix::fs::rename(old, new)?)).await
    }

    async fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        let name = path.to_owned();
        blocking(DiskOperation::Remove, path, move || Ok(rustix::fs::unlink(name)?)).await
    }

    async fn create_dir_all(&self, path: &Path) -> Result<(), DiskError> {
        let name = path.to_owned();
        #[expect(clippy::disallowed_methods, reason = "this is env::Disk")]
        blocking(DiskOperation::CreateDir, path, move || std::fs::create_dir_all(name)).await
    }

    async fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        let name = path.to_owned();
        blocking(DiskOperation::Remove, path, move || std::fs::remove_dir(name)).await
    }

    async fn list(&self, path: &Path) -> Result<Vec<Entry>, DiskError> {
        let name = path.to_owned();
        blocking(DiskOperation::List, path, move || list_dir(&name)).await
    }

    async fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        let name = path.to_owned();
        blocking(DiskOperation::SyncDir, path, move || {
            let directory = open_file(&name, OFlags::RDONLY | OFlags::DIRECTORY)?;
            Ok(rustix::fs::fsync(directory)?)
        })
        .await
    }

    fn space(&self, path: &Path) -> Option<Space> {
        let stat = rustix::fs::statvfs(path).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Some(Space { total: bytes(stat.f_blocks), usable: bytes(stat.f_bavail) })
    }

    fn absolute(&self, path: &Path) -> PathBuf {
        // Only an empty path has none, or one in a working directory that is gone.
        std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
    }

    /// Two locks on one file: `flock` keeps out every other handle, in this process too; the POSIX lock is
    /// the one that Kafka's own broker takes on the same file.
    async fn lock_dir(&self, path: &Path) -> Result<DirLock, DiskError> {
        let name = path.join(".lock");
        blocking(DiskOperation::Lock, path, move || {
            let file = open_file(&name, OFlags::RDWR | OFlags::CREATE)?;
            rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive)?;
            Ok(DirLock { _file: file })
        })
        .await
    }
}

/// An open file. It closes with its last clone.
#[derive(Debug, Clone)]
pub struct TokioFile {
    inner: Arc<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    file: OwnedFd,
    path: PathBuf,
}

impl TokioFile {
    fn error(&self, operation: DiskOperation, error: &io::Error) -> DiskError {
        disk_error(operation, &self.inner.path, error)
    }

    /// Runs `work` on a blocking thread. Dropping the future does not stop it.
    async fn blocking<T: Send + 'static>(
        &self,
        operation: DiskOperation,
        work: impl FnOnce(&OwnedFd) -> io::Result<T> + Send + 'static,
    ) -> Result<T, DiskError> {
        let inner = Arc::clone(&self.inner);
        blocking(operation, &self.inner.path, move || work(&inner.file)).await
    }
}

impl File for TokioFile {
    fn write_at(&self, offset: u64, buffers: &mut [IoSlice<'_>]) -> Result<(), DiskError> {
        write_all(&self.inner.file, offset, buffers).map_err(|error| self.error(DiskOperation::Write, &error))
    }

    async fn read_at(&self, offset: u64, length: usize, into: &mut Vec<u8>) -> Result<usize, DiskError> {
        let cached = read_all(&self.inner.file, offset, length, into, ReadWriteFlags::NOWAIT)
            .map_err(|error| self.error(DiskOperation::Read, &error))?;
        if cached.complete {
            return Ok(cached.bytes);
        }
        let mut buffer = std::mem::take(into);
        let (offset, length) = (offset + cached.bytes as u64, length - cached.bytes);
        let (buffer, result) = self
            .blocking(DiskOperation::Read, move |file| {
                let result = read_all(file, offset, length, &mut buffer, ReadWriteFlags::empty());
                Ok((buffer, result))
            })
            .await?;
        *into = buffer;
        let waited = result.map_err(|error| self.error(DiskOperation::Read, &error))?;
        Ok(cached.bytes + waited.bytes)
    }

    /// Asks the kernel's inode, which waits for nothing.
    async fn len(&self) -> Result<u64, DiskError> {
        let status = rustix::fs::fstat(&self.inner.file)
            .map_err(|error| self.error(DiskOperation::Length, &error.into()))?;
        Ok(u64::try_from(status.st_size).expect("a file's length is not negative"))
    }

    async fn truncate(&self, length: u64) -> Result<(), DiskError> {
        self.blocking(DiskOperation::Truncate, move |file| retry(|| rustix::fs::ftruncate(file, length)))
            .await
    }

    /// fdatasync, once: after a failure the kernel has forgotten what it lost, so that a second try says
    /// nothing (6). Interruption by a signal is no exception.
    async fn sync(&self) -> Result<(), DiskError> {
        self.blocking(DiskOperation::Sync, |file| Ok(rustix::fs::fdatasync(file)?)).await
    }
}

fn write_all(file: &OwnedFd, mut offset: u64, mut buffers: &mut [IoSlice<'_>]) -> io::Result<()> {
    // Empty slices at the front would let a call write nothing.
    IoSlice::advance_slices(&mut buffers, 0);
    while !buffers.is_empty() {
        let count = buffers.len().min(SLICES_PER_WRITE);
        let written = match rustix::io::pwritev(file, &buffers[..count], offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        offset += written as u64;
        IoSlice::advance_slices(&mut buffers, written);
    }
    Ok(())
}

/// What a read found.
struct Found {
    bytes: usize,
    /// It is all that was asked for, or all up to the file's end. Else the rest is not in the page cache.
    complete: bool,
}

/// Appends up to `length` bytes to `into`. With NOWAIT it stops where it would have to wait.
fn read_all(
    file: &OwnedFd,
    offset: u64,
    length: usize,
    into: &mut Vec<u8>,
    flags: ReadWriteFlags,
) -> io::Result<Found> {
    let start = into.len();
    into.reserve(length);
    loop {
        let position = into.len();
        let bytes = position - start;
        if bytes == length {
            return Ok(Found { bytes, complete: true });
        }
        into.resize(position + (length - bytes).min(READ_PIECE), 0);
        let mut slices = [IoSliceMut::new(&mut into[position..])];
        let result = rustix::io::preadv2(file, &mut slices, offset + bytes as u64, flags);
        into.truncate(position + result.unwrap_or(0));
        match result {
            Ok(0) => return Ok(Found { bytes, complete: true }),
            Ok(_) | Err(Errno::INTR) => {}
            // Not in the page cache; or a file system or a kernel that cannot tell.
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS) if flags == ReadWriteFlags::NOWAIT => {
                return Ok(Found { bytes, complete: false });
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn open_file(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    // Read and write for all, less what the process's umask takes away, as Kafka's own files.
    let mode = Mode::from_raw_mode(0o666);
    retry(|| rustix::fs::open(path, flags | OFlags::CLOEXEC, mode))
}

/// A directory's entries by name. One that vanishes meanwhile was not there.
fn list_dir(path: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let status = match entry.metadata() {
            Ok(status) => status,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let is_dir = status.is_dir();
        entries.push(Entry { name, is_dir, length: if is_dir { 0 } else { status.len() } });
    }
    entries.sort();
    Ok(entries)
}

/// Repeats a call that a signal interrupted.
fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Runs `work` on one of tokio's blocking threads. Dropping the future does not stop it.
async fn blocking<T: Send + 'static>(
    operation: DiskOperation,
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, DiskError> {
    #[expect(clippy::disallowed_methods, reason = "this is env::Disk")]
    let task = tokio::task::spawn_blocking(work);
    match task.await {
        Ok(result) => result.map_err(|error| disk_error(operation, path, &error)),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is going down and will not poll this task again.
        Err(_) => std::future::pending().await,
    }
}

fn disk_error(operation: DiskOperation, path: &Path, error: &io::Error) -> DiskError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => DiskErrorKind::NotFound,
        io::ErrorKind::AlreadyExists => DiskErrorKind::AlreadyExists,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DiskErrorKind::NoSpace,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => DiskErrorKind::Denied,
        io::ErrorKind::WouldBlock if operation == DiskOperation::Lock => DiskErrorKind::Locked,
        _ => DiskErrorKind::Io,
    };
    DiskError { operation, path: path.to_owned(), kind, detail: error.to_string() }
}
