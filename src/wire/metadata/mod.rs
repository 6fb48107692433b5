//! Records of the metadata log: what stands in the *value* of a record in `__cluster_metadata` and in its
//! snapshots.
//!
//! # Format
//!
//! Three unsigned varints - frame version, always 1; the record's type; the record's version - then the
//! record as a flexible message, and nothing after it. There is no key.
//!
//! Records are written in the highest version of each, which are those of metadata.version 30 (4.3-IV0), the
//! level that this cluster is formatted at. All lower versions are read.
//!
//! # Faults
//!
//! A value that cannot be decoded is an error, an unknown type included: replaying the log without one of its
//! records would end in another state than everybody else's.

mod access;
mod records;

pub use access::*;
pub use records::*;

use super::Message;
use super::error::{DecodeError, EncodeError};
use super::primitives::{Reader, Writer};
use bytes::Bytes;

/// The only version of the frame that exists.
const FRAME_VERSION: u32 = 1;

macro_rules! metadata_records {
    ($($variant:ident = $code:literal, $record:ident;)*) => {
        /// A record of the metadata log.
        #[derive(Debug, Clone, PartialEq)]
        pub enum MetadataRecord {
            $(#[doc = concat!("Type ", $code, ".")] $variant($record),)*
        }

        $(
            impl From<$record> for MetadataRecord {
                fn from(record: $record) -> Self {
                    Self::$variant(record)
                }
            }
        )*

        impl MetadataRecord {
            /// The record's name in Kafka's schema.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $record::NAME,)*
                }
            }

            fn encode_framed(&self, writer: &mut Writer) -> Result<(), EncodeError> {
                writer.unsigned_varint(FRAME_VERSION);
                match self {
                    $(Self::$variant(record) => {
                        writer.unsigned_varint($code);
                        writer.unsigned_varint($record::VERSIONS.max as u32);
                        record.encode(writer, $record::VERSIONS.max)
                    })*
                }
            }

            fn decode_typed(reader: &mut Reader<'_>, code: u32, version: i16) -> Result<Self, DecodeError> {
                match code {
                    $($code => $record::decode(reader, version).map(Self::$variant),)*
                    _ => Err(DecodeError::UnknownRecord { kind: "metadata", code: code.into() }),
                }
            }
        }
    };
}

metadata_records! {
    RegisterBroker = 0, RegisterBrokerRecord;
    UnregisterBroker = 1, UnregisterBrokerRecord;
    Topic = 2, TopicRecord;
    Partition = 3, PartitionRecord;
    Config = 4, ConfigRecord;
    PartitionChange = 5, PartitionChangeRecord;
    FenceBroker = 7, FenceBrokerRecord;
    UnfenceBroker = 8, UnfenceBrokerRecord;
    RemoveTopic = 9, RemoveTopicRecord;
    DelegationToken = 10, DelegationTokenRecord;
    UserScramCredential = 11, UserScramCredentialRecord;
    FeatureLevel = 12, FeatureLevelRecord;
    ClientQuota = 14, ClientQuotaRecord;
    ProducerIds = 15, ProducerIdsRecord;
    BrokerRegistrationChange = 17, BrokerRegistrationChangeRecord;
    AccessControlEntry = 18, AccessControlEntryRecord;
    RemoveAccessControlEntry = 19, RemoveAccessControlEntryRecord;
    NoOp = 20, NoOpRecord;
    ZkMigrationState = 21, ZkMigrationStateRecord;
    RemoveUserScramCredential = 22, RemoveUserScramCredentialRecord;
    BeginTransaction = 23, BeginTransactionRecord;
    EndTransaction = 24, EndTransactionRecord;
    AbortTransaction = 25, AbortTransactionRecord;
    RemoveDelegationToken = 26, RemoveDelegationTokenRecord;
    RegisterController = 27, RegisterControllerRecord;
    ClearElr = 28, ClearElrRecord;
}

impl MetadataRecord {
    /// Reads a record from the value that holds it.
    ///
    /// # Errors
    /// If frame, type or version are unknown, the bytes malformed, or bytes left over.
    pub fn decode(value: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(value);
        let frame_version = reader.unsigned_varint()?;
        if frame_version != FRAME_VERSION {
            return Err(DecodeError::UnknownFrameVersion(frame_version));
        }
        let code = reader.unsigned_varint()?;
        // A version too large for its type is one that does not exist, like every other above the highest.
        let version = i16::try_from(reader.unsigned_varint()?).unwrap_or(i16::MAX);
        let record = Self::decode_typed(&mut reader, code, version)?;
        reader.finish()?;
        Ok(record)
    }

    /// The value that holds this record.
    ///
    /// # Errors
    /// If a string is longer than Kafka's limit.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let mut writer = Writer::new();
        self.encode_framed(&mut writer)?;
        Ok(writer.into_bytes())
    }
}
