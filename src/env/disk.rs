//! Files, and what may be believed about them.

use std::fmt;
use std::future::Future;
use std::io::IoSlice;
use std::path::{Path, PathBuf};

/// A node's disks.
///
/// The contract, which the simulated disk enforces and exploits:
///
/// 1. A write is visible to every read that starts after it returned, through whichever handle.
/// 2. Written bytes survive the process. They survive a loss of power only if a [`File::sync`] that
///    *started* after the write succeeded. Without it each 512-byte sector of an unsynced write is, each on
///    its own and in any order, old, new or (within a file that grew) zero.
/// 3. A file's length is made durable together with its bytes by [`File::sync`]; so is a truncation.
/// 4. Creating, renaming and removing a file or a directory survive the process at once; they survive a loss
///    of power only once [`Disk::sync_dir`] on the parent directory succeeded. Without it each is, on its
///    own, done or not done. Syncing a file does not make its name durable.
/// 5. [`Disk::rename`] is atomic and replaces: whoever looks, before or after a crash, finds the old file or
///    the new one, whole as far as each was synced.
/// 6. A failed write may have written any part. A failed sync has lost an unknown part of what was unsynced,
///    and a later sync that succeeds says nothing about it: whoever sees one fail must not use the file again.
/// 7. Read errors and rotten bytes happen; only a checksum tells.
/// 8. After a node's crash its old handles are dead: every use fails with [`DiskErrorKind::Stale`].
/// 9. Dropping the future of an operation does not undo it: it may have happened, or may happen still.
pub trait Disk: Clone + Send + Sync + 'static {
    /// An open file. Clones refer to the same file.
    type File: File;
    /// Holds a directory against other processes until dropped.
    type Lock: Send + Sync + 'static;

    /// Opens a file for reading and writing.
    fn open(&self, path: &Path, mode: OpenMode)
    -> impl Future<Output = Result<Self::File, DiskError>> + Send;

    /// Renames a file or a directory, replacing a file of the new name (5).
    fn rename(&self, from: &Path, to: &Path) -> impl Future<Output = Result<(), DiskError>> + Send;

    /// Removes a file. Handles that are open stay usable.
    fn remove_file(&self, path: &Path) -> impl Future<Output = Result<(), DiskError>> + Send;

    /// Creates a directory and the missing ones above it. Existing ones are no error.
    fn create_dir_all(&self, path: &Path) -> impl Future<Output = Result<(), DiskError>> + Send;

    /// Removes a directory that must be empty.
    fn remove_dir(&self, path: &Path) -> impl Future<Output = Result<(), DiskError>> + Send;

    /// The entries of a directory, sorted by name.
    fn list(&self, path: &Path) -> impl Future<Output = Result<Vec<Entry>, DiskError>> + Send;

    /// Makes the names in a directory durable (4).
    fn sync_dir(&self, path: &Path) -> impl Future<Output = Result<(), DiskError>> + Send;

    /// How large the file system below a directory is, and how much of it is left; `None` if that is not known.
    fn space(&self, path: &Path) -> Option<Space>;

    /// The path from the root: a relative one begins where this process was started.
    fn absolute(&self, path: &Path) -> PathBuf;

    /// Takes the exclusive lock of a directory, through the file `.lock` in it. A lock that another process
    /// holds is [`DiskErrorKind::Locked`]. A crash releases it.
    fn lock_dir(&self, path: &Path) -> impl Future<Output = Result<Self::Lock, DiskError>> + Send;
}

/// The room of a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What may still be used.
    pub usable: u64,
}

/// An open file. Its positions and lengths are in bytes.
#[expect(clippy::len_without_is_empty, reason = "a length that has to be asked for is no collection's")]
pub trait File: Clone + Send + Sync + 'static {
    /// Writes all buffers, one after the other, beginning at `offset`. A plain call: it returns when the
    /// bytes are visible (1). Writing past the end extends the file, a hole reads as zeros.
    fn write_at(&self, offset: u64, buffers: &mut [IoSlice<'_>]) -> Result<(), DiskError>;

    /// Reads up to `length` bytes at `offset` and appends them to `into`; says how many. Fewer than asked for
    /// means that the file ended there. If the future is dropped, what `into` holds is unspecified.
    fn read_at(
        &self,
        offset: u64,
        length: usize,
        into: &mut Vec<u8>,
    ) -> impl Future<Output = Result<usize, DiskError>> + Send;

    /// The file's length.
    fn len(&self) -> impl Future<Output = Result<u64, DiskError>> + Send;

    /// Cuts the file, or extends it with zeros.
    fn truncate(&self, length: u64) -> impl Future<Output = Result<(), DiskError>> + Send;

    /// Makes everything written before this call durable, length included (2, 3); on Linux, fdatasync.
    fn sync(&self) -> impl Future<Output = Result<(), DiskError>> + Send;
}

/// How to open a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// It must exist.
    Existing,
    /// It must not exist.
    CreateNew,
    /// It is created if missing, and emptied if not.
    CreateOrTruncate,
    /// It is created if missing, and left as it is if not.
    CreateOrOpen,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name, without the directory's. Names that are not UTF-8 are not ours and are not listed.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// A file's length in bytes; zero for a directory.
    pub length: u64,
}

/// What failed, on which file, and why.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{operation} {}: {kind}{}{detail}", path.display(), if detail.is_empty() { "" } else { ": " })]
pub struct DiskError {
    /// The operation.
    pub operation: DiskOperation,
    /// The file or directory.
    pub path: PathBuf,
    /// The kind of failure: what callers branch on.
    pub kind: DiskErrorKind,
    /// The operating system's words.
    pub detail: String,
}

/// The kinds of failure that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DiskErrorKind {
    /// No such file or directory.
    #[error("not found")]
    NotFound,
    /// The file or directory exists already.
    #[error("already exists")]
    AlreadyExists,
    /// The disk is full.
    #[error("no space left")]
    NoSpace,
    /// Another process holds the lock.
    #[error("locked by another process")]
    Locked,
    /// The process may not.
    #[error("permission denied")]
    Denied,
    /// The handle belongs to a crashed incarnation of the node.
    #[error("stale handle")]
    Stale,
    /// The device failed, or anything else.
    #[error("input/output error")]
    Io,
}

/// The operations that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskOperation {
    /// [`Disk::open`]
    Open,
    /// [`Disk::rename`]
    Rename,
    /// [`Disk::remove_file`] and [`Disk::remove_dir`]
    Remove,
    /// [`Disk::create_dir_all`]
    CreateDir,
    /// [`Disk::list`]
    List,
    /// [`Disk::sync_dir`]
    SyncDir,
    /// [`Disk::lock_dir`]
    Lock,
    /// [`File::write_at`]
    Write,
    /// [`File::read_at`]
    Read,
    /// [`File::len`]
    Length,
    /// [`File::truncate`]
    Truncate,
    /// [`File::sync`]
    Sync,
}

impl fmt::Display for DiskOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::CreateDir => "create directory",
            Self::List => "list",
            Self::SyncDir => "sync directory",
            Self::Lock => "lock",
            Self::Write => "write",
            Self::Read => "read",
            Self::Length => "length of",
            Self::Truncate => "truncate",
            Self::Sync => "sync",
        })
    }
}
