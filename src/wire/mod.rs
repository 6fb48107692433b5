//! Kafka's wire format: bytes to typed messages and back. Knows no broker.
//!
//! | file | format |
//! |---|---|
//! | [`primitives`] | integers, varints, lengths |
//! | [`frame`] | the length before each request and response |
//! | [`header`] | request and response headers |
//! | [`api`] | the APIs: keys, names, versions |
//! | [`messages`] | requests and responses, one file per API |
//! | [`batch`], [`batch_builder`] | record batches: their header, building them |
//! | [`records`] | the records inside a batch |
//! | [`compression`] | Kafka's codecs, in bounded pieces |
//! | [`metadata`] | records of the metadata log |
//! | [`control`] | control records of the metadata log and its snapshots |
//! | [`snapshot`] | snapshots of the metadata log |
//!
//! A message is declared once, with the versions of each field; the declaration yields struct, defaults,
//! decoding and encoding for all versions (`declare.rs`). Names are those of Kafka's schemas, in snake case;
//! `Default` gives the schema's defaults.

pub mod api;
pub mod batch;
pub mod batch_builder;
pub mod batch_recompress;
pub mod compression;
pub mod control;
pub mod declare;
mod error;
pub mod frame;
pub mod header;
pub mod messages;
pub mod metadata;
pub mod primitives;
pub mod records;
pub mod snapshot;
pub mod validate;

pub use api::{ApiKey, VersionRange};
pub use error::{DecodeError, EncodeError};
pub use primitives::{Reader, Writer};

use declare::{Field, Version};
use std::fmt::Debug;

/// A versioned message: a request, a response or the value of a metadata record.
pub trait Message: Field + Default + Debug + Clone + PartialEq {
    /// The message's name in Kafka's schema.
    const NAME: &'static str;
    /// The versions that can be decoded and encoded.
    const VERSIONS: VersionRange;
    /// The first version with compact lengths and tagged fields.
    const FLEXIBLE_SINCE: i16;

    /// Reads the message off the front; does not look at what follows it.
    ///
    /// # Errors
    /// [`DecodeError::UnsupportedVersion`] outside of [`Self::VERSIONS`]; others if the bytes are malformed.
    fn decode(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        if !Self::VERSIONS.contains(version) {
            return Err(DecodeError::UnsupportedVersion { message: Self::NAME, version });
        }
        Self::read(reader, Version { number: version, flexible: version >= Self::FLEXIBLE_SINCE })
    }

    /// Appends the message.
    ///
    /// # Errors
    /// If the message says something that the version cannot express.
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError> {
        if !Self::VERSIONS.contains(version) {
            return Err(EncodeError::UnsupportedVersion { message: Self::NAME, version });
        }
        self.write(writer, Version { number: version, flexible: version >= Self::FLEXIBLE_SINCE })
    }
}

/// A request, with the type of its response.
pub trait Request: Message {
    /// The API that the request belongs to.
    const KEY: ApiKey;
    /// What answers it, in the same version.
    type Response: Message;
}
