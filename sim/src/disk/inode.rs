//! One file: what every reader sees, what would survive, and what lies between.

use std::collections::BTreeMap;

use super::image::Image;
use crate::dice::Dice;

/// A disk writes this much or nothing.
pub(super) const SECTOR: u64 = 512;

/// One file.
#[derive(Debug, Default)]
pub(super) struct Inode {
    /// What reads see: the page cache over the disk.
    live: Image,
    /// What is on the disk for sure.
    durable: Image,
    /// What happened since, in order.
    pending: Vec<Pending>,
    /// Whether a sync failed or lied: the live image then holds bytes that no later sync makes durable.
    pub(super) is_suspect: bool,
}

#[derive(Debug)]
struct Pending {
    sequence: u64,
    change: Change,
}

#[derive(Debug)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen { from: u64, to: u64 },
}

impl Change {
    /// The bytes that change, as a range.
    fn touches(&self) -> (u64, u64) {
        match self {
            Self::Write { offset, bytes } => (*offset, offset + bytes.len() as u64),
            Self::SetLen { from, to } => (*from.min(to), *from.max(to)),
        }
    }

    fn length_after(&self, before: u64) -> u64 {
        match self {
            Self::Write { offset, bytes } => before.max(offset + bytes.len() as u64),
            Self::SetLen { to, .. } => *to,
        }
    }

    /// Carries out the part that lies within one sector. The image is long enough.
    fn apply_within(&self, image: &mut Image, start: u64, end: u64) {
        match self {
            Self::Write { offset, bytes } => {
                let from = start.max(*offset);
                let to = end.min(offset + bytes.len() as u64);
                if from < to {
                    image.write(from, &bytes[(from - offset) as usize..(to - offset) as usize]);
                }
            }
            Self::SetLen { from, to } => {
                let cut = start.max(*to);
                let until = end.min(*from);
                if cut < until {
                    image.write(cut, &vec![0; (until - cut) as usize]);
                }
            }
        }
    }

    fn apply(&self, image: &mut Image) {
        match self {
            Self::Write { offset, bytes } => image.write(*offset, bytes),
            Self::SetLen { to, .. } => image.set_len(*to),
        }
    }
}

/// What a power loss did to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Loss {
    /// Sectors that kept the old bytes, or got zeros.
    pub(super) sectors_lost: u64,
    /// Sectors that got the new bytes although others of the same file did not: a torn write.
    pub(super) sectors_kept: u64,
}

impl Inode {
    pub(super) fn len(&self) -> u64 {
        self.live.len()
    }

    pub(super) fn read(&self, offset: u64, length: usize, into: &mut Vec<u8>) -> usize {
        self.live.read(offset, length, into)
    }

    /// Rule 1: visible at once.
    pub(super) fn write(&mut self, sequence: u64, offset: u64, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.live.write(offset, &bytes);
            self.pending.push(Pending { sequence, change: Change::Write { offset, bytes } });
        }
    }

    pub(super) fn set_len(&mut self, sequence: u64, to: u64) {
        let from = self.live.len();
        if from != to {
            self.live.set_len(to);
            self.pending.push(Pending { sequence, change: Change::SetLen { from, to } });
        }
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Rules 2 and 3: what happened up to `sequence` is durable.
    pub(super) fn sync(&mut self, sequence: u64) {
        let later = self.pending.partition_point(|pending| pending.sequence <= sequence);
        for pending in self.pending.drain(..later) {
            pending.change.apply(&mut self.durable);
        }
    }

    /// Rule 6: an unknown part of what happened up to `sequence` is durable, and the rest never will be,
    /// though reads go on to see it.
    pub(super) fn sync_fails(&mut self, sequence: u64, dice: &mut Dice) {
        let later = self.pending.partition_point(|pending| pending.sequence <= sequence);
        let covered: Vec<Pending> = self.pending.drain(..later).collect();
        self.is_suspect |= !covered.is_empty();
        write_back_partly(&mut self.durable, &covered, dice);
    }

    /// Rules 2 and 3 at a loss of power: every sector for itself.
    pub(super) fn lose_power(&mut self, dice: &mut Dice) -> Loss {
        let pending = std::mem::take(&mut self.pending);
        let loss = write_back_partly(&mut self.durable, &pending, dice);
        self.live = self.durable.clone();
        self.is_suspect = false;
        loss
    }
}

/// Brings a random part of the changes onto the disk. A sector is written from the page cache at some moment:
/// it holds the changes up to a point, each sector a point of its own; where the file grew it may also hold
/// zeros. The length is written at a moment of its own.
fn write_back_partly(durable: &mut Image, changes: &[Pending], dice: &mut Dice) -> Loss {
    let mut loss = Loss::default();
    if changes.is_empty() {
        return loss;
    }
    let length_before = durable.len();
    let mut lengths = vec![length_before];
    for pending in changes {
        let last = *lengths.last().expect("it begins with one");
        lengths.push(pending.change.length_after(last));
    }
    let length = lengths[dice.index(lengths.len())];
    let room = *lengths.iter().max().expect("it begins with one");
    durable.set_len(room);
    for (sector, touching) in changes_by_sector(changes) {
        let (start, end) = (sector * SECTOR, ((sector + 1) * SECTOR).min(room));
        let upto = match dice.below(4) {
            0 => 0,
            1 => touching.len(),
            _ => dice.index(touching.len() + 1),
        };
        let is_grown = end > length_before;
        if is_grown && dice.one_in(8) {
            let zeroed = start.max(length_before);
            if zeroed < end {
                durable.write(zeroed, &vec![0; (end - zeroed) as usize]);
            }
            loss.sectors_lost += 1;
            continue;
        }
        for change in &touching[..upto] {
            change.apply_within(durable, start, end);
        }
        if upto < touching.len() {
            loss.sectors_lost += 1;
        } else {
            loss.sectors_kept += 1;
        }
    }
    durable.set_len(length);
    loss
}

/// For every sector that something changed: what did, in order.
fn changes_by_sector(changes: &[Pending]) -> BTreeMap<u64, Vec<&Change>> {
    let mut sectors: BTreeMap<u64, Vec<&Change>> = BTreeMap::new();
    for pending in changes {
        let (from, to) = pending.change.touches();
        for sector in from / SECTOR..to.div_ceil(SECTOR) {
            sectors.entry(sector).or_default().push(&pending.change);
        }
    }
    sectors
}
