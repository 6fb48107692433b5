//! The clients: [`Producer`], [`Consumer`] and [`Admin`](admin::Admin), for the command line and for anyone.
//!
//! What decides is pure: [`producer::core`], [`producer::lane`], [`consumer::core`], [`metadata`], [`versions`]
//! and what they use know no task, no clock and no network. `now` is an argument, randomness comes in by
//! constructor, and what is to be done is data. The drivers ([`connection`], [`producer::Producer`],
//! [`consumer::Consumer`], [`admin`]) act, generic over [`Env`](crate::env::Env).
//!
//! The clients speak Kafka's protocol with any broker of version 2.1 or later: each connection begins by
//! asking for the broker's versions, and each request goes out in the highest version that both know.

pub mod admin;
pub mod backoff;
mod cluster;
pub mod config;
pub mod connection;
pub mod consumer;
pub(crate) mod futures;
pub mod metadata;
pub mod partitioner;
pub mod producer;
pub mod versions;

pub use admin::Admin;
pub use config::{ClientConfig, ConsumerConfig, ProducerConfig};
pub use consumer::Consumer;
pub use producer::{Producer, ProducerRecord};

#[cfg(test)]
pub(crate) mod fake_broker;
#[cfg(test)]
mod tests;
