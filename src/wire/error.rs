//! Why bytes are not a message, and why a message cannot be bytes.

use super::primitives::STRING_BYTES_MAX;

/// Why bytes could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the value does.
    #[error("{needed} bytes needed, {remaining} remain")]
    Truncated {
        /// Bytes that the value takes.
        needed: usize,
        /// Bytes that are left.
        remaining: usize,
    },
    /// An array claims more elements than the rest of the bytes can hold.
    #[error("an array claims {claimed} elements, but only {remaining} bytes remain")]
    ArrayTooLong {
        /// Elements claimed.
        claimed: usize,
        /// Bytes that are left.
        remaining: usize,
    },
    /// A string is longer than [`STRING_BYTES_MAX`].
    #[error("a string of {length} bytes exceeds {STRING_BYTES_MAX}")]
    StringTooLong {
        /// The string's length, in bytes.
        length: usize,
    },
    /// A varint goes on past the bytes that its type allows.
    #[error("a varint does not end within {bytes_max} bytes")]
    VarintTooLong {
        /// The greatest encoded length of the type.
        bytes_max: usize,
    },
    /// Null stands where the version allows none.
    #[error("{field} must not be null in version {version}")]
    UnexpectedNull {
        /// The field, or the kind of value where the field is not known.
        field: &'static str,
        /// The message's version.
        version: i16,
    },
    /// A tagged field's value is shorter than the size that stands before it.
    #[error("tagged field {tag} leaves {excess} of its bytes unread")]
    TaggedFieldTooLong {
        /// The field's tag.
        tag: u32,
        /// Bytes that the value did not take.
        excess: usize,
    },
    /// The message exists, but not in this version.
    #[error("{message} has no version {version}")]
    UnsupportedVersion {
        /// The message's name in Kafka's schema.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A request header names an API that Kafka does not have.
    #[error("unknown API key {0}")]
    UnknownApiKey(i16),
    /// A metadata or control record has a type that is not known here.
    #[error("unknown {kind} record type {code}")]
    UnknownRecord {
        /// "metadata" or "control".
        kind: &'static str,
        /// The type's number.
        code: i64,
    },
    /// The key of a control record is too short or has a negative version.
    #[error("a control record's key is malformed")]
    ControlKey,
    /// A metadata record stands in a frame of another version than 1.
    #[error("unknown metadata frame version {0}")]
    UnknownFrameVersion(u32),
    /// Bytes are left after a value that should have taken them all.
    #[error("{0} bytes are left over")]
    TrailingBytes(usize),
}

/// Why a message could not be encoded: it says something that the version cannot express.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A field has a value, and the version has no such field.
    #[error("{message}.{field} is set, but version {version} has no such field")]
    NotInVersion {
        /// The structure's name in Kafka's schema.
        message: &'static str,
        /// The field's name.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A field is null, and the version does not allow that.
    #[error("{message}.{field} must not be null in version {version}")]
    UnexpectedNull {
        /// The structure's name in Kafka's schema.
        message: &'static str,
        /// The field's name.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A string, byte field, array or frame is longer than its length prefix can say.
    #[error("a {kind} of length {length} is too long")]
    TooLong {
        /// What is too long.
        kind: &'static str,
        /// Its length in bytes, or in elements for an array.
        length: usize,
    },
    /// The message exists, but not in this version.
    #[error("{message} has no version {version}")]
    UnsupportedVersion {
        /// The message's name in Kafka's schema.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
}
