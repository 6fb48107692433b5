//! Directories: what is there, what would be there after a loss of power, and what lies between.

use std::collections::BTreeMap;

use crate::dice::Dice;

/// A file or a directory, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InodeId(pub(super) u64);

impl InodeId {
    pub(super) const ROOT: Self = Self(0);
}

/// One name in one directory.
type Place = (InodeId, String);
/// Every directory and its entries.
type Tree = BTreeMap<InodeId, BTreeMap<String, InodeId>>;

/// The names of one disk.
#[derive(Debug)]
pub(super) struct Names {
    live: Tree,
    durable: Tree,
    pending: Vec<Pending>,
}

/// A change of names that is not durable yet.
#[derive(Debug, Clone)]
struct Pending {
    sequence: u64,
    change: Change,
    /// The directories that are still to be synced.
    unsynced: Vec<InodeId>,
}

#[derive(Debug, Clone)]
enum Change {
    Link { at: Place, inode: InodeId, is_dir: bool },
    Unlink { at: Place, inode: InodeId },
    Rename { from: Place, to: Place, inode: InodeId },
}

impl Change {
    fn places(&self) -> Vec<&Place> {
        match self {
            Self::Link { at, .. } | Self::Unlink { at, .. } => vec![at],
            Self::Rename { from, to, .. } => vec![from, to],
        }
    }

    /// Whether `self` cannot have happened unless the earlier change did: both are about one name, or the
    /// earlier one is inside a directory that this one removes.
    fn needs(&self, earlier: &Self) -> bool {
        let places = self.places();
        if earlier.places().iter().any(|place| places.contains(place)) {
            return true;
        }
        match self {
            Self::Unlink { inode, .. } => earlier.places().iter().any(|(dir, _)| dir == inode),
            Self::Link { .. } | Self::Rename { .. } => false,
        }
    }

    fn apply(&self, tree: &mut Tree) {
        match self {
            Self::Link { at: (dir, name), inode, is_dir } => {
                tree.entry(*dir).or_default().insert(name.clone(), *inode);
                if *is_dir {
                    tree.entry(*inode).or_default();
                }
            }
            Self::Unlink { at: (dir, name), inode } => {
                tree.entry(*dir).or_default().remove(name);
                tree.remove(inode);
            }
            Self::Rename { from: (from_dir, from_name), to: (to_dir, to_name), inode } => {
                tree.entry(*from_dir).or_default().remove(from_name);
                tree.entry(*to_dir).or_default().insert(to_name.clone(), *inode);
            }
        }
    }
}

impl Names {
    pub(super) fn new() -> Self {
        let root = Tree::from([(InodeId::ROOT, BTreeMap::new())]);
        Self { live: root.clone(), durable: root, pending: Vec::new() }
    }

    pub(super) fn is_dir(&self, inode: InodeId) -> bool {
        self.live.contains_key(&inode)
    }

    pub(super) fn find(&self, dir: InodeId, name: &str) -> Option<InodeId> {
        self.live.get(&dir)?.get(name).copied()
    }

    pub(super) fn entries(&self, dir: InodeId) -> Option<&BTreeMap<String, InodeId>> {
        self.live.get(&dir)
    }

    pub(super) fn link(&mut self, sequence: u64, dir: InodeId, name: &str, inode: InodeId, is_dir: bool) {
        self.change(sequence, Change::Link { at: (dir, name.to_owned()), inode, is_dir });
    }

    pub(super) fn unlink(&mut self, sequence: u64, dir: InodeId, name: &str, inode: InodeId) {
        self.change(sequence, Change::Unlink { at: (dir, name.to_owned()), inode });
    }

    pub(super) fn rename(
        &mut self,
        sequence: u64,
        from: (InodeId, &str),
        to: (InodeId, &str),
        inode: InodeId,
    ) {
        let (from, to) = ((from.0, from.1.to_owned()), (to.0, to.1.to_owned()));
        self.change(sequence, Change::Rename { from, to, inode });
    }

    fn change(&mut self, sequence: u64, change: Change) {
        change.apply(&mut self.live);
        let mut unsynced: Vec<InodeId> = change.places().iter().map(|(dir, _)| *dir).collect();
        unsynced.dedup();
        self.pending.push(Pending { sequence, change, unsynced });
    }

    /// Rule 4: what happened in this directory up to `sequence` is durable. A rename between two directories
    /// needs both.
    pub(super) fn sync(&mut self, dir: InodeId, sequence: u64) {
        for pending in &mut self.pending {
            if pending.sequence <= sequence {
                pending.unsynced.retain(|unsynced| *unsynced != dir);
            }
        }
        let done: Vec<bool> = self.pending.iter().map(|pending| pending.unsynced.is_empty()).collect();
        self.settle(done);
    }

    /// Whether syncing this directory would make anything durable.
    pub(super) fn has_pending(&self, dir: InodeId) -> bool {
        self.pending.iter().any(|pending| pending.unsynced.contains(&dir))
    }

    /// Rule 4 at a loss of power: every change is done or not done on its own, except that none is done whose
    /// precondition is not. Says how many were lost.
    pub(super) fn lose_power(&mut self, dice: &mut Dice) -> u64 {
        let mut done: Vec<bool> = Vec::new();
        for (index, pending) in self.pending.iter().enumerate() {
            let possible = (0..index)
                .all(|earlier| done[earlier] || !pending.change.needs(&self.pending[earlier].change));
            let draw = dice.coin();
            done.push(possible && draw);
        }
        for (pending, done) in self.pending.iter().zip(&done) {
            if *done {
                pending.change.apply(&mut self.durable);
            }
        }
        self.pending.clear();
        self.live = reachable(&self.durable);
        self.durable = self.live.clone();
        done.iter().filter(|done| !**done).count() as u64
    }

    /// Another disk, and empty, is mounted in the place of this one, whose name is an entry of the root. Nothing
    /// may be pending: the power was gone.
    pub(super) fn replace_tree(&mut self, name: &str) {
        assert!(self.pending.is_empty(), "a disk is replaced while the machine has no power");
        let root = self.live.get_mut(&InodeId::ROOT).expect("the root is always there");
        root.remove(name);
        self.live = reachable(&self.live);
        self.durable = self.live.clone();
    }

    /// Makes the changes marked durable, and those that they need.
    fn settle(&mut self, mut done: Vec<bool>) {
        for index in (0..done.len()).rev() {
            if done[index] {
                let needed = self.pending[..index].iter();
                for (done, earlier) in done.iter_mut().zip(needed) {
                    *done |= self.pending[index].change.needs(&earlier.change);
                }
            }
        }
        let mut index = 0;
        let durable = &mut self.durable;
        self.pending.retain(|pending| {
            let settled = done[index];
            index += 1;
            if settled {
                pending.change.apply(durable);
            }
            !settled
        });
    }

    /// Every inode that has a name.
    pub(super) fn all_named(&self) -> impl Iterator<Item = InodeId> {
        self.live.values().flat_map(|entries| entries.values().copied())
    }
}

/// The part of a tree that hangs on its root: a directory whose own name was lost takes its content along.
fn reachable(tree: &Tree) -> Tree {
    let mut found = Tree::new();
    let mut open = vec![InodeId::ROOT];
    while let Some(dir) = open.pop() {
        let Some(entries) = tree.get(&dir) else { continue };
        open.extend(entries.values().filter(|inode| tree.contains_key(inode)));
        found.insert(dir, entries.clone());
    }
    found
}
