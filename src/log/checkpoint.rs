//! The small files of a log directory and of its partitions: always replaced whole, in Kafka's formats.
//!
//! *Offset checkpoints* (`recovery-point-offset-checkpoint`, `replication-offset-checkpoint`,
//! `log-start-offset-checkpoint`, one each per log directory) and *epoch checkpoints*
//! (`leader-epoch-checkpoint`, one per partition) are lines of text: the version, `0`; the number of entries;
//! then one entry a line, `<topic> <partition> <offset>` or `<leader epoch> <start offset>`. An empty file
//! has no entries: Kafka creates checkpoints empty.
//!
//! *`partition.metadata`*, one per partition: `version: 0`, a new line, `topic_id: <22 characters>`, and no
//! new line behind it.
//!
//! *`meta.properties`*, one per log directory: Java properties `version=1`, `cluster.id`, `node.id` and
//! `directory.id`.
//!
//! *`.kafka_cleanshutdown`*, one per log directory: `{"version":0,"brokerEpoch":<epoch>}`. It exists exactly
//! while the directory is not in use and everything in it is durable.
//!
//! Faults. A file is written under a name ending in `.tmp`, synced, renamed, and its directory synced: after
//! a crash the old or the new content is there, whole. Each file has one writer at a time, which must not
//! drop the future it waits for: what such a future began may yet happen, to the next writer's file. Content
//! that no version of ours or Kafka's has written is reported ([`CheckpointError::Malformed`]) and never
//! guessed at; only `.kafka_cleanshutdown` is then as good as missing, since "unclean" is always safe.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::directory::{TopicPartition, temporary_name};
use crate::env::{Disk, DiskError, DiskErrorKind, File, OpenMode};
use crate::types::{BrokerEpoch, BrokerId, LeaderEpoch, Offset, Uuid};

/// Up to where each log is durable; where recovery begins to read.
pub const RECOVERY_POINT_CHECKPOINT: &str = "recovery-point-offset-checkpoint";
/// The high watermarks.
pub const HIGH_WATERMARK_CHECKPOINT: &str = "replication-offset-checkpoint";
/// Where logs start that start inside their first segment.
pub const LOG_START_CHECKPOINT: &str = "log-start-offset-checkpoint";

const LEADER_EPOCH_CHECKPOINT: &str = "leader-epoch-checkpoint";
const PARTITION_METADATA: &str = "partition.metadata";
/// What a log directory says about itself.
pub const META_PROPERTIES: &str = "meta.properties";
const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";

const CHECKPOINT_VERSION: &str = "0";

/// Why a small file could not be read.
#[derive(Debug, Clone, Error)]
pub enum CheckpointError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The content is nothing that we or Kafka write.
    #[error("{} is malformed: {reason}; {}", path.display(), way_out(path))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// What to do about a file that is malformed.
fn way_out(path: &Path) -> &'static str {
    match path.file_name().and_then(|name| name.to_str()).unwrap_or_default() {
        META_PROPERTIES => {
            "bring it back from a copy, or write it anew, one a line: version=1, cluster.id and node.id as in the \
             node's other directories, directory.id as the cluster knows it"
        }
        PARTITION_METADATA => {
            "bring it back from a copy, or write it anew in two lines: `version: 0`, and `topic_id: ID` with the \
             topic's id as kafka-topics --describe shows it"
        }
        LEADER_EPOCH_CHECKPOINT => "remove it: it is made anew from the log",
        _ => "bring it back from a copy; without it nobody knows which records a crash may not have taken",
    }
}

/// Replaces an offset checkpoint of the log directory `dir`, durably.
///
/// # Errors
///
/// Those of the disk; the old content is then still there.
pub async fn write_offsets<D: Disk>(
    disk: &D,
    dir: &Path,
    name: &str,
    offsets: &BTreeMap<TopicPartition, Offset>,
) -> Result<(), DiskError> {
    let lines = offsets.iter().map(|(key, offset)| format!("{} {} {offset}", key.topic, key.partition));
    replace_file(disk, dir, name, encode_lines(lines).as_bytes()).await
}

/// Reads an offset checkpoint of the log directory `dir`; a missing one is empty.
///
/// # Errors
///
/// [`CheckpointError`].
pub async fn read_offsets<D: Disk>(
    disk: &D,
    dir: &Path,
    name: &str,
) -> Result<BTreeMap<TopicPartition, Offset>, CheckpointError> {
    let parse = |line: &str| {
        let [topic, partition, offset] = fields(line)?;
        let key = TopicPartition { topic: topic.to_owned(), partition: number(partition)? };
        Some((key, Offset(number(offset)?)))
    };
    Ok(read_lines(disk, &dir.join(name), parse).await?.into_iter().collect())
}

/// Replaces the leader-epoch checkpoint of the partition directory `dir`, durably (R1, KAFKA-16541).
///
/// # Errors
///
/// Those of the disk; the old content is then still there.
pub async fn write_leader_epochs<D: Disk>(
    disk: &D,
    dir: &Path,
    epochs: &[(LeaderEpoch, Offset)],
) -> Result<(), DiskError> {
    let lines = epochs.iter().map(|(epoch, start)| format!("{epoch} {start}"));
    replace_file(disk, dir, LEADER_EPOCH_CHECKPOINT, encode_lines(lines).as_bytes()).await
}

/// Reads the leader-epoch checkpoint of the partition directory `dir`, in the order of the file; a missing
/// one is empty.
///
/// # Errors
///
/// [`CheckpointError`].
pub async fn read_leader_epochs<D: Disk>(
    disk: &D,
    dir: &Path,
) -> Result<Vec<(LeaderEpoch, Offset)>, CheckpointError> {
    let parse = |line: &str| {
        let [epoch, start] = fields(line)?;
        Some((LeaderEpoch(number(epoch)?), Offset(number(start)?)))
    };
    read_lines(disk, &dir.join(LEADER_EPOCH_CHECKPOINT), parse).await
}

/// Replaces `partition.metadata` in the partition directory `dir`, durably.
///
/// # Errors
///
/// Those of the disk; the old content is then still there.
pub async fn write_topic_id<D: Disk>(disk: &D, dir: &Path, topic_id: Uuid) -> Result<(), DiskError> {
    let text = format!("version: 0\ntopic_id: {topic_id}");
    replace_file(disk, dir, PARTITION_METADATA, text.as_bytes()).await
}

/// Reads the topic's id from the partition directory `dir`; `None` if the file is missing.
///
/// # Errors
///
/// [`CheckpointError`]; the zero id is malformed, as for Kafka.
pub async fn read_topic_id<D: Disk>(disk: &D, dir: &Path) -> Result<Option<Uuid>, CheckpointError> {
    let path = dir.join(PARTITION_METADATA);
    let Some(text) = read_text(disk, &path).await? else { return Ok(None) };
    let mut lines = text.lines();
    let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(':').map(str::trim);
    // Kafka reads later versions by the same rule.
    let version = value("version").and_then(number::<i32>).filter(|version| *version >= 0);
    let topic_id = value("topic_id").and_then(Uuid::parse).filter(|id| *id != Uuid::ZERO);
    match (version, topic_id) {
        (Some(_), Some(topic_id)) => Ok(Some(topic_id)),
        (None, _) => Err(malformed(&path, "no valid version")),
        (_, None) => Err(malformed(&path, "no valid topic id")),
    }
}

/// What a log directory says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaProperties {
    /// The cluster that the directory belongs to.
    pub cluster_id: String,
    /// The node that the directory belongs to.
    pub node_id: BrokerId,
    /// The directory's own id. Kafka before 3.7 wrote none.
    pub directory_id: Option<Uuid>,
}

/// Replaces `meta.properties` in the log directory `dir`, durably.
///
/// # Errors
///
/// Those of the disk; the old content is then still there.
pub async fn write_meta_properties<D: Disk>(
    disk: &D,
    dir: &Path,
    properties: &MetaProperties,
) -> Result<(), DiskError> {
    let MetaProperties { cluster_id, node_id, directory_id } = properties;
    let mut text = format!("version=1\ncluster.id={cluster_id}\nnode.id={node_id}\n");
    if let Some(directory_id) = directory_id {
        text.push_str(&format!("directory.id={directory_id}\n"));
    }
    replace_file(disk, dir, META_PROPERTIES, text.as_bytes()).await
}

/// Reads `meta.properties` from the log directory `dir`; `None` if it is missing, that is, if the directory
/// is not formatted.
///
/// # Errors
///
/// [`CheckpointError`]; version 0, from clusters with ZooKeeper, counts as malformed.
pub async fn read_meta_properties<D: Disk>(
    disk: &D,
    dir: &Path,
) -> Result<Option<MetaProperties>, CheckpointError> {
    let path = dir.join(META_PROPERTIES);
    let Some(text) = read_text(disk, &path).await? else { return Ok(None) };
    let properties = parse_properties(&text);
    let get = |key: &str| properties.get(key).map(String::as_str);
    match get("version") {
        Some("1") => {}
        version => {
            let reason =
                format!("version {} is not supported, only 1 is", version.unwrap_or("0 (none given)"));
            return Err(malformed(&path, &reason));
        }
    }
    let cluster_id = get("cluster.id").ok_or_else(|| malformed(&path, "cluster.id is missing"))?;
    let node_id = get("node.id")
        .and_then(number)
        .ok_or_else(|| malformed(&path, "node.id is missing or not a number"))?;
    let directory_id = match get("directory.id") {
        None => None,
        Some(id) => Some(Uuid::parse(id).ok_or_else(|| malformed(&path, "directory.id is not an id"))?),
    };
    Ok(Some(MetaProperties { cluster_id: cluster_id.to_owned(), node_id: BrokerId(node_id), directory_id }))
}

#[derive(Serialize, Deserialize)]
struct CleanShutdown {
    version: i32,
    #[serde(rename = "brokerEpoch")]
    broker_epoch: i64,
}

/// Marks the log directory `dir` as cleanly left by the broker of this epoch, durably. Everything in the
/// directory is durable before this is called, and nothing is written to it after.
///
/// # Errors
///
/// Those of the disk.
pub async fn write_clean_shutdown<D: Disk>(
    disk: &D,
    dir: &Path,
    broker_epoch: BrokerEpoch,
) -> Result<(), DiskError> {
    let content = CleanShutdown { version: 0, broker_epoch: broker_epoch.0 };
    let text = serde_json::to_string(&content).expect("two numbers are JSON");
    replace_file(disk, dir, CLEAN_SHUTDOWN, text.as_bytes()).await
}

/// Reads the mark of a clean shutdown in the log directory `dir`, and says whose it is. `None` is an unclean
/// shutdown: there is no mark, or none that can be read.
///
/// # Errors
///
/// Those of the disk.
pub async fn read_clean_shutdown<D: Disk>(disk: &D, dir: &Path) -> Result<Option<BrokerEpoch>, DiskError> {
    let Some(bytes) = read_file(disk, &dir.join(CLEAN_SHUTDOWN)).await? else { return Ok(None) };
    let content: Option<CleanShutdown> = serde_json::from_slice(&bytes).ok();
    Ok(content.filter(|content| content.version >= 0).map(|content| BrokerEpoch(content.broker_epoch)))
}

/// Takes the mark of a clean shutdown from the log directory `dir`, durably, and says what
/// [`read_clean_shutdown`] says.
///
/// It is taken *before* anything else in the directory is touched: a crash during startup must not be
/// believed clean (KAFKA-15375).
///
/// # Errors
///
/// Those of the disk. The directory must then not be used: the mark may still be there.
pub async fn take_clean_shutdown<D: Disk>(disk: &D, dir: &Path) -> Result<Option<BrokerEpoch>, DiskError> {
    let found = read_clean_shutdown(disk, dir).await?;
    match disk.remove_file(&dir.join(CLEAN_SHUTDOWN)).await {
        Err(error) if error.kind == DiskErrorKind::NotFound => {}
        outcome => {
            outcome?;
            disk.sync_dir(dir).await?;
        }
    }
    Ok(found)
}

/// Replaces the file `name` of the directory `dir` by one with this content: atomically, and durable when the
/// future ends, which therefore must not be dropped before.
///
/// # Errors
///
/// Those of the disk; the old content is then still there.
pub async fn replace_file<D: Disk>(
    disk: &D,
    dir: &Path,
    name: &str,
    content: &[u8],
) -> Result<(), DiskError> {
    let temporary = dir.join(temporary_name(name));
    let file = disk.open(&temporary, OpenMode::CreateOrTruncate).await?;
    file.write_at(0, &mut [IoSlice::new(content)])?;
    file.sync().await?;
    disk.rename(&temporary, &dir.join(name)).await?;
    disk.sync_dir(dir).await
}

/// A small file's content, or `None` if there is no such file.
///
/// # Errors
///
/// Those of the disk.
pub async fn read_file<D: Disk>(disk: &D, path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    let file = match disk.open(path, OpenMode::Existing).await {
        Err(error) if error.kind == DiskErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let length = usize::try_from(file.len().await?).expect("a usize holds 64 bits");
    let mut bytes = Vec::new();
    file.read_at(0, length, &mut bytes).await?;
    Ok(Some(bytes))
}

/// Removes a file that may be gone already.
pub(super) async fn remove_if_exists<D: Disk>(disk: &D, path: &Path) -> Result<(), DiskError> {
    match disk.remove_file(path).await {
        Err(error) if error.kind == DiskErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

async fn read_text<D: Disk>(disk: &D, path: &Path) -> Result<Option<String>, CheckpointError> {
    match read_file(disk, path).await?.map(String::from_utf8) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text)),
        Some(Err(_)) => Err(malformed(path, "it is not UTF-8")),
    }
}

fn encode_lines(entries: impl ExactSizeIterator<Item = String>) -> String {
    let mut text = format!("{CHECKPOINT_VERSION}\n{}\n", entries.len());
    for entry in entries {
        text.push_str(&entry);
        text.push('\n');
    }
    text
}

async fn read_lines<D: Disk, T>(
    disk: &D,
    path: &Path,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, CheckpointError> {
    match read_text(disk, path).await? {
        None => Ok(Vec::new()),
        Some(text) => decode_lines(&text, parse).map_err(|reason| malformed(path, &reason)),
    }
}

fn decode_lines<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, String> {
    let mut lines = text.lines();
    match lines.next() {
        None => return Ok(Vec::new()),
        Some(CHECKPOINT_VERSION) => {}
        Some(version) => return Err(format!("version {version:?} is not known, only 0 is")),
    }
    let Some(count) = lines.next() else { return Ok(Vec::new()) };
    let mut entries = Vec::new();
    for line in lines {
        entries.push(parse(line).ok_or_else(|| format!("line {line:?} is not an entry"))?);
    }
    if number::<usize>(count) != Some(entries.len()) {
        return Err(format!("{count} entries are announced, {} are there", entries.len()));
    }
    Ok(entries)
}

fn fields<const N: usize>(line: &str) -> Option<[&str; N]> {
    let mut parts = line.split_whitespace();
    let mut found = [""; N];
    for slot in &mut found {
        *slot = parts.next()?;
    }
    parts.next().is_none().then_some(found)
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// Java's properties, as far as they can come up here: comments, `=` or `:` between key and value, and
/// characters escaped by a backslash; no values that span lines.
fn parse_properties(text: &str) -> BTreeMap<String, String> {
    let mut properties = BTreeMap::new();
    for line in text.lines().map(str::trim_start) {
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut key = String::new();
        let mut value = None;
        let mut characters = line.chars();
        while let Some(character) = characters.next() {
            match character {
                '=' | ':' if value.is_none() => value = Some(String::new()),
                _ => {
                    let literal =
                        if character == '\\' { characters.next().unwrap_or('\\') } else { character };
                    value.as_mut().unwrap_or(&mut key).push(literal);
                }
            }
        }
        let value = value.unwrap_or_default();
        properties.insert(key.trim_end().to_owned(), value.trim().to_owned());
    }
    properties
}

fn malformed(path: &Path, reason: &str) -> CheckpointError {
    CheckpointError::Malformed { path: path.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(line: &str) -> Option<(i32, i64)> {
        let [first, second] = fields(line)?;
        Some((number(first)?, number(second)?))
    }

    #[test]
    fn checkpoint_text_is_kafkas() {
        let lines = ["7 0", "9 4711"].map(str::to_owned);
        assert_eq!(encode_lines(lines.into_iter()), "0\n2\n7 0\n9 4711\n");
        assert_eq!(encode_lines([].into_iter()), "0\n0\n");
        assert_eq!(decode_lines("0\n2\n7 0\n9\t4711\n", pair), Ok(vec![(7, 0), (9, 4711)]));
        assert_eq!(decode_lines("", pair), Ok(vec![]));
        assert_eq!(decode_lines("0\n", pair), Ok(vec![]));
    }

    #[test]
    fn checkpoint_text_that_is_damaged_is_refused() {
        for text in ["1\n0\n", "x", "0\nx\n", "0\n2\n7 0\n", "0\n0\n7 0\n", "0\n1\n7\n", "0\n1\n7 0 1\n"] {
            decode_lines(text, pair).expect_err(text);
        }
    }

    #[test]
    fn properties_are_read_as_java_writes_them() {
        let text = "#\n#Sat Nov 21 07:57:03 UTC 2026\ncluster.id=abc\\=d\\:e\n node.id : 3 \n\nempty\n!x=1\n";
        let properties = parse_properties(text);
        let expected = [("cluster.id", "abc=d:e"), ("empty", ""), ("node.id", "3")];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(properties, BTreeMap::from(expected));
    }

    #[test]
    fn the_clean_shutdown_mark_is_kafkas() {
        let content = CleanShutdown { version: 0, broker_epoch: 77 };
        let text = serde_json::to_string(&content).expect("it is JSON");
        assert_eq!(text, r#"{"version":0,"brokerEpoch":77}"#);
    }
}
