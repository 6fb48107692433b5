//! A disk in memory that keeps to the contract of `env::Disk` and not an inch beyond it.
//!
//! It knows what is durable, by sector and by name. `lose_power` keeps of the rest what a seed says. It can
//! be told to die at any operation that changes something, and to fail a sync. Every wait takes one more
//! poll, so that a test can do something in between.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use ottla::env::{
    Disk, DiskError, DiskErrorKind, DiskOperation, Entry, File, OpenMode, Purpose, Rng, Space, child_rng,
};
use rand_core::Rng as _;

const SECTOR: usize = 512;

/// The one directory that is there from the beginning.
const ROOT: &str = "/data";

#[derive(Debug, Clone)]
pub(crate) struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

impl Default for MemoryDisk {
    fn default() -> Self {
        let names = BTreeMap::from([(PathBuf::from(ROOT), 0)]);
        let inodes = vec![Inode { is_dir: true, ..Inode::default() }];
        let state = State { names: names.clone(), durable_names: names, inodes, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }
}

#[derive(Debug, Default)]
struct State {
    /// Raised by every crash: handles from before are dead.
    boot: u64,
    dead: bool,
    /// Operations left until the node dies.
    fuse: Option<u64>,
    /// Operations that changed something, so far.
    operations: u64,
    reads: u64,
    syncs: u64,
    fail_syncs: bool,
    fail_writes: bool,
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    unsynced_names: Vec<NameChange>,
}

#[derive(Debug, Default, Clone)]
struct Inode {
    is_dir: bool,
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that differ from the disk's, as far as the page cache knows.
    dirty: BTreeSet<usize>,
    truncated: bool,
}

#[derive(Debug, Clone)]
enum NameChange {
    Add(PathBuf, usize),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

#[derive(Debug, Clone)]
pub(crate) struct MemoryFile {
    disk: MemoryDisk,
    path: PathBuf,
    inode: usize,
    boot: u64,
}

impl MemoryDisk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics under the lock")
    }

    /// The number of operations so far that changed something.
    pub(crate) fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// The number of reads so far.
    pub(crate) fn reads(&self) -> u64 {
        self.lock().reads
    }

    /// The number of file and directory syncs so far.
    pub(crate) fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// The node dies at the operation after `operations` more of those that change something.
    pub(crate) fn die_after(&self, operations: u64) {
        self.lock().fuse = Some(operations);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.lock().dead
    }

    pub(crate) fn fail_syncs(&self, fail: bool) {
        self.lock().fail_syncs = fail;
    }

    pub(crate) fn fail_writes(&self, fail: bool) {
        self.lock().fail_writes = fail;
    }

    /// The process ends and starts again: nothing is lost but the handles.
    pub(crate) fn crash_process(&self) {
        let mut state = self.lock();
        state.boot += 1;
        state.dead = false;
        state.fuse = None;
    }

    /// Power is lost and comes back: what was not synced is there, or not, as the seed says.
    pub(crate) fn lose_power(&self, seed: u64) {
        self.crash_process();
        let purpose = Purpose { subsystem: "disk", what: "power", instance: 0 };
        let mut rng = child_rng(seed, 0, purpose);
        let mut state = self.lock();
        for inode in &mut state.inodes {
            inode.lose(&mut rng);
        }
        // Some losses are total, some minimal, most in between.
        let odds = [0, 1, 2, 3, 4][rng.next_u32() as usize % 5];
        let mut names = state.durable_names.clone();
        for change in std::mem::take(&mut state.unsynced_names) {
            if rng.next_u32() % 4 < odds {
                change.apply(&mut names);
            }
        }
        // Without its directory a file is not to be found.
        let dirs: BTreeSet<PathBuf> = names.keys().cloned().collect();
        names
            .retain(|path, _| path == Path::new(ROOT) || path.parent().is_some_and(|dir| dirs.contains(dir)));
        state.names = names.clone();
        state.durable_names = names;
    }

    /// A file's content, for the test to look at.
    pub(crate) fn content(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let state = self.lock();
        let inode = *state.names.get(path.as_ref())?;
        Some(state.inodes[inode].live.clone())
    }

    /// Replaces a file's content, on the disk itself: damage, or a foreign directory.
    pub(crate) fn put(&self, path: impl AsRef<Path>, content: &[u8]) {
        let mut state = self.lock();
        let inode = match state.names.get(path.as_ref()) {
            Some(inode) => *inode,
            None => {
                state.inodes.push(Inode::default());
                state.inodes.len() - 1
            }
        };
        state.names.insert(path.as_ref().to_owned(), inode);
        state.durable_names.insert(path.as_ref().to_owned(), inode);
        let file = &mut state.inodes[inode];
        (file.live, file.durable) = (content.to_vec(), content.to_vec());
        file.dirty.clear();
    }

    /// Removes a name, on the disk itself.
    pub(crate) fn unlink(&self, path: impl AsRef<Path>) {
        let mut state = self.lock();
        assert!(state.names.remove(path.as_ref()).is_some(), "{} is not there", path.as_ref().display());
        state.durable_names.remove(path.as_ref());
    }

    /// Flips one bit.
    pub(crate) fn rot(&self, path: impl AsRef<Path>, position: u64) {
        let mut content = self.content(path.as_ref()).expect("the file is there");
        content[position as usize] ^= 0x10;
        self.put(path, &content);
    }

    /// The names in a directory.
    pub(crate) fn names(&self, dir: impl AsRef<Path>) -> Vec<String> {
        let state = self.lock();
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir.as_ref()));
        inside.map(|path| path.file_name().expect("it is inside").to_string_lossy().into_owned()).collect()
    }

    async fn change<T>(
        &self,
        operation: DiskOperation,
        path: &Path,
        work: impl FnOnce(&mut State) -> Result<T, DiskErrorKind>,
    ) -> Result<T, DiskError> {
        yield_once().await;
        self.change_now(operation, path, work)
    }

    fn change_now<T>(
        &self,
        operation: DiskOperation,
        path: &Path,
        work: impl FnOnce(&mut State) -> Result<T, DiskErrorKind>,
    ) -> Result<T, DiskError> {
        let mut state = self.lock();
        let alive = state.burn();
        alive.and_then(|()| work(&mut state)).map_err(|kind| error(operation, path, kind))
    }
}

fn error(operation: DiskOperation, path: &Path, kind: DiskErrorKind) -> DiskError {
    DiskError { operation, path: path.to_owned(), kind, detail: String::new() }
}

async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl State {
    fn burn(&mut self) -> Result<(), DiskErrorKind> {
        if self.dead {
            return Err(DiskErrorKind::Stale);
        }
        self.operations += 1;
        match &mut self.fuse {
            Some(0) => {
                self.dead = true;
                Err(DiskErrorKind::Stale)
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn rename(&mut self, change: NameChange) {
        let NameChange::Rename(from, to) = &change else { unreachable!("it renames") };
        let inode = self.names.remove(from).expect("it was looked up");
        self.names.insert(to.clone(), inode);
        self.unsynced_names.push(change);
    }
}

impl NameChange {
    fn directory(&self) -> Option<&Path> {
        match self {
            Self::Add(path, _) | Self::Remove(path) | Self::Rename(path, _) => path.parent(),
        }
    }

    /// Applies the change to what the disk has; a rename whose file never got there renames nothing.
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Add(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            Self::Remove(path) => {
                names.remove(path);
            }
            Self::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }
}

impl Inode {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if bytes.is_empty() {
            return;
        }
        let first = offset.min(self.live.len()) / SECTOR;
        if self.live.len() < end {
            self.live.resize(end, 0);
        }
        self.live[offset..end].copy_from_slice(bytes);
        self.dirty.extend(first..=(end - 1) / SECTOR);
    }

    fn truncate(&mut self, length: usize) {
        self.truncated = true;
        self.live.resize(length, 0);
        self.dirty.insert(length / SECTOR);
    }

    fn sync(&mut self) {
        let mut length = if self.truncated { self.live.len() } else { self.durable.len() };
        for sector in &self.dirty {
            length = length.max(((sector + 1) * SECTOR).min(self.live.len()));
        }
        self.durable.resize(length, 0);
        for sector in std::mem::take(&mut self.dirty) {
            let range = sector * SECTOR..((sector + 1) * SECTOR).min(self.live.len());
            if range.start < range.end {
                self.durable[range.clone()].copy_from_slice(&self.live[range]);
            }
        }
        self.truncated = false;
    }

    /// What failed to be written is believed clean from now on.
    fn fail_sync(&mut self) {
        self.dirty.clear();
        self.truncated = false;
    }

    fn lose(&mut self, rng: &mut Rng) {
        let (old, new) = (self.durable.len(), self.live.len());
        let untouched = self.dirty.is_empty() && !self.truncated;
        let length = match rng.next_u32() % 4 {
            _ if untouched => old,
            0 => old,
            1 => new,
            _ => old.min(new) + rng.next_u64() as usize % (old.abs_diff(new) + 1),
        };
        let mut left = self.durable.clone();
        left.resize(length, 0);
        let odds = rng.next_u32() % 5;
        for sector in self.dirty.iter().filter(|_| rng.next_u32() % 4 < odds) {
            let range = sector * SECTOR..((sector + 1) * SECTOR).min(length).min(new);
            if range.start < range.end {
                left[range.clone()].copy_from_slice(&self.live[range]);
            }
        }
        (self.live, self.durable) = (left.clone(), left);
        self.dirty.clear();
        self.truncated = false;
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;
    type Lock = ();

    fn space(&self, _: &Path) -> Option<Space> {
        None
    }

    fn absolute(&self, path: &Path) -> PathBuf {
        Path::new("/").join(path)
    }

    async fn open(&self, path: &Path, mode: OpenMode) -> Result<MemoryFile, DiskError> {
        let failed = |kind| error(DiskOperation::Open, path, kind);
        yield_once().await;
        let found = self.lock().names.get(path).copied();
        let inode = match (found, mode) {
            (Some(_), OpenMode::CreateNew) => return Err(failed(DiskErrorKind::AlreadyExists)),
            (None, OpenMode::Existing) => return Err(failed(DiskErrorKind::NotFound)),
            (Some(inode), OpenMode::CreateOrTruncate) => {
                let truncate = |state: &mut State| {
                    state.inodes[inode].truncate(0);
                    Ok(())
                };
                self.change(DiskOperation::Open, path, truncate).await?;
                inode
            }
            (Some(inode), _) => inode,
            (None, _) => {
                let create = |state: &mut State| {
                    let inode = state.inodes.len();
                    state.inodes.push(Inode::default());
                    state.names.insert(path.to_owned(), inode);
                    state.unsynced_names.push(NameChange::Add(path.to_owned(), inode));
                    Ok(inode)
                };
                self.change(DiskOperation::Open, path, create).await?
            }
        };
        let boot = self.lock().boot;
        Ok(MemoryFile { disk: self.clone(), path: path.to_owned(), inode, boot })
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let work = |state: &mut State| {
            if !state.names.contains_key(from) {
                return Err(DiskErrorKind::NotFound);
            }
            assert_eq!(from.parent(), to.parent(), "the log renames within a directory");
            state.rename(NameChange::Rename(from.to_owned(), to.to_owned()));
            Ok(())
        };
        self.change(DiskOperation::Rename, from, work).await
    }

    async fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        let work = |state: &mut State| {
            state.names.remove(path).ok_or(DiskErrorKind::NotFound)?;
            state.unsynced_names.push(NameChange::Remove(path.to_owned()));
            Ok(())
        };
        self.change(DiskOperation::Remove, path, work).await
    }

    async fn create_dir_all(&self, path: &Path) -> Result<(), DiskError> {
        let work = |state: &mut State| {
            let missing: Vec<_> = path.ancestors().filter(|path| path.parent().is_some()).collect();
            for path in missing.into_iter().rev() {
                if !state.names.contains_key(path) {
                    let inode = state.inodes.len();
                    state.inodes.push(Inode { is_dir: true, ..Inode::default() });
                    state.names.insert(path.to_owned(), inode);
                    state.unsynced_names.push(NameChange::Add(path.to_owned(), inode));
                }
            }
            Ok(())
        };
        self.change(DiskOperation::CreateDir, path, work).await
    }

    async fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.remove_file(path).await
    }

    async fn list(&self, path: &Path) -> Result<Vec<Entry>, DiskError> {
        yield_once().await;
        let state = self.lock();
        if state.dead {
            return Err(error(DiskOperation::List, path, DiskErrorKind::Stale));
        }
        if !state.names.contains_key(path) {
            return Err(error(DiskOperation::List, path, DiskErrorKind::NotFound));
        }
        let inside = state.names.iter().filter(|(name, _)| name.parent() == Some(path));
        let entry = |(name, inode): (&PathBuf, &usize)| {
            let name = name.file_name().expect("it is inside").to_string_lossy().into_owned();
            let inode = &state.inodes[*inode];
            Entry { name, is_dir: inode.is_dir, length: inode.live.len() as u64 }
        };
        Ok(inside.map(entry).collect())
    }

    async fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        let work = |state: &mut State| {
            state.syncs += 1;
            if !state.names.contains_key(path) {
                return Err(DiskErrorKind::NotFound);
            }
            let (durable, left): (Vec<_>, Vec<_>) = std::mem::take(&mut state.unsynced_names)
                .into_iter()
                .partition(|change| change.directory() == Some(path));
            state.unsynced_names = left;
            for change in durable {
                change.apply(&mut state.durable_names);
            }
            Ok(())
        };
        self.change(DiskOperation::SyncDir, path, work).await
    }

    fn lock_dir(&self, _path: &Path) -> impl Future<Output = Result<(), DiskError>> + Send {
        std::future::ready(Ok(()))
    }
}

impl MemoryFile {
    fn error(&self, operation: DiskOperation, kind: DiskErrorKind) -> DiskError {
        error(operation, &self.path, kind)
    }

    fn check(&self, state: &State, operation: DiskOperation) -> Result<(), DiskError> {
        if state.dead || state.boot != self.boot {
            return Err(self.error(operation, DiskErrorKind::Stale));
        }
        Ok(())
    }

    async fn change(
        &self,
        operation: DiskOperation,
        work: impl FnOnce(&mut State, usize) -> Result<(), DiskErrorKind>,
    ) -> Result<(), DiskError> {
        self.check(&self.disk.lock(), operation)?;
        self.disk.change(operation, &self.path, |state| work(state, self.inode)).await
    }
}

impl File for MemoryFile {
    fn write_at(&self, offset: u64, buffers: &mut [IoSlice<'_>]) -> Result<(), DiskError> {
        self.check(&self.disk.lock(), DiskOperation::Write)?;
        self.disk.change_now(DiskOperation::Write, &self.path, |state| {
            let bytes: Vec<u8> = buffers.iter().flat_map(|buffer| buffer.to_vec()).collect();
            if state.fail_writes {
                // A failed write may have written any part.
                state.inodes[self.inode].write(offset as usize, &bytes[..bytes.len() / 2]);
                return Err(DiskErrorKind::Io);
            }
            state.inodes[self.inode].write(offset as usize, &bytes);
            Ok(())
        })
    }

    async fn read_at(&self, offset: u64, length: usize, into: &mut Vec<u8>) -> Result<usize, DiskError> {
        yield_once().await;
        let mut state = self.disk.lock();
        self.check(&state, DiskOperation::Read)?;
        state.reads += 1;
        let live = &state.inodes[self.inode].live;
        let start = (offset as usize).min(live.len());
        let end = (start + length).min(live.len());
        into.extend_from_slice(&live[start..end]);
        Ok(end - start)
    }

    async fn len(&self) -> Result<u64, DiskError> {
        yield_once().await;
        let state = self.disk.lock();
        self.check(&state, DiskOperation::Length)?;
        Ok(state.inodes[self.inode].live.len() as u64)
    }

    async fn truncate(&self, length: u64) -> Result<(), DiskError> {
        self.change(DiskOperation::Truncate, |state, inode| {
            state.inodes[inode].truncate(length as usize);
            Ok(())
        })
        .await
    }

    /// Covers what was written before it began, and takes its time.
    async fn sync(&self) -> Result<(), DiskError> {
        self.check(&self.disk.lock(), DiskOperation::Sync)?;
        let outcome = self.disk.change_now(DiskOperation::Sync, &self.path, |state| {
            state.syncs += 1;
            if state.fail_syncs {
                state.inodes[self.inode].fail_sync();
                return Err(DiskErrorKind::Io);
            }
            state.inodes[self.inode].sync();
            Ok(())
        });
        yield_once().await;
        outcome
    }
}
