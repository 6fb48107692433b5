//! Whole quorums as state machines, with a network that loses, delays, doubles, reorders and cuts, and disks
//! that forget what was not synced. Every step of every node is checked.

mod disk;
mod oracle;
mod scenarios;
mod shell;
mod world;

use super::*;
