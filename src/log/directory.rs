//! The names of files and directories, which are Kafka's.
//!
//! A log directory holds one directory per partition, `<topic>-<partition>`, next to the checkpoint files of
//! [`checkpoint`](super::checkpoint). A partition directory holds, for each segment and named by the 20
//! digits of the segment's base offset:
//!
//! | file | content |
//! |---|---|
//! | `%020d.log` | record batches |
//! | `%020d.index` | [`offset_index`](super::offset_index) |
//! | `%020d.timeindex` | [`time_index`](super::time_index) |
//! | `%020d.txnindex` | aborted transactions; not read yet |
//! | `%020d.snapshot` | [`producer_snapshot`](super::producer_snapshot): its state is that *before* the offset |
//!
//! A suffix says that a file or directory is on its way out or in: `.deleted` (removed from the log, to be
//! unlinked after `file.delete.delay.ms`), `.tmp` (a small file before its rename), `.cleaned` and `.swap`
//! (compaction's output before and after it is complete). A partition directory that is being deleted is
//! `<topic>-<partition>.<32 hex digits>-delete`, its topic cut so that the name fits in 255 bytes; a stray
//! one, which the metadata no longer names, ends in `-stray`; one that is being moved between disks in
//! `-future`.
//!
//! Faults: a name of any other shape is none of ours and is left alone.

use std::fmt;

use crate::types::{Offset, Uuid};

/// The longest name that file systems take, in bytes.
const NAME_LEN_MAX: usize = 255;

const DELETED_SUFFIX: &str = ".deleted";
const TEMPORARY_SUFFIX: &str = ".tmp";
const CLEANED_SUFFIX: &str = ".cleaned";
const SWAP_SUFFIX: &str = ".swap";

/// A partition by the *name* of its topic, as directories and checkpoint files know it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: String,
    /// The partition's index within the topic.
    pub partition: i32,
}

impl TopicPartition {
    /// The name of the partition's directory.
    pub fn directory_name(&self) -> String {
        self.to_string()
    }

    /// The name under which the partition's directory waits for its deletion; `unique` keeps it apart from
    /// an earlier topic of the same name.
    pub fn deleted_directory_name(&self, unique: Uuid) -> String {
        self.suffixed(unique, "delete")
    }

    /// The name under which a partition's directory that the metadata no longer knows is put aside.
    pub fn stray_directory_name(&self, unique: Uuid) -> String {
        self.suffixed(unique, "stray")
    }

    fn suffixed(&self, unique: Uuid, state: &str) -> String {
        let suffix = format!("-{}.{:032x}-{state}", self.partition, unique.0);
        // Topic names are ASCII; one from a foreign directory is cut between characters all the same.
        let mut topic = self.topic.as_str();
        while topic.len() + suffix.len() > NAME_LEN_MAX {
            let last = topic.char_indices().next_back().expect("the suffix alone fits").0;
            topic = &topic[..last];
        }
        format!("{topic}{suffix}")
    }

    fn parse(name: &str) -> Option<Self> {
        let (topic, partition) = name.rsplit_once('-')?;
        let digits = !partition.is_empty() && partition.bytes().all(|byte| byte.is_ascii_digit());
        if topic.is_empty() || !digits {
            return None;
        }
        Some(Self { topic: topic.to_owned(), partition: partition.parse().ok()? })
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// What a directory within a log directory is, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectoryName {
    /// A partition.
    Partition(TopicPartition),
    /// A partition on its way out (its topic's name may be cut).
    Deleted(TopicPartition),
    /// A partition put aside because the metadata did not know it (its topic's name may be cut).
    Stray(TopicPartition),
    /// A partition being copied from another disk (its topic's name may be cut).
    Future(TopicPartition),
}

impl DirectoryName {
    /// Reads a name; `None` is none of ours.
    pub fn parse(name: &str) -> Option<Self> {
        // A topic's name may hold dots and dashes, even `a.b-delete`, so only the whole shape counts.
        let put_aside = |state: &str| {
            let (rest, unique) = name.strip_suffix(state)?.rsplit_once('.')?;
            let hex = unique.len() == 32 && unique.bytes().all(|byte| byte.is_ascii_hexdigit());
            if hex { TopicPartition::parse(rest) } else { None }
        };
        if let Some(partition) = put_aside("-delete") {
            return Some(Self::Deleted(partition));
        }
        if let Some(partition) = put_aside("-stray") {
            return Some(Self::Stray(partition));
        }
        if let Some(partition) = put_aside("-future") {
            return Some(Self::Future(partition));
        }
        TopicPartition::parse(name).map(Self::Partition)
    }
}

/// The kinds of files that are named by an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// Record batches.
    Log,
    /// Offset to position.
    OffsetIndex,
    /// Timestamp to offset.
    TimeIndex,
    /// Aborted transactions.
    TransactionIndex,
    /// Producer state.
    ProducerSnapshot,
}

impl FileKind {
    const ALL: [Self; 5] =
        [Self::Log, Self::OffsetIndex, Self::TimeIndex, Self::TransactionIndex, Self::ProducerSnapshot];

    fn extension(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::OffsetIndex => "index",
            Self::TimeIndex => "timeindex",
            Self::TransactionIndex => "txnindex",
            Self::ProducerSnapshot => "snapshot",
        }
    }
}

/// The name of the file of this kind for this offset.
pub fn file_name(offset: Offset, kind: FileKind) -> String {
    format!("{:020}.{}", offset.0, kind.extension())
}

/// The name that a file has once it is removed from the log and waits to be unlinked.
pub(super) fn deleted_name(name: &str) -> String {
    format!("{name}{DELETED_SUFFIX}")
}

/// The name that a small file has until it is complete.
pub(super) fn temporary_name(name: &str) -> String {
    format!("{name}{TEMPORARY_SUFFIX}")
}

/// What a file within a partition directory is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileName {
    /// A file of the log.
    Named(Offset, FileKind),
    /// Removed or never completed: to be unlinked.
    Leftover,
    /// Output of a compaction that was not completed.
    Cleaned(Offset),
    /// Output of a complete compaction, not yet under its name, which it has without the suffix.
    Swap(Offset, FileKind),
    /// None of the above: left alone.
    Other,
}

impl FileName {
    /// Reads a name.
    pub fn parse(name: &str) -> Self {
        if name.ends_with(DELETED_SUFFIX) || name.ends_with(TEMPORARY_SUFFIX) {
            return Self::Leftover;
        }
        let named = |name: &str| {
            let (digits, extension) = name.split_once('.')?;
            if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let kind = FileKind::ALL.into_iter().find(|kind| kind.extension() == extension)?;
            Some((Offset(digits.parse().ok()?), kind))
        };
        if let Some((offset, _)) = name.strip_suffix(CLEANED_SUFFIX).and_then(named) {
            return Self::Cleaned(offset);
        }
        if let Some((offset, kind)) = name.strip_suffix(SWAP_SUFFIX).and_then(named) {
            return Self::Swap(offset, kind);
        }
        match named(name) {
            Some((offset, kind)) => Self::Named(offset, kind),
            None => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.to_owned(), partition }
    }

    #[test]
    fn file_names_are_kafkas() {
        assert_eq!(file_name(Offset(0), FileKind::Log), "00000000000000000000.log");
        assert_eq!(file_name(Offset(368_769), FileKind::TimeIndex), "00000000000000368769.timeindex");
        assert_eq!(file_name(Offset(i64::MAX), FileKind::OffsetIndex), "09223372036854775807.index");
        for kind in FileKind::ALL {
            let name = file_name(Offset(42), kind);
            assert_eq!(FileName::parse(&name), FileName::Named(Offset(42), kind));
            assert_eq!(FileName::parse(&format!("{name}.swap")), FileName::Swap(Offset(42), kind));
            assert_eq!(FileName::parse(&deleted_name(&name)), FileName::Leftover);
        }
    }

    #[test]
    fn file_names_of_other_shapes_are_left_alone() {
        for name in [
            "leader-epoch-checkpoint",
            "partition.metadata",
            "1.log",
            "99999999999999999999.log",
            "0000000000000000000x.log",
            "00000000000000000000.log.txt",
            "00000000000000000000-0000000001.checkpoint",
            "+0000000000000000000.log",
        ] {
            assert_eq!(FileName::parse(name), FileName::Other, "{name}");
        }
        assert_eq!(FileName::parse("leader-epoch-checkpoint.tmp"), FileName::Leftover);
        assert_eq!(FileName::parse("00000000000000000007.log.cleaned"), FileName::Cleaned(Offset(7)));
    }

    #[test]
    fn directory_names_survive_a_round_trip() {
        let id = Uuid(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        for topic in ["orders", "with-dash", "with.dot", "a.b-delete", "-", "__consumer_offsets"] {
            let partition = partition(topic, 17);
            let parse = |name: String| DirectoryName::parse(&name);
            assert_eq!(parse(partition.directory_name()), Some(DirectoryName::Partition(partition.clone())));
            let deleted = partition.deleted_directory_name(id);
            assert_eq!(deleted, format!("{topic}-17.0123456789abcdef0123456789abcdef-delete"));
            assert_eq!(parse(deleted), Some(DirectoryName::Deleted(partition.clone())));
            let stray = partition.stray_directory_name(id);
            assert_eq!(parse(stray), Some(DirectoryName::Stray(partition)));
        }
        let future = "t-0.0123456789abcdef0123456789abcdef-future";
        assert_eq!(DirectoryName::parse(future), Some(DirectoryName::Future(partition("t", 0))));
    }

    #[test]
    fn deleted_directory_names_fit_the_file_system() {
        let name = partition(&"t".repeat(249), i32::MAX).deleted_directory_name(Uuid(1));
        assert_eq!(name.len(), 255);
        assert!(matches!(DirectoryName::parse(&name), Some(DirectoryName::Deleted(_))));
    }

    #[test]
    fn directories_of_other_shapes_are_left_alone() {
        for name in ["lost+found", "orders", "orders-", "-1", "orders-x", "orders-99999999999", "a-+1"] {
            assert_eq!(DirectoryName::parse(name), None, "{name}");
        }
    }
}
