//! Bytes and typed messages: knows no partitions, logs or tasks.

pub mod batch;
pub mod batch_builder;
pub mod batch_recompress;
pub mod compression;
pub mod records;
pub mod validate;
