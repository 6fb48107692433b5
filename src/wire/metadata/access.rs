//! The metadata log's records of who may do what and how much of it, as Kafka 4.3 declares them.

use crate::types::Uuid;
use crate::wire::declare::declare;
use bytes::Bytes;

declare! {
    /// An ACL was created.
    message AccessControlEntryRecord, 0..=0, flexible 0.. {
        id: Uuid, 0..;
        resource_type: i8, 0..;
        resource_name: String, 0..;
        pattern_type: i8, 0..;
        principal: String, 0..;
        host: String, 0..;
        operation: i8, 0..;
        permission_type: i8, 0..;
    }

    /// An ACL was deleted.
    message RemoveAccessControlEntryRecord, 0..=0, flexible 0.. {
        id: Uuid, 0..;
    }

    /// A user's SCRAM credential was set.
    message UserScramCredentialRecord, 0..=0, flexible 0.. {
        name: String, 0..;
        /// 1: SCRAM-SHA-256; 2: SCRAM-SHA-512.
        mechanism: i8, 0..;
        salt: Bytes, 0..;
        stored_key: Bytes, 0..;
        server_key: Bytes, 0..;
        iterations: i32, 0..;
    }

    /// A user's SCRAM credential was deleted.
    message RemoveUserScramCredentialRecord, 0..=0, flexible 0.. {
        name: String, 0..;
        mechanism: i8, 0..;
    }

    /// A delegation token was issued or renewed.
    message DelegationTokenRecord, 0..=0, flexible 0.. {
        owner: String, 0..;
        requester: String, 0..;
        renewers: Vec<String>, 0..;
        issue_timestamp: i64, 0..;
        max_timestamp: i64, 0..;
        expiration_timestamp: i64, 0..;
        token_id: String, 0..;
    }

    /// A delegation token was deleted.
    message RemoveDelegationTokenRecord, 0..=0, flexible 0.. {
        token_id: String, 0..;
    }

    /// A client quota was set or removed.
    message ClientQuotaRecord, 0..=0, flexible 0.. {
        /// Whose quota: all of these together.
        entity: Vec<EntityData>, 0..;
        key: String, 0..;
        /// Means nothing if `remove` is set.
        value: f64, 0..;
        remove: bool, 0..;
    }

    /// A user, client id or address.
    struct EntityData {
        entity_type: String, 0..;
        /// Null: whoever has no quota of its own.
        entity_name: Option<String>, 0.., default(Some(String::new()));
    }
}
