//! A world whose disk fails where a test says so: by directory, as one of a node's several disks would.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use ottla::env::{
    Disk, DiskError, DiskErrorKind, DiskOperation, Entry, Env, Event, File, OpenMode, Purpose, Rng, Space,
};

/// A world like `E`, but for its disk.
#[derive(Clone)]
pub(crate) struct FaultyEnv<E: Env> {
    inner: E,
    disk: FaultyDisk<E::Disk>,
}

/// What fails.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    /// Nothing below these directories can be synced.
    pub(crate) broken: Vec<PathBuf>,
    /// Nothing below these directories can be created or written.
    pub(crate) full: Vec<PathBuf>,
    /// Files with these names do not come to be before they are let go.
    pub(crate) held: Vec<&'static str>,
}

impl<E: Env> FaultyEnv<E> {
    pub(crate) fn new(inner: E) -> Self {
        let disk = FaultyDisk { inner: inner.disk().clone(), faults: Arc::default(), let_go: Arc::default() };
        Self { inner, disk }
    }

    /// Syncs below `dir` fail from now on.
    pub(crate) fn break_syncs(&self, dir: &str) {
        self.disk.faults.lock().unwrap().broken.push(dir.into());
    }

    /// There is no space below `dir` from now on.
    pub(crate) fn fill(&self, dir: &str) {
        self.disk.faults.lock().unwrap().full.push(dir.into());
    }

    /// No file is renamed to this name from now on: whoever does it waits.
    pub(crate) fn hold(&self, name: &'static str) {
        self.disk.faults.lock().unwrap().held.push(name);
    }

    /// All files come to be again.
    pub(crate) fn let_go(&self) {
        self.disk.faults.lock().unwrap().held.clear();
        self.disk.let_go.notify_waiters();
    }
}

impl<E: Env> Env for FaultyEnv<E> {
    type Clock = E::Clock;
    type Network = E::Network;
    type Disk = FaultyDisk<E::Disk>;
    type Task = E::Task;

    fn clock(&self) -> &E::Clock {
        self.inner.clock()
    }

    fn network(&self) -> &E::Network {
        self.inner.network()
    }

    fn disk(&self) -> &Self::Disk {
        &self.disk
    }

    fn spawn<F>(&self, name: &'static str, future: F) -> E::Task
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.inner.spawn(name, future)
    }

    fn rng(&self, purpose: Purpose) -> Rng {
        self.inner.rng(purpose)
    }

    fn boot_id(&self) -> String {
        self.inner.boot_id()
    }

    fn host_name(&self) -> String {
        self.inner.host_name()
    }

    fn observe(&self, event: Event) {
        self.inner.observe(event);
    }
}

#[derive(Clone)]
pub(crate) struct FaultyDisk<D> {
    inner: D,
    faults: Arc<Mutex<Faults>>,
    let_go: Arc<Notify>,
}

impl<D> FaultyDisk<D> {
    fn check_sync(&self, operation: DiskOperation, path: &Path) -> Result<(), DiskError> {
        let fails = self.faults.lock().unwrap().broken.iter().any(|dir| path.starts_with(dir));
        outcome(fails, operation, path, DiskErrorKind::Io)
    }

    fn check_space(&self, operation: DiskOperation, path: &Path) -> Result<(), DiskError> {
        let fails = self.faults.lock().unwrap().full.iter().any(|dir| path.starts_with(dir));
        outcome(fails, operation, path, DiskErrorKind::NoSpace)
    }
}

fn outcome(fails: bool, operation: DiskOperation, path: &Path, kind: DiskErrorKind) -> Result<(), DiskError> {
    let failure = DiskError { operation, path: path.to_owned(), kind, detail: "by order".to_owned() };
    if fails { Err(failure) } else { Ok(()) }
}

impl<D: Disk> Disk for FaultyDisk<D> {
    type File = FaultyFile<D>;
    type Lock = D::Lock;

    async fn open(&self, path: &Path, mode: OpenMode) -> Result<Self::File, DiskError> {
        if mode != OpenMode::Existing {
            self.check_space(DiskOperation::Open, path)?;
        }
        let file = self.inner.open(path, mode).await?;
        Ok(FaultyFile { file, path: path.to_owned(), disk: self.clone() })
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        loop {
            let let_go = self.let_go.notified();
            if !self.faults.lock().unwrap().held.iter().any(|name| to.ends_with(name)) {
                break;
            }
            let_go.await;
        }
        self.inner.rename(from, to).await
    }

    async fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        self.inner.remove_file(path).await
    }

    async fn create_dir_all(&self, path: &Path) -> Result<(), DiskError> {
        self.check_space(DiskOperation::CreateDir, path)?;
        self.inner.create_dir_all(path).await
    }

    async fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.inner.remove_dir(path).await
    }

    async fn list(&self, path: &Path) -> Result<Vec<Entry>, DiskError> {
        self.inner.list(path).await
    }

    async fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.check_sync(DiskOperation::SyncDir, path)?;
        self.inner.sync_dir(path).await
    }

    fn space(&self, path: &Path) -> Option<Space> {
        self.inner.space(path)
    }

    fn absolute(&self, path: &Path) -> PathBuf {
        self.inner.absolute(path)
    }

    async fn lock_dir(&self, path: &Path) -> Result<D::Lock, DiskError> {
        self.inner.lock_dir(path).await
    }
}

#[derive(Clone)]
pub(crate) struct FaultyFile<D: Disk> {
    file: D::File,
    path: PathBuf,
    disk: FaultyDisk<D>,
}

impl<D: Disk> File for FaultyFile<D> {
    fn write_at(&self, offset: u64, buffers: &mut [IoSlice<'_>]) -> Result<(), DiskError> {
        self.disk.check_space(DiskOperation::Write, &self.path)?;
        self.file.write_at(offset, buffers)
    }

    async fn read_at(&self, offset: u64, length: usize, into: &mut Vec<u8>) -> Result<usize, DiskError> {
        self.file.read_at(offset, length, into).await
    }

    async fn len(&self) -> Result<u64, DiskError> {
        self.file.len().await
    }

    async fn truncate(&self, length: u64) -> Result<(), DiskError> {
        self.file.truncate(length).await
    }

    async fn sync(&self) -> Result<(), DiskError> {
        self.disk.check_sync(DiskOperation::Sync, &self.path)?;
        self.file.sync().await
    }
}
