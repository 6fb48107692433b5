//! Formatting: directories become those of one node of one cluster.
//!
//! | file | what it says |
//! |---|---|
//! | `bootstrap.checkpoint` | the feature levels that a new metadata log begins with |
//! | `00000000000000000000-0000000000.checkpoint` | the voters that a dynamic quorum begins with (KIP-853) |
//! | `meta.properties` | the cluster, the node, and the directory's own id |
//!
//! The second one lies in `__cluster_metadata-0`, the others in every directory. The first two have the format
//! of a [snapshot](crate::wire::snapshot). All are Kafka's, whose brokers start on such directories.
//!
//! # Faults
//!
//! Everything is looked at before anything is written: a refusal leaves the disk as it was. `meta.properties`
//! is written last, so that a crash leaves a directory formatted or not. If it leaves some of each,
//! [`FormatPlan::ignore_formatted`] does the others.

use std::path::{Path, PathBuf};

use bytes::BytesMut;
use thiserror::Error;

use super::directories::DirectoryError;
use super::replicas::METADATA_DIRECTORY;
use super::start::random_uuid;
use crate::config::listeners::{HostPort, InitialVoter};
use crate::config::server::ServerConfig;
use crate::controller::features::{ELR_LEVEL, ELR_VERSION, METADATA_LEVEL, METADATA_VERSION};
use crate::env::{Clock, Disk, DiskError, DiskErrorKind, Env, OpenMode, Purpose};
use crate::log::checkpoint::{self, CheckpointError, MetaProperties, replace_file};
use crate::log::directory::DirectoryName;
use crate::types::{LeaderEpoch, Uuid, WallMs};
use crate::wire::EncodeError;
use crate::wire::compression::Scratch;
use crate::wire::control::{Endpoint, KRaftVersionFeature, Voter, VotersRecord};
use crate::wire::metadata::{FeatureLevelRecord, MetadataRecord};
use crate::wire::snapshot::{SnapshotBatch, SnapshotError, SnapshotOptions, SnapshotReader, SnapshotWriter};

const BOOTSTRAP: &str = "bootstrap.checkpoint";

/// The snapshot that ends before the first record.
const FIRST_SNAPSHOT: &str = "00000000000000000000-0000000000.checkpoint";

/// The level of kraft.version at which the voters stand in the log, and the highest that there is.
const KRAFT_VERSION: i16 = 1;

/// The most bytes of a batch: Kafka's limit.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// As what a node's directories are formatted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatPlan {
    /// The cluster.
    pub cluster_id: String,
    /// The voters that the quorum begins with, as far as formatting says.
    pub voters: InitialVoters,
    /// The level of each feature that is on, by its name.
    pub features: Vec<(String, i16)>,
    /// Whether directories that are formatted already stay as they are; else they are a reason to do nothing.
    pub ignore_formatted: bool,
}

/// The voters that a quorum begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitialVoters {
    /// Formatting does not say: they are static, or known to controllers that exist.
    Unsaid,
    /// This node alone, which is reached here.
    Standalone(HostPort),
    /// These.
    Named(Vec<InitialVoter>),
}

/// A directory after formatting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormattedDirectory {
    /// Its path.
    pub path: PathBuf,
    /// What it is for; `None` if it was formatted before, and left alone.
    pub purpose: Option<DirectoryPurpose>,
}

/// What a directory is for. `Display` gives Kafka's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectoryPurpose {
    /// Partitions.
    Data,
    /// The metadata log, and its voters are not said.
    Metadata,
    /// The metadata log, and this node is not one of the voters that are.
    DynamicMetadata,
    /// The metadata log, and this node is one of them.
    DynamicMetadataVoter,
}

/// Why nothing is formatted, or not everything.
#[derive(Debug, Error)]
pub enum FormatError {
    /// A directory cannot be used, or is not this node's.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A directory is none.
    #[error("log directory {} is a file: name a directory in log.dirs", .0.display())]
    File(PathBuf),
    /// A directory is formatted.
    #[error(
        "log directory {} is formatted already; --ignore-formatted leaves it as it is and formats the others",
        .0.display()
    )]
    AlreadyFormatted(PathBuf),
    /// A directory is not formatted, and not empty.
    #[error(
        "log directory {} is not formatted, yet it holds {found}: if its meta.properties is lost, bring that \
         back; else name an empty directory in log.dirs",
        path.display()
    )]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// What is in it.
        found: String,
    },
    /// Two directories have one id.
    #[error(
        "log directories {} and {} have the same directory.id: one is a copy; remove it from log.dirs",
        .0.display(), .1.display()
    )]
    Copied(PathBuf, PathBuf),
    /// The metadata directory is formatted, and not as the voters say.
    #[error(
        "log directory {} is formatted with the directory id {found}, not {named} as --initial-controllers \
         says of this node: name {found} there, on every node",
        path.display()
    )]
    OtherVoter {
        /// The directory.
        path: PathBuf,
        /// Its id.
        found: Uuid,
        /// The id that the voters give to it.
        named: Uuid,
    },
    /// A voter's address is too long.
    #[error("the voters cannot be written down: {0}")]
    Voters(#[from] EncodeError),
}

impl From<DiskError> for FormatError {
    fn from(error: DiskError) -> Self {
        Self::Directory(error.into())
    }
}

impl From<CheckpointError> for FormatError {
    fn from(error: CheckpointError) -> Self {
        Self::Directory(error.into())
    }
}

impl FormatPlan {
    /// A cluster whose voters are not said, with all features at their highest.
    pub fn new(cluster_id: &str) -> Self {
        Self {
            cluster_id: cluster_id.to_owned(),
            voters: InitialVoters::Unsaid,
            features: vec![
                (METADATA_VERSION.to_owned(), METADATA_LEVEL),
                (ELR_VERSION.to_owned(), ELR_LEVEL),
            ],
            ignore_formatted: false,
        }
    }
}

/// Formats all directories of a configuration for a cluster, as [`FormatPlan::new`] has it.
///
/// # Errors
///
/// [`FormatError`]
pub async fn format<E: Env>(env: &E, config: &ServerConfig, cluster_id: &str) -> Result<(), FormatError> {
    format_by(env, config, &FormatPlan::new(cluster_id)).await.map(|_| ())
}

/// Formats the directories of a configuration that are not formatted yet, and returns all of them.
///
/// # Errors
///
/// [`FormatError`]. Nothing was written then, unless the disk failed.
pub async fn format_by<E: Env>(
    env: &E,
    config: &ServerConfig,
    plan: &FormatPlan,
) -> Result<Vec<FormattedDirectory>, FormatError> {
    let mut found = Vec::new();
    for path in config.directories() {
        // Systems differ in what they say of a file in the place of a directory.
        if env.disk().open(&path, OpenMode::Existing).await.is_ok() {
            return Err(FormatError::File(path));
        }
        let meta = checkpoint::read_meta_properties(env.disk(), &path).await?;
        found.push((path, meta));
    }
    check(&found, config, plan)?;
    for (path, _) in found.iter().filter(|(_, meta)| meta.is_none()) {
        // It would pass for this cluster's.
        if let Some(found) = what_it_holds(env.disk(), path).await? {
            return Err(FormatError::NotEmpty { path: path.clone(), found });
        }
    }
    let mut rng = env.rng(Purpose {
        subsystem: "node",
        what: "directory-id",
        instance: u64::from(config.node_id.0.unsigned_abs()),
    });
    let mut formatted = Vec::new();
    for (path, meta) in found {
        let purpose = match meta {
            Some(_) => None,
            None => Some(format_directory(env, config, plan, &path, random_uuid(&mut rng)).await?),
        };
        formatted.push(FormattedDirectory { path, purpose });
    }
    Ok(formatted)
}

/// Whether all directories of a configuration are formatted.
///
/// # Errors
///
/// [`DirectoryError`], also if some are and some are not.
pub async fn is_formatted<E: Env>(env: &E, config: &ServerConfig) -> Result<bool, DirectoryError> {
    let mut missing = Vec::new();
    let paths = config.directories();
    for path in &paths {
        if checkpoint::read_meta_properties(env.disk(), path).await?.is_none() {
            missing.push(path.clone());
        }
    }
    if !missing.is_empty() && missing.len() < paths.len() {
        return Err(DirectoryError::NotFormatted(missing.swap_remove(0)));
    }
    Ok(missing.is_empty())
}

/// The cluster that the directories of a configuration were formatted for, if they were.
///
/// # Errors
///
/// [`DirectoryError`]
pub async fn cluster_id<E: Env>(env: &E, config: &ServerConfig) -> Result<Option<String>, DirectoryError> {
    let meta = checkpoint::read_meta_properties(env.disk(), &config.metadata_log_dir).await?;
    Ok(meta.map(|meta| meta.cluster_id))
}

/// The records that a new metadata log begins with, as formatting wrote them down; `None` for a directory that
/// was formatted by somebody who did not.
///
/// # Errors
///
/// [`DirectoryError`]
pub async fn bootstrap_records<D: Disk>(
    disk: &D,
    path: &Path,
) -> Result<Option<Vec<MetadataRecord>>, DirectoryError> {
    let path = path.join(BOOTSTRAP);
    let Some(bytes) = checkpoint::read_file(disk, &path).await? else { return Ok(None) };
    let damaged = |error: SnapshotError| DirectoryError::Bootstrap { path: path.clone(), error };
    let (mut reader, mut scratch) = (SnapshotReader::new(BATCH_BYTES_MAX), Scratch::default());
    let mut records = Vec::new();
    reader.feed(&bytes);
    while let Some(batch) = reader.next(&mut scratch).map_err(damaged)? {
        match batch {
            SnapshotBatch::Metadata(more) => records.extend(more),
            SnapshotBatch::Control(_) => {}
        }
    }
    reader.finish().map_err(damaged)?;
    Ok(Some(records))
}

type Found = (PathBuf, Option<MetaProperties>);

/// That what is formatted already is this node's, of this cluster, and may stay.
fn check(found: &[Found], config: &ServerConfig, plan: &FormatPlan) -> Result<(), FormatError> {
    let formatted: Vec<(&PathBuf, &MetaProperties)> =
        found.iter().filter_map(|(path, meta)| Some((path, meta.as_ref()?))).collect();
    for (index, (path, meta)) in formatted.iter().enumerate() {
        let foreign = |what, found: String, expected: String| {
            Err(DirectoryError::Foreign { path: path.to_path_buf(), what, found, expected }.into())
        };
        if meta.cluster_id != plan.cluster_id {
            return foreign("cluster", meta.cluster_id.clone(), plan.cluster_id.clone());
        }
        if meta.node_id != config.node_id {
            return foreign("node", meta.node_id.to_string(), config.node_id.to_string());
        }
        let earlier = &formatted[..index];
        let same = |it: &MetaProperties| it.directory_id.is_some() && it.directory_id == meta.directory_id;
        if let Some((other, _)) = earlier.iter().find(|(_, it)| same(it)) {
            return Err(FormatError::Copied(other.to_path_buf(), path.to_path_buf()));
        }
        if let (Some(named), Some(found)) = (own_directory(config, plan), meta.directory_id)
            && **path == config.metadata_log_dir
            && named != found
        {
            return Err(FormatError::OtherVoter { path: path.to_path_buf(), found, named });
        }
    }
    match formatted.first() {
        Some((path, _)) if !plan.ignore_formatted => Err(FormatError::AlreadyFormatted(path.to_path_buf())),
        _ => Ok(()),
    }
}

/// The first data that a directory without `meta.properties` holds, if there is one and it does. What an attempt
/// to format it has left does not count.
pub(super) async fn what_it_holds<D: Disk>(disk: &D, path: &Path) -> Result<Option<String>, DiskError> {
    for entry in list(disk, path).await? {
        let found = match DirectoryName::parse(&entry).map(|_| entry.strip_prefix(METADATA_DIRECTORY)) {
            None => continue,
            Some(None) => format!("the partition {entry}"),
            Some(Some(_)) => {
                let inside = list(disk, &path.join(&entry)).await?;
                match inside.into_iter().find(|name| !name.starts_with(FIRST_SNAPSHOT)) {
                    None => continue,
                    Some(name) => format!("{entry}/{name}"),
                }
            }
        };
        return Ok(Some(found));
    }
    Ok(None)
}

async fn list<D: Disk>(disk: &D, path: &Path) -> Result<Vec<String>, DiskError> {
    match disk.list(path).await {
        Err(error) if error.kind == DiskErrorKind::NotFound => Ok(Vec::new()),
        entries => Ok(entries?.into_iter().map(|entry| entry.name).collect()),
    }
}

async fn format_directory<E: Env>(
    env: &E,
    config: &ServerConfig,
    plan: &FormatPlan,
    path: &Path,
    random: Uuid,
) -> Result<DirectoryPurpose, FormatError> {
    let (disk, now) = (env.disk(), env.clock().wall());
    let is_metadata = *path == config.metadata_log_dir;
    let id = own_directory(config, plan).filter(|_| is_metadata).unwrap_or(random);
    let voters = if is_metadata { voters(config, plan, id) } else { None };
    create_durably(disk, path).await?;
    replace_file(disk, path, BOOTSTRAP, &bootstrap(&plan.features, now)).await?;
    if let Some(voters) = &voters {
        let log = path.join(format!("{METADATA_DIRECTORY}0"));
        create_durably(disk, &log).await?;
        replace_file(disk, &log, FIRST_SNAPSHOT, &first_snapshot(voters.clone(), now)?).await?;
    }
    let meta = MetaProperties {
        cluster_id: plan.cluster_id.clone(),
        node_id: config.node_id,
        directory_id: Some(id),
    };
    checkpoint::write_meta_properties(disk, path, &meta).await?;
    Ok(match voters {
        _ if !is_metadata => DirectoryPurpose::Data,
        None => DirectoryPurpose::Metadata,
        Some(voters) if voters.voters.iter().any(|voter| voter.voter_id == config.node_id.0) => {
            DirectoryPurpose::DynamicMetadataVoter
        }
        Some(_) => DirectoryPurpose::DynamicMetadata,
    })
}

/// The id that the voters give to this node's metadata directory.
fn own_directory(config: &ServerConfig, plan: &FormatPlan) -> Option<Uuid> {
    match &plan.voters {
        InitialVoters::Named(voters) => {
            voters.iter().find(|voter| voter.id == config.node_id).map(|voter| voter.directory)
        }
        InitialVoters::Unsaid | InitialVoters::Standalone(_) => None,
    }
}

fn voters(config: &ServerConfig, plan: &FormatPlan, own: Uuid) -> Option<VotersRecord> {
    let mut voters = match &plan.voters {
        InitialVoters::Unsaid => return None,
        InitialVoters::Standalone(address) => {
            vec![InitialVoter { id: config.node_id, address: address.clone(), directory: own }]
        }
        InitialVoters::Named(voters) => voters.clone(),
    };
    voters.sort_by_key(|voter| voter.id);
    let voter = |voter: InitialVoter| Voter {
        voter_id: voter.id.0,
        voter_directory_id: voter.directory,
        endpoints: vec![Endpoint {
            name: config.controller_listener().to_owned(),
            host: voter.address.host,
            port: voter.address.port,
        }],
        k_raft_version_feature: KRaftVersionFeature {
            min_supported_version: 0,
            max_supported_version: KRAFT_VERSION,
        },
    };
    Some(VotersRecord { version: 0, voters: voters.into_iter().map(voter).collect() })
}

/// The snapshot of an empty log whose voters are known.
fn first_snapshot(voters: VotersRecord, now: WallMs) -> Result<Vec<u8>, EncodeError> {
    let (writer, first) = SnapshotWriter::begin(SnapshotOptions {
        epoch: LeaderEpoch(0),
        last_contained_log_timestamp: now.0,
        now,
        kraft_version: KRAFT_VERSION,
        voters: Some(voters),
        batch_bytes_max: BATCH_BYTES_MAX,
    })?;
    let mut bytes = BytesMut::from(&first[..]);
    writer.finish().iter().for_each(|batch| bytes.extend_from_slice(batch));
    Ok(bytes.into())
}

/// The records that set the levels of the features, as Kafka writes them down.
fn bootstrap(features: &[(String, i16)], now: WallMs) -> Vec<u8> {
    let options = SnapshotOptions {
        epoch: LeaderEpoch(0),
        last_contained_log_timestamp: 0,
        now,
        kraft_version: 0,
        voters: None,
        batch_bytes_max: BATCH_BYTES_MAX,
    };
    let (mut writer, first) = SnapshotWriter::begin(options).expect("there are no voters to be too long");
    let mut bytes = BytesMut::from(&first[..]);
    for (name, level) in features.iter().filter(|(_, level)| *level > 0) {
        let record = FeatureLevelRecord { name: name.clone(), feature_level: *level };
        let full = writer.add(&record.into()).expect("the names of features are short");
        bytes.extend_from_slice(&full.unwrap_or_default());
    }
    writer.finish().iter().for_each(|batch| bytes.extend_from_slice(batch));
    bytes.into()
}

/// Creates a directory and what is missing above it, so that a loss of power leaves them there.
async fn create_durably<D: Disk>(disk: &D, path: &Path) -> Result<(), DiskError> {
    let mut missing = vec![path];
    for above in path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
        match disk.list(above).await {
            Err(error) if error.kind == DiskErrorKind::NotFound => missing.push(above),
            // Whatever else is wrong with it: it is there.
            _ => break,
        }
    }
    disk.create_dir_all(path).await?;
    for directory in missing {
        match directory.parent() {
            Some(parent) if parent.as_os_str().is_empty() => disk.sync_dir(Path::new(".")).await?,
            Some(parent) => disk.sync_dir(parent).await?,
            None => {}
        }
    }
    Ok(())
}

impl std::fmt::Display for DirectoryPurpose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Data => "data directory",
            Self::Metadata => "metadata directory",
            Self::DynamicMetadata => "dynamic metadata directory",
            Self::DynamicMetadataVoter => "dynamic metadata voter directory",
        })
    }
}
