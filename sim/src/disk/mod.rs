//! The simulated disk: [`ottla::env::Disk`]'s contract, rule by rule, and no kinder than it must be.
//!
//! Every file has a live image, which all reads see (the page cache), and a durable one. What was written in
//! between is a list of changes that a sync moves over. A crash of the process keeps the live image; a loss of
//! power leaves of every unsynced 512-byte sector and of every unsynced name either state, each on its own.
//!
//! Beyond the contract's losses a disk can be told to misbehave ([`DiskFaults`]): fail writes, reads and syncs,
//! be full, be slow, rot what it returns, and say that a sync worked when it did nothing.

mod image;
mod inode;
mod names;
mod operations;

use std::collections::BTreeMap;
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, MutexGuard};

use ottla::env::{DiskError, DiskErrorKind, DiskOperation};

use crate::dice::Dice;
use crate::engine::{Engine, Life, NodeId};
use crate::trace::Kind;
use inode::Inode;
use names::{InodeId, Names};
pub use operations::{SimDisk, SimFile, SimLock};

/// How a disk misbehaves at the moment. Rates are in parts per million of the operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskFaults {
    /// Writes that fail after any part was written.
    pub write_error: u32,
    /// Reads that fail.
    pub read_error: u32,
    /// Syncs that fail: part of what they covered is never written.
    pub sync_error: u32,
    /// Reads that return one wrong bit.
    pub rot: u32,
    /// Syncs return success and do nothing.
    pub lying_sync: bool,
    /// Everything takes so many times longer, and writes stall the whole process now and then.
    pub slowness: u64,
    /// No byte beyond this many fits.
    pub capacity: Option<u64>,
}

impl DiskFaults {
    /// A disk that does what it should.
    pub const NONE: Self = Self {
        write_error: 0,
        read_error: 0,
        sync_error: 0,
        rot: 0,
        lying_sync: false,
        slowness: 1,
        capacity: None,
    };
}

/// What happened on a disk, for the report: a fault that changed nothing has not fired.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskCounts {
    /// Writes.
    pub writes: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Syncs of files that worked.
    pub syncs: u64,
    /// Unsynced sectors that a loss of power took.
    pub sectors_lost: u64,
    /// Files of which a loss of power kept some unsynced sectors and took others.
    pub files_torn: u64,
    /// Unsynced names that a loss of power took.
    pub names_lost: u64,
    /// Writes that failed.
    pub write_errors: u64,
    /// Reads that failed.
    pub read_errors: u64,
    /// Syncs that failed.
    pub sync_errors: u64,
    /// Syncs that lied about something.
    pub lies: u64,
    /// Reads that returned a wrong bit.
    pub rotted: u64,
    /// Writes that found no room.
    pub no_space: u64,
    /// Writes that stalled the process.
    pub stalls: u64,
}

/// The disk of one machine. It outlives the machine's processes.
#[derive(Clone)]
pub struct Machine(Arc<Inner>);

struct Inner {
    engine: Engine,
    node: NodeId,
    state: Mutex<State>,
}

struct State {
    names: Names,
    inodes: BTreeMap<InodeId, Inode>,
    locks: BTreeMap<InodeId, Life>,
    last_inode: u64,
    sequence: u64,
    faults: DiskFaults,
    counts: DiskCounts,
    latency: Dice,
    luck: Dice,
    trap: Option<Trap>,
}

/// Something to be done just before the n-th operation from now.
struct Trap {
    operations_left: u64,
    action: Box<dyn FnOnce() + Send>,
}

impl Machine {
    /// An empty disk.
    pub fn new(engine: Engine, node: NodeId) -> Self {
        let seed = engine.seed();
        let state = State {
            names: Names::new(),
            inodes: BTreeMap::new(),
            locks: BTreeMap::new(),
            last_inode: InodeId::ROOT.0,
            sequence: 0,
            faults: DiskFaults::NONE,
            counts: DiskCounts::default(),
            latency: Dice::new(seed, node, "disk latency", 0),
            luck: Dice::new(seed, node, "disk luck", 0),
            trap: None,
        };
        Self(Arc::new(Inner { engine, node, state: Mutex::new(state) }))
    }

    /// The disk as one process sees it.
    pub fn of(&self, life: Life) -> SimDisk {
        assert_eq!(life.node, self.0.node, "a disk belongs to one node");
        SimDisk::new(self.clone(), life)
    }

    /// Changes how the disk misbehaves from now on.
    pub fn set_faults(&self, change: impl FnOnce(&mut DiskFaults)) {
        change(&mut self.state().faults);
    }

    /// How many bytes are on it.
    pub fn used_bytes(&self) -> u64 {
        self.state().used_bytes()
    }

    /// What happened so far.
    pub fn counts(&self) -> DiskCounts {
        self.state().counts
    }

    /// Does something just before the n-th operation from now: how crashes hit between two operations.
    /// The action may fence the node; the operation then fails.
    pub fn set_trap(&self, operations: u64, action: impl FnOnce() + Send + 'static) {
        self.state().trap = Some(Trap { operations_left: operations, action: Box::new(action) });
    }

    /// Forgets the trap.
    pub fn clear_trap(&self) {
        let trap = self.state().trap.take();
        drop(trap);
    }

    /// The process is gone, the page cache is not.
    pub fn process_died(&self) {
        self.state().locks.clear();
    }

    /// The power is gone.
    pub fn power_lost(&self) {
        let mut state = self.state();
        let state = &mut *state;
        state.locks.clear();
        let names_lost = state.names.lose_power(&mut state.luck);
        state.counts.names_lost += names_lost;
        self.0.engine.note(self.0.node, Kind::DiskCrash, (u64::MAX, names_lost), || {
            format!("{names_lost} unsynced names are gone").into()
        });
        let named: Vec<InodeId> = state.names.all_named().collect();
        for (id, inode) in &mut state.inodes {
            let loss = inode.lose_power(&mut state.luck);
            let (lost, kept) = (loss.sectors_lost, loss.sectors_kept);
            state.counts.sectors_lost += lost;
            state.counts.files_torn += u64::from(lost > 0 && kept > 0);
            if lost + kept > 0 {
                self.0.engine.note(self.0.node, Kind::DiskCrash, (id.0, lost << 32 | kept), || {
                    format!("file {}: {lost} unsynced sectors are gone, {kept} stayed", id.0).into()
                });
            }
        }
        state.inodes.retain(|id, _| named.contains(id));
    }

    /// The directory under the root that has this name was a disk of its own, which is replaced by an empty one.
    /// The power must be gone.
    pub fn replace(&self, name: &str) {
        let mut state = self.state();
        state.names.replace_tree(name);
        let named: Vec<InodeId> = state.names.all_named().collect();
        let before = state.inodes.len();
        state.inodes.retain(|id, _| named.contains(id));
        let gone = (before - state.inodes.len()) as u64;
        self.0.engine.note(self.0.node, Kind::DiskCrash, (u64::MAX - 1, gone), || {
            format!("/{name} is another disk, and empty: {gone} files are gone").into()
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("one thread alone takes this lock, and no panic happens under it")
    }
}

impl State {
    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn new_inode(&mut self) -> InodeId {
        self.last_inode += 1;
        InodeId(self.last_inode)
    }

    fn used_bytes(&self) -> u64 {
        self.names.all_named().filter_map(|id| self.inodes.get(&id)).map(Inode::len).sum()
    }

    /// How many of these bytes, written at `offset`, fit.
    fn fitting(&self, inode: InodeId, offset: u64, length: u64) -> u64 {
        let Some(capacity) = self.faults.capacity else { return length };
        let length_now = self.inodes.get(&inode).map_or(0, Inode::len);
        let free = capacity.saturating_sub(self.used_bytes());
        (length_now + free).saturating_sub(offset).min(length)
    }

    fn operation_latency(&mut self, base_ns: u64) -> u64 {
        self.latency.latency(base_ns * self.faults.slowness)
    }

    /// Walks to the directory that a path names.
    fn dir(&self, path: &Path) -> Option<InodeId> {
        let mut dir = InodeId::ROOT;
        for name in normal_names(path) {
            dir = self.names.find(dir, name).filter(|inode| self.names.is_dir(*inode))?;
        }
        Some(dir)
    }

    /// Walks to the directory above what a path names.
    fn place<'a>(&self, path: &'a Path) -> Option<(InodeId, &'a str)> {
        let name = normal_names(path).last()?;
        let dir = self.dir(path.parent()?)?;
        Some((dir, name))
    }

    /// Counts an operation, and springs the trap if it is time.
    fn sprung_trap(&mut self) -> Option<Box<dyn FnOnce() + Send>> {
        let trap = self.trap.as_mut()?;
        trap.operations_left = trap.operations_left.saturating_sub(1);
        if trap.operations_left > 0 {
            return None;
        }
        self.trap.take().map(|trap| trap.action)
    }
}

fn normal_names(path: &Path) -> impl Iterator<Item = &str> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => name.to_str(),
        _ => None,
    })
}

fn disk_error(operation: DiskOperation, path: &Path, kind: DiskErrorKind, detail: &str) -> DiskError {
    DiskError { operation, path: path.to_owned(), kind, detail: detail.to_owned() }
}

#[cfg(test)]
mod tests;
