//! Ottla: a Kafka-compatible broker whose every line of logic also runs in a deterministic simulator.
//!
//! # How a record travels
//!
//! ```text
//!  socket           frame            request            partition             disk            response
//!  node::connection wire::frame      broker::k00_...    partition (pure)      log + Disk      node::ordering
//!  bytes ---------> Frame ---------> decode, resolve -> check, number ------> append
//!                   (size limit,     name to id         the batch             sync (grouped)
//!                    memory permit)                     <-- synced -----------+
//!                                                       high watermark moves,
//!                                                       waiters released ------------------> answers in order
//! ```
//!
//! # Rooms
//!
//! | room | what it knows | what it must not know |
//! |---|---|---|
//! | [`types`], [`error_code`] | numbers and their names | everything else |
//! | [`buffers`] | memory that is used again | what it is used for |
//! | [`config`] | what can be set, and what it may be | who asks |
//! | [`wire`] | bytes and typed messages | partitions, logs, tasks |
//! | [`log`] | segments, indexes, recovery over [`env::Disk`] | leadership |
//! | [`partition`] | one replica's decisions; pure | `env`, files, tasks |
//! | [`quorum`], [`controller`] | metadata: decide, record, replay; pure | `env`, files, tasks |
//! | [`broker`] | one file per API: decode, one decision, effects | protocol state |
//! | [`client`] | producer, consumer, admin: pure cores, thin drivers | the broker |
//! | [`node`] | connections, timers, group sync, supervision | tokio |
//! | [`env`] | the seam | everything above it |
//! | [`cli`] | the subcommands | the broker's inside |

pub mod broker;
pub mod buffers;
pub mod cli;
pub mod client;
pub mod config;
pub mod controller;
pub mod env;
pub mod error_code;
pub mod log;
pub mod node;
pub mod partition;
pub mod quorum;
pub mod types;
pub mod wire;
