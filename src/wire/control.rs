//! Control records: those that the log itself is about, in batches with the control bit set.
//!
//! # Format
//!
//! The key is a version (0) and a type, two bytes each. The value is a message that says its own version in
//! its first two bytes. As in Kafka, a version higher than known is read as the highest known.
//!
//! The types 0 and 1 end transactions, in ordinary partitions; the others belong to the metadata log and its
//! snapshots. Whoever meets a type that it does not know ignores the record.

use super::Message;
use super::declare::declare;
use super::error::{DecodeError, EncodeError};
use super::primitives::{Reader, Writer};
use crate::types::Uuid;
use bytes::Bytes;

/// The type of a control record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum ControlRecordType {
    /// A transaction was aborted.
    Abort = 0,
    /// A transaction was committed.
    Commit = 1,
    /// See [`LeaderChangeMessage`].
    LeaderChange = 2,
    /// See [`SnapshotHeaderRecord`].
    SnapshotHeader = 3,
    /// See [`SnapshotFooterRecord`].
    SnapshotFooter = 4,
    /// See [`KRaftVersionRecord`].
    KRaftVersion = 5,
    /// See [`VotersRecord`].
    KRaftVoters = 6,
}

impl ControlRecordType {
    /// The type that a control record's key says.
    ///
    /// # Errors
    /// If the key is too short or of a negative version, or the type is not known: ignore the record then.
    pub fn from_key(key: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(key);
        let version = reader.i16()?;
        if version < 0 {
            return Err(DecodeError::UnsupportedVersion { message: "ControlRecordTypeSchema", version });
        }
        Ok(match reader.i16()? {
            0 => Self::Abort,
            1 => Self::Commit,
            2 => Self::LeaderChange,
            3 => Self::SnapshotHeader,
            4 => Self::SnapshotFooter,
            5 => Self::KRaftVersion,
            6 => Self::KRaftVoters,
            code => return Err(DecodeError::UnknownRecord { kind: "control", code: code.into() }),
        })
    }

    /// The key of a control record of this type.
    pub fn key(self) -> Bytes {
        let mut writer = Writer::with_capacity(4);
        writer.i16(0);
        writer.i16(self as i16);
        writer.into_bytes()
    }
}

/// A control record of the metadata log.
#[derive(Debug, Clone, PartialEq)]
pub enum ControlRecord {
    /// Type 2.
    LeaderChange(LeaderChangeMessage),
    /// Type 3.
    SnapshotHeader(SnapshotHeaderRecord),
    /// Type 4.
    SnapshotFooter(SnapshotFooterRecord),
    /// Type 5.
    KRaftVersion(KRaftVersionRecord),
    /// Type 6.
    KRaftVoters(VotersRecord),
}

impl ControlRecord {
    /// Reads a control record of the metadata log.
    ///
    /// # Errors
    /// [`DecodeError::UnknownRecord`] for types that have no place in the metadata log; others if malformed.
    pub fn decode(key: &Bytes, value: &Bytes) -> Result<Self, DecodeError> {
        match ControlRecordType::from_key(key)? {
            ControlRecordType::LeaderChange => decode_value(value).map(Self::LeaderChange),
            ControlRecordType::SnapshotHeader => decode_value(value).map(Self::SnapshotHeader),
            ControlRecordType::SnapshotFooter => decode_value(value).map(Self::SnapshotFooter),
            ControlRecordType::KRaftVersion => decode_value(value).map(Self::KRaftVersion),
            ControlRecordType::KRaftVoters => decode_value(value).map(Self::KRaftVoters),
            end @ (ControlRecordType::Abort | ControlRecordType::Commit) => {
                Err(DecodeError::UnknownRecord { kind: "control", code: end as i64 })
            }
        }
    }

    /// The key that goes with [`Self::encode`].
    pub fn key(&self) -> Bytes {
        match self {
            Self::LeaderChange(_) => ControlRecordType::LeaderChange.key(),
            Self::SnapshotHeader(_) => ControlRecordType::SnapshotHeader.key(),
            Self::SnapshotFooter(_) => ControlRecordType::SnapshotFooter.key(),
            Self::KRaftVersion(_) => ControlRecordType::KRaftVersion.key(),
            Self::KRaftVoters(_) => ControlRecordType::KRaftVoters.key(),
        }
    }

    /// The value, in the version that the record itself says.
    ///
    /// # Errors
    /// If that version does not exist or cannot express the record.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let mut writer = Writer::new();
        match self {
            Self::LeaderChange(record) => record.encode(&mut writer, record.version)?,
            Self::SnapshotHeader(record) => record.encode(&mut writer, record.version)?,
            Self::SnapshotFooter(record) => record.encode(&mut writer, record.version)?,
            Self::KRaftVersion(record) => record.encode(&mut writer, record.version)?,
            Self::KRaftVoters(record) => record.encode(&mut writer, record.version)?,
        }
        Ok(writer.into_bytes())
    }
}

fn decode_value<T: Message>(value: &Bytes) -> Result<T, DecodeError> {
    let version = Reader::new(value).i16()?.min(T::VERSIONS.max);
    T::decode(&mut Reader::new(value), version)
}

declare! {
    /// A leader was elected: the first record of its epoch.
    message LeaderChangeMessage, 0..=1, flexible 0.. {
        version: i16, 0..;
        leader_id: i32, 0..;
        voters: Vec<LeaderChangeVoter>, 0..;
        granting_voters: Vec<LeaderChangeVoter>, 0..;
    }

    /// A voter of that election. Kafka's schema calls it `Voter` too.
    struct LeaderChangeVoter {
        voter_id: i32, 0..;
        voter_directory_id: Uuid, 1..;
    }

    /// A snapshot begins.
    message SnapshotHeaderRecord, 0..=0, flexible 0.. {
        version: i16, 0..;
        last_contained_log_timestamp: i64, 0..;
    }

    /// A snapshot ends: without it, it is not whole.
    message SnapshotFooterRecord, 0..=0, flexible 0.. {
        version: i16, 0..;
    }

    /// The level of kraft.version.
    message KRaftVersionRecord, 0..=0, flexible 0.. {
        version: i16, 0..;
        k_raft_version: i16, 0..;
    }

    /// The voters from here on (KIP-853).
    message VotersRecord, 0..=0, flexible 0.. {
        version: i16, 0..;
        voters: Vec<Voter>, 0..;
    }

    /// A voter.
    struct Voter {
        voter_id: i32, 0..;
        voter_directory_id: Uuid, 0..;
        endpoints: Vec<Endpoint>, 0..;
        k_raft_version_feature: KRaftVersionFeature, 0..;
    }

    /// Where a voter listens.
    struct Endpoint {
        name: String, 0..;
        host: String, 0..;
        port: u16, 0..;
    }

    /// The levels of kraft.version that a voter supports.
    struct KRaftVersionFeature {
        min_supported_version: i16, 0..;
        max_supported_version: i16, 0..;
    }
}
