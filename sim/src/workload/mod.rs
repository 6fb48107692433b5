//! What clients do: see [`crate::run::Workload`].

pub mod payload;
