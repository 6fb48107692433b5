//! The handles that a process holds: its view of the disk, files and directory locks.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use ottla::env::{Disk, DiskError, DiskErrorKind, DiskOperation, Entry, File, OpenMode, Space};

use super::names::InodeId;
use super::{Inode, Machine, State, disk_error};
use crate::digest::fingerprint;
use crate::engine::Life;
use crate::trace::Kind;

const READ_NS: u64 = 5_000;
const NAME_NS: u64 = 50_000;
const SYNC_NS: u64 = 300_000;
/// A stalled write stops the process for up to half a second.
const STALL_NS: u64 = 500_000_000;
const LOCK_NAME: &str = ".lock";

/// A machine's disk as one process sees it.
#[derive(Clone)]
pub struct SimDisk {
    machine: Machine,
    life: Life,
}

impl SimDisk {
    pub(super) fn new(machine: Machine, life: Life) -> Self {
        Self { machine, life }
    }

    /// Springs the trap if it is time, and refuses a process that is gone (rule 8).
    async fn begin(&self, operation: DiskOperation, path: &Path) -> Result<(), DiskError> {
        let begun = self.begin_plain(operation, path);
        self.machine.0.engine.check_fence(self.life).await;
        begun
    }

    /// The same for a plain call.
    fn begin_plain(&self, operation: DiskOperation, path: &Path) -> Result<(), DiskError> {
        let trap = self.machine.state().sprung_trap();
        if let Some(action) = trap {
            action();
        }
        self.check_alive(operation, path)
    }

    fn check_alive(&self, operation: DiskOperation, path: &Path) -> Result<(), DiskError> {
        if self.machine.0.engine.is_current(self.life) {
            Ok(())
        } else {
            Err(disk_error(operation, path, DiskErrorKind::Stale, "the process is gone"))
        }
    }

    /// Carries out an operation that takes time. Its effect happens at its beginning or at its end, whether
    /// or not anybody still waits for it (rule 9), unless the process is gone by then.
    async fn operate<T: Send + 'static>(
        &self,
        (operation, path): (DiskOperation, &Path),
        base_ns: u64,
        effect: impl FnOnce(&mut State) -> Result<T, DiskErrorKind> + Send + 'static,
    ) -> Result<T, DiskError> {
        self.begin(operation, path).await?;
        let (engine, disk, path) = (&self.machine.0.engine, self.clone(), path.to_owned());
        let effect = move || {
            disk.check_alive(operation, &path)?;
            effect(&mut disk.machine.state()).map_err(|kind| disk_error(operation, &path, kind, ""))
        };
        let (takes, at_once) = {
            let mut state = self.machine.state();
            (state.operation_latency(base_ns), state.latency.one_in(4))
        };
        let slot = Arc::new(Mutex::new(Slot { result: None, waker: None }));
        let (filled, at) = (slot.clone(), engine.now_ns() + takes);
        if at_once {
            let result = effect();
            engine.schedule(at, move || filled.lock().expect(SLOT).fill(result));
        } else {
            engine.schedule(at, move || {
                let result = effect();
                filled.lock().expect(SLOT).fill(result);
            });
        }
        std::future::poll_fn(|context| {
            let mut slot = slot.lock().expect(SLOT);
            match slot.result.take() {
                Some(result) => Poll::Ready(result),
                None => {
                    slot.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn note(&self, kind: Kind, numbers: (u64, u64), text: impl FnOnce() -> String) {
        self.machine.0.engine.note(self.life.node, kind, numbers, || text().into());
    }
}

const SLOT: &str = "one thread alone takes this lock, and no panic happens under it";

/// Where the result of an operation waits for whoever asked.
struct Slot<T> {
    result: Option<Result<T, DiskError>>,
    waker: Option<Waker>,
}

impl<T> Slot<T> {
    fn fill(&mut self, result: Result<T, DiskError>) {
        self.result = Some(result);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Disk for SimDisk {
    type File = SimFile;
    type Lock = SimLock;

    async fn open(&self, path: &Path, mode: OpenMode) -> Result<SimFile, DiskError> {
        let (disk, owned) = (self.clone(), path.to_owned());
        let operation = (DiskOperation::Open, path);
        let inode = self.operate(operation, NAME_NS, move |state| {
            let inode = state.open(&owned, mode)?;
            disk.note(Kind::DiskWrite, (inode.0, mode as u64), || {
                format!("open {} ({mode:?}) as file {}", owned.display(), inode.0)
            });
            Ok(inode)
        });
        Ok(SimFile { disk: self.clone(), inode: inode.await?, path: path.into() })
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let (disk, from_owned, to_owned) = (self.clone(), from.to_owned(), to.to_owned());
        let effect = move |state: &mut State| {
            let inode = state.rename(&from_owned, &to_owned)?;
            disk.note(Kind::DiskWrite, (inode.0, 1), || {
                format!("rename {} to {}", from_owned.display(), to_owned.display())
            });
            Ok(())
        };
        self.operate((DiskOperation::Rename, from), NAME_NS, effect).await
    }

    async fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        self.remove(path, false).await
    }

    async fn create_dir_all(&self, path: &Path) -> Result<(), DiskError> {
        let (disk, owned) = (self.clone(), path.to_owned());
        let effect = move |state: &mut State| {
            let inode = state.create_dir_all(&owned)?;
            disk.note(Kind::DiskWrite, (inode.0, 2), || format!("create directory {}", owned.display()));
            Ok(())
        };
        self.operate((DiskOperation::CreateDir, path), NAME_NS, effect).await
    }

    async fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.remove(path, true).await
    }

    async fn list(&self, path: &Path) -> Result<Vec<Entry>, DiskError> {
        let owned = path.to_owned();
        self.operate((DiskOperation::List, path), READ_NS, move |state| state.list(&owned)).await
    }

    async fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        let (disk, owned) = (self.clone(), path.to_owned());
        let sequence = self.machine.state().sequence;
        let effect = move |state: &mut State| {
            let dir = state.dir(&owned).ok_or(DiskErrorKind::NotFound)?;
            let result = state.sync_dir(dir, sequence);
            disk.note(Kind::DiskSync, (dir.0, u64::from(result.is_ok())), || {
                format!("sync directory {}: {}", owned.display(), said(&result))
            });
            result
        };
        self.operate((DiskOperation::SyncDir, path), SYNC_NS, effect).await
    }

    fn space(&self, _: &Path) -> Option<Space> {
        None
    }

    fn absolute(&self, path: &Path) -> PathBuf {
        Path::new("/").join(path)
    }

    async fn lock_dir(&self, path: &Path) -> Result<SimLock, DiskError> {
        let (machine, life, owned) = (self.machine.clone(), self.life, path.to_owned());
        let effect = move |state: &mut State| {
            let dir = state.dir(&owned).ok_or(DiskErrorKind::NotFound)?;
            if state.locks.contains_key(&dir) {
                return Err(DiskErrorKind::Locked);
            }
            state.open(&owned.join(LOCK_NAME), OpenMode::CreateOrOpen)?;
            state.locks.insert(dir, life);
            Ok(SimLock { machine, life, dir })
        };
        self.operate((DiskOperation::Lock, path), NAME_NS, effect).await
    }
}

impl SimDisk {
    async fn remove(&self, path: &Path, directory: bool) -> Result<(), DiskError> {
        let (disk, owned) = (self.clone(), path.to_owned());
        let effect = move |state: &mut State| {
            let inode = state.remove(&owned, directory)?;
            disk.note(Kind::DiskWrite, (inode.0, 3), || format!("remove {}", owned.display()));
            Ok(())
        };
        self.operate((DiskOperation::Remove, path), NAME_NS, effect).await
    }
}

fn said(result: &Result<(), DiskErrorKind>) -> String {
    match result {
        Ok(()) => "done".to_owned(),
        Err(kind) => kind.to_string(),
    }
}

impl State {
    fn open(&mut self, path: &Path, mode: OpenMode) -> Result<InodeId, DiskErrorKind> {
        let (dir, name) = self.place(path).ok_or(DiskErrorKind::NotFound)?;
        let found = self.names.find(dir, name);
        if found.is_some_and(|inode| self.names.is_dir(inode)) {
            return Err(DiskErrorKind::Io);
        }
        let sequence = self.next_sequence();
        match (found, mode) {
            (None, OpenMode::Existing) => Err(DiskErrorKind::NotFound),
            (Some(_), OpenMode::CreateNew) => Err(DiskErrorKind::AlreadyExists),
            (Some(inode), OpenMode::CreateOrTruncate) => {
                self.file(inode).set_len(sequence, 0);
                Ok(inode)
            }
            (Some(inode), OpenMode::Existing | OpenMode::CreateOrOpen) => Ok(inode),
            (None, OpenMode::CreateNew | OpenMode::CreateOrTruncate | OpenMode::CreateOrOpen) => {
                let inode = self.new_inode();
                self.inodes.insert(inode, Inode::default());
                self.names.link(sequence, dir, name, inode, false);
                Ok(inode)
            }
        }
    }

    fn file(&mut self, inode: InodeId) -> &mut Inode {
        self.inodes.get_mut(&inode).expect("a file that a live process reaches exists")
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Result<InodeId, DiskErrorKind> {
        let source = self.place(from).ok_or(DiskErrorKind::NotFound)?;
        let inode = self.names.find(source.0, source.1).ok_or(DiskErrorKind::NotFound)?;
        let target = self.place(to).ok_or(DiskErrorKind::NotFound)?;
        if source == target {
            return Ok(inode);
        }
        if let Some(old) = self.names.find(target.0, target.1)
            && (self.names.is_dir(old) || self.names.is_dir(inode))
        {
            return Err(DiskErrorKind::AlreadyExists);
        }
        let sequence = self.next_sequence();
        self.names.rename(sequence, source, target, inode);
        Ok(inode)
    }

    fn remove(&mut self, path: &Path, directory: bool) -> Result<InodeId, DiskErrorKind> {
        let (dir, name) = self.place(path).ok_or(DiskErrorKind::NotFound)?;
        let inode = self.names.find(dir, name).ok_or(DiskErrorKind::NotFound)?;
        if self.names.is_dir(inode) != directory {
            return Err(DiskErrorKind::Io);
        }
        if self.names.entries(inode).is_some_and(|entries| !entries.is_empty()) {
            return Err(DiskErrorKind::Io);
        }
        let sequence = self.next_sequence();
        self.names.unlink(sequence, dir, name, inode);
        Ok(inode)
    }

    fn create_dir_all(&mut self, path: &Path) -> Result<InodeId, DiskErrorKind> {
        let mut dir = InodeId::ROOT;
        for name in super::normal_names(path) {
            dir = match self.names.find(dir, name) {
                Some(found) if self.names.is_dir(found) => found,
                Some(_) => return Err(DiskErrorKind::AlreadyExists),
                None => {
                    let (inode, sequence) = (self.new_inode(), self.next_sequence());
                    self.names.link(sequence, dir, name, inode, true);
                    inode
                }
            };
        }
        Ok(dir)
    }

    fn list(&mut self, path: &Path) -> Result<Vec<Entry>, DiskErrorKind> {
        let dir = self.dir(path).ok_or(DiskErrorKind::NotFound)?;
        let entries = self.names.entries(dir).expect("it was just found");
        let entry = |(name, inode): (&String, &InodeId)| Entry {
            name: name.clone(),
            is_dir: self.names.is_dir(*inode),
            length: self.inodes.get(inode).map_or(0, Inode::len),
        };
        Ok(entries.iter().map(entry).collect())
    }

    fn sync_dir(&mut self, dir: InodeId, sequence: u64) -> Result<(), DiskErrorKind> {
        if !self.names.has_pending(dir) {
            return Ok(());
        }
        if self.luck.per_million(self.faults.sync_error) {
            self.counts.sync_errors += 1;
            return Err(DiskErrorKind::Io);
        }
        if self.faults.lying_sync {
            self.counts.lies += 1;
            return Ok(());
        }
        self.names.sync(dir, sequence);
        Ok(())
    }

    fn sync_file(&mut self, inode: InodeId, sequence: u64) -> Result<(), DiskErrorKind> {
        let fails = self.luck.per_million(self.faults.sync_error);
        let lies = self.faults.lying_sync;
        let luck = &mut self.luck;
        let file = self.inodes.get_mut(&inode).expect("a file that a live process reaches exists");
        if fails {
            file.sync_fails(sequence, luck);
            self.counts.sync_errors += 1;
            return Err(DiskErrorKind::Io);
        }
        if lies {
            self.counts.lies += u64::from(file.has_pending());
            return Ok(());
        }
        file.sync(sequence);
        self.counts.syncs += 1;
        Ok(())
    }
}

/// An open file.
#[derive(Clone)]
pub struct SimFile {
    disk: SimDisk,
    inode: InodeId,
    path: Arc<Path>,
}

impl File for SimFile {
    fn write_at(&self, offset: u64, buffers: &mut [IoSlice<'_>]) -> Result<(), DiskError> {
        self.disk.begin_plain(DiskOperation::Write, &self.path)?;
        let mut bytes = Vec::with_capacity(buffers.iter().map(|buffer| buffer.len()).sum());
        for buffer in buffers {
            bytes.extend_from_slice(buffer);
        }
        let mut state = self.disk.machine.state();
        let wanted = bytes.len() as u64;
        let fitting = state.fitting(self.inode, offset, wanted);
        let failure = if fitting < wanted {
            state.counts.no_space += 1;
            bytes.truncate(fitting as usize);
            Some(DiskErrorKind::NoSpace)
        } else {
            let rate = state.faults.write_error;
            state.luck.per_million(rate).then(|| {
                state.counts.write_errors += 1;
                let part = state.luck.index(bytes.len() + 1);
                bytes.truncate(part);
                DiskErrorKind::Io
            })
        };
        state.counts.writes += 1;
        state.counts.bytes += bytes.len() as u64;
        let (length, print) = (bytes.len(), fingerprint(&bytes));
        let sequence = state.next_sequence();
        state.file(self.inode).write(sequence, offset, bytes);
        if state.faults.slowness > 1 && state.luck.one_in(20) {
            state.counts.stalls += 1;
            let stall = state.luck.between(STALL_NS / 50, STALL_NS);
            self.disk.machine.0.engine.pause(self.disk.life.node, stall);
        }
        drop(state);
        self.disk.note(Kind::DiskWrite, (self.inode.0, print), || {
            let failed = failure.map(|kind| format!(", then: {kind}")).unwrap_or_default();
            format!("{}: write {length} bytes at {offset}{failed}", self.path.display())
        });
        failure.map_or(Ok(()), |kind| Err(disk_error(DiskOperation::Write, &self.path, kind, "")))
    }

    async fn read_at(&self, offset: u64, length: usize, into: &mut Vec<u8>) -> Result<usize, DiskError> {
        self.disk.begin(DiskOperation::Read, &self.path).await?;
        let takes = self.disk.machine.state().operation_latency(READ_NS);
        self.disk.machine.0.engine.sleep(takes).await;
        self.disk.check_alive(DiskOperation::Read, &self.path)?;
        let mut state = self.disk.machine.state();
        let faults = state.faults;
        if state.luck.per_million(faults.read_error) {
            state.counts.read_errors += 1;
            return Err(disk_error(DiskOperation::Read, &self.path, DiskErrorKind::Io, ""));
        }
        let count = state.file(self.inode).read(offset, length, into);
        let rots = count > 0 && state.luck.per_million(faults.rot);
        if rots {
            state.counts.rotted += 1;
            let (byte, bit) = (state.luck.index(count), state.luck.below(8));
            let start = into.len() - count;
            into[start + byte] ^= 1 << bit;
        }
        drop(state);
        self.disk.note(Kind::DiskRead, (self.inode.0, offset << 24 ^ count as u64), || {
            let rotten = if rots { ", one bit of them wrong" } else { "" };
            format!("{}: read {count} bytes at {offset}{rotten}", self.path.display())
        });
        Ok(count)
    }

    async fn len(&self) -> Result<u64, DiskError> {
        self.disk.begin(DiskOperation::Length, &self.path).await?;
        Ok(self.disk.machine.state().file(self.inode).len())
    }

    async fn truncate(&self, length: u64) -> Result<(), DiskError> {
        let (file, operation) = (self.clone(), (DiskOperation::Truncate, &*self.path));
        let effect = move |state: &mut State| {
            let sequence = state.next_sequence();
            state.file(file.inode).set_len(sequence, length);
            file.disk.note(Kind::DiskWrite, (file.inode.0, length), || {
                format!("{}: set the length to {length}", file.path.display())
            });
            Ok(())
        };
        self.disk.operate(operation, NAME_NS, effect).await
    }

    async fn sync(&self) -> Result<(), DiskError> {
        let (file, operation) = (self.clone(), (DiskOperation::Sync, &*self.path));
        // Only what was written before the sync began is covered (2).
        let sequence = self.disk.machine.state().sequence;
        let effect = move |state: &mut State| {
            let result = state.sync_file(file.inode, sequence);
            file.disk.note(Kind::DiskSync, (file.inode.0, u64::from(result.is_ok())), || {
                format!("{}: sync: {}", file.path.display(), said(&result))
            });
            result
        };
        self.disk.operate(operation, SYNC_NS, effect).await
    }
}

/// Holds a directory.
pub struct SimLock {
    machine: Machine,
    life: Life,
    dir: InodeId,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.machine.state();
        if state.locks.get(&self.dir) == Some(&self.life) {
            state.locks.remove(&self.dir);
        }
    }
}
