//! The simulated [`ottla::env::Env`]: what one process of one node sees of its world.

use std::future::Future;

use ottla::env::{Env, Event, Purpose, Rng, child_rng};
use ottla::types::Uuid;
use rand_core::Rng as _;

use crate::clock::SimClock;
use crate::disk::{Machine, SimDisk};
use crate::engine::{Life, TaskHandle};
use crate::net::SimNetwork;
use crate::world::World;

/// What one process sees.
#[derive(Clone)]
pub struct SimEnv {
    world: World,
    life: Life,
    boot: u64,
    clock: SimClock,
    network: SimNetwork,
    disk: SimDisk,
}

impl SimEnv {
    pub(crate) fn new(world: World, life: Life, boot: u64, clock: SimClock, machine: &Machine) -> Self {
        let network = world.net().of(life);
        let disk = machine.of(life);
        Self { world, life, boot, clock, network, disk }
    }

    /// Which process of which node this is.
    pub fn life(&self) -> Life {
        self.life
    }
}

impl Env for SimEnv {
    type Clock = SimClock;
    type Network = SimNetwork;
    type Disk = SimDisk;
    type Task = TaskHandle;

    fn clock(&self) -> &SimClock {
        &self.clock
    }

    fn network(&self) -> &SimNetwork {
        &self.network
    }

    fn disk(&self) -> &SimDisk {
        &self.disk
    }

    fn spawn<F>(&self, name: &'static str, future: F) -> TaskHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.world.engine().spawn(self.life, name, future)
    }

    /// Every process has streams of its own: a process that starts again does not draw the same ids again.
    fn rng(&self, purpose: Purpose) -> Rng {
        let process = self.life.incarnation.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        child_rng(self.world.engine().seed() ^ process, u64::from(self.life.node.0), purpose)
    }

    fn boot_id(&self) -> String {
        let purpose = Purpose { subsystem: "world", what: "boot id", instance: self.boot };
        let mut rng = child_rng(self.world.engine().seed(), u64::from(self.life.node.0), purpose);
        Uuid::from_random(|| u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64())).to_string()
    }

    fn host_name(&self) -> String {
        self.life.node.to_string()
    }

    fn observe(&self, event: Event) {
        self.world.observe(self.life, event);
    }
}
