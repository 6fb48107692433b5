//! What the node answers: one file per API, and the state that belongs to clients rather than partitions.

pub mod fetch_sessions;
