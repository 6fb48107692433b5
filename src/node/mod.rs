//! The async shell round the state machines: connections, budgets, timers, supervision.

pub mod budget;
pub mod buffers;
pub mod connection;
pub mod context;
mod frames;
pub mod listener;
mod ordering;
pub mod service;
