//! The async shell round the state machines: connections, budgets, timers, supervision.

pub mod budget;
pub mod buffers;
