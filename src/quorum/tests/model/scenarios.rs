//! What befalls the quorums.

use super::world::{CALM, Conditions, Event, Requester, Tally, World};
use super::*;

/// As many as fit into a few seconds; `OTTLA_QUORUM_SEEDS=from..to` runs others.
const SEEDS: std::ops::Range<u64> = 0..250;

/// From the end of all faults until everybody agrees.
const RECOVERY_MAX: Duration = Duration::from_secs(20);

/// From then until one leads. Some may be paused for six seconds yet.
const LEADERLESS_MAX: Duration = Duration::from_secs(15);

/// Random faults for half a minute; then all is well, and everybody must agree soon.
fn ordeal(seed: u64) -> Tally {
    let mut world = World::new(seed, 1 + (seed % 5) as usize, (seed / 5 % 3) as usize, (seed / 2 % 2) as i16);
    world.conditions = Conditions {
        lost: world.below(4) * 30,
        doubled: world.below(3) * 100,
        late: world.below(3) * 20,
        delay_max: ms(1 + world.below(60)),
        sync_max: ms(1 + world.below(10) * world.below(20)),
        fragile: world.below(3) * 50,
    };
    for node in 0..world.nodes.len() {
        world.nodes[node].clock_rate = 950 + world.below(101);
    }
    let usual = world.conditions;
    // The shorter the timeouts beside the delays, the more candidates there are in an epoch.
    let (elections, fetches) = ([1, 3, 10][world.below(3) as usize], [1, 2, 4][world.below(3) as usize]);
    world.config.election_timeout /= elections;
    world.config.election_backoff_max /= elections;
    world.config.fetch_timeout /= fetches;
    world.config.fetch_wait_max /= fetches;
    for node in 0..world.nodes.len() {
        world.crash(node);
        world.start(node);
    }
    for _ in 0..150 {
        let pause = ms(world.below(400));
        world.run(pause);
        world.befall(usual);
        if world.chance(500) {
            for node in 0..world.nodes.len() {
                world.write(node);
            }
        }
    }
    world.heal();
    world.settle(RECOVERY_MAX);
    assert!(world.tally.leaderless < LEADERLESS_MAX, "{:?}", world.tally);
    world.tally
}

impl World {
    fn befall(&mut self, usual: Conditions) {
        let node = self.below(self.nodes.len() as u64) as usize;
        match self.below(20) {
            0 => self.crash(node),
            1 => self.pause_or_stop(node),
            2..=4 if self.nodes[node].quorum.is_none() => {
                self.nodes[node].moves += u64::from(self.below(4) == 0);
                self.start(node);
            }
            5 => self.isolate(node),
            6 => {
                let other = self.below(self.nodes.len() as u64) as usize;
                self.cuts.insert((node, other));
            }
            7 => self.cut_in_two(),
            8 | 9 => self.cuts.clear(),
            10 => {
                let resigning = self.nodes[node].leads.filter(|_| self.is_running(node));
                if let Some(epoch) = resigning {
                    self.step(node, Input::Resign(epoch));
                }
            }
            11 => self.take_snapshot(node),
            12 => self.clean(node),
            13 | 14 => self.change_voters(),
            15 => self.wipe(node),
            16 => self.conditions = if self.chance(500) { CALM } else { usual },
            _ => {}
        }
    }

    /// A pause can outlast every timeout; and who stops does not always live to see a successor.
    fn pause_or_stop(&mut self, node: usize) {
        if self.chance(500) {
            let duration = self.within(Duration::from_secs(6));
            self.pause(node, duration);
        } else if self.is_there(node) {
            self.step(node, Input::Shutdown);
            let (after, life) = (self.within(ms(3000)), self.nodes[node].life);
            self.schedule(after, Event::Crash { node, life });
            self.tally.stops += 1;
        }
    }

    fn cut_in_two(&mut self) {
        let half: Vec<bool> = (0..self.nodes.len()).map(|_| self.chance(500)).collect();
        for from in 0..half.len() {
            for to in (0..half.len()).filter(|to| half[from] != half[*to]) {
                self.cuts.insert((from, to));
            }
        }
    }

    fn keys(&self) -> Vec<VoterKey> {
        self.nodes.iter().map(|node| node.disk.key).collect()
    }

    /// An operator removes voters whose disk is gone, and else adds or removes somebody.
    fn change_voters(&mut self) {
        // One that has not committed anything yet may be asked, too.
        let leads = |node: &usize| self.is_there(*node) && self.quorum(*node).role() == RoleName::Leader;
        let leading: Vec<usize> = (0..self.nodes.len()).filter(leads).collect();
        let Some(leader) = leading.first().copied() else { return };
        let voters = self.quorum(leader).voters().current().clone();
        let keys = self.keys();
        let gone = voters.iter().map(|voter| voter.key).find(|voter| !keys.contains(voter));
        let one = keys[self.below(keys.len() as u64) as usize];
        let request = match gone {
            Some(voter) => Request::RemoveVoter(RemoveVoterRequest { voter }),
            None if voters.contains(one) => Request::RemoveVoter(RemoveVoterRequest { voter: one }),
            None => Request::AddVoter(AddVoterRequest {
                voter: one,
                endpoints: self.endpoints_of(one.id.0 as usize),
                ack_when_committed: self.chance(500),
            }),
        };
        self.change_until = self.now + Duration::from_secs(5);
        let token = self.new_token(leader, Requester::Client);
        self.step(leader, Input::Request { token, request });
    }

    /// A node loses its disk, if the quorum can bear it.
    fn wipe(&mut self, node: usize) {
        if !self.fixed.is_empty() || self.now < self.change_until {
            return;
        }
        let keys = self.keys();
        let bears_it = |set: &VoterSet| {
            let gone = |voter: &&VoterNode| voter.key == keys[node] || !keys.contains(&voter.key);
            set.iter().filter(gone).count() <= set.len().saturating_sub(1) / 2
        };
        let bearable = (0..self.nodes.len()).all(|other| {
            let state = &self.nodes[other];
            match &state.quorum {
                Some(quorum) => bears_it(quorum.voters().current()),
                None => false,
            }
        });
        if bearable {
            self.graves.push(self.nodes[node].disk.clone());
            self.crash(node);
            self.directories += 1;
            let key = VoterKey { directory: Uuid(self.directories), ..keys[node] };
            self.nodes[node].disk = super::disk::Disk::new(key);
            self.tally.wiped += 1;
        }
    }
}

#[test]
fn whatever_befalls_a_quorum_it_stays_safe_and_recovers() {
    let seeds = match std::env::var("OTTLA_QUORUM_SEEDS") {
        Ok(range) => {
            let (from, to) = range.split_once("..").expect("from..to");
            from.parse().expect("a number")..to.parse().expect("a number")
        }
        Err(_) => SEEDS,
    };
    let (mut sum, count) = (Tally::default(), seeds.end - seeds.start);
    for seed in seeds {
        println!("seed {seed}");
        sum.add(ordeal(seed));
    }
    println!("{sum:?}");
    if count >= SEEDS.end {
        assert!(sum.elections > 2 * count && sum.commits > 20 * count, "{sum:?}");
        assert!(sum.crashes > count && sum.lost_leads > count && sum.pauses > count, "{sum:?}");
        assert!(sum.truncations > 10 && sum.installs > 10 && sum.changes > 10, "{sum:?}");
        assert!(sum.wiped > 10 && sum.refused_keys > 0 && sum.updates > 10 && sum.stops > 10, "{sum:?}");
    }
}

#[test]
fn the_same_seed_has_the_same_history() {
    let history = |seed| format!("{:?}", ordeal(seed));
    for seed in [7, 23] {
        assert_eq!(history(seed), history(seed));
    }
}

#[test]
fn a_leader_that_is_cut_off_resigns_and_the_others_go_on() {
    for seed in 0..10 {
        let mut world = World::new(seed, 3, 0, 1);
        world.settle(Duration::from_secs(10));
        let leader = world.leader().expect("it is settled");
        let epoch = world.quorum(leader).epoch();
        world.isolate(leader);
        // KAFKA-15489: 1.5 times the fetch timeout, from the last Fetch on.
        world.run(ms(3600));
        assert_ne!(world.quorum(leader).role(), RoleName::Leader);
        world.run(ms(5000));
        let successor = world.leader().expect("two of three are a majority");
        assert!(successor != leader && world.quorum(successor).epoch() > epoch);
        let committed = world.quorum(successor).committed();
        world.write(successor);
        world.run(ms(1000));
        assert!(world.quorum(successor).committed() > committed);
        world.heal();
        world.settle(Duration::from_secs(10));
    }
}

#[test]
fn a_voter_that_comes_and_goes_does_not_disturb_the_leader() {
    for seed in 0..10 {
        let mut world = World::new(seed, 3, 0, 1);
        world.settle(Duration::from_secs(10));
        let leader = world.leader().expect("it is settled");
        let epoch = world.quorum(leader).epoch();
        let flapping = (leader + 1) % 3;
        for round in 0..10 {
            world.isolate(flapping);
            world.run(ms(4000));
            world.write(leader);
            world.run(ms(500));
            if round % 3 == 2 {
                world.crash(flapping);
                world.start(flapping);
            }
            world.cuts.clear();
            world.run(ms(1500));
            assert_eq!((world.leader(), world.quorum(leader).epoch()), (Some(leader), epoch), "KIP-996");
        }
        world.settle(Duration::from_secs(10));
        assert_eq!(world.quorum(flapping).epoch(), epoch);
    }
}

#[test]
fn a_leader_that_resigns_hands_over_without_a_timeout() {
    for seed in 0..20 {
        let mut world = World::new(seed, 3 + (seed % 2) as usize * 2, 0, (seed / 2 % 2) as i16);
        world.settle(Duration::from_secs(10));
        let leader = world.leader().expect("it is settled");
        world.step(leader, Input::Shutdown);
        world.run(ms(400));
        let successor = world.leader().expect("EndQuorumEpoch names one, who need not wait");
        assert_ne!(successor, leader);
        assert!(world.quorum(leader).may_stop());
    }
}

#[test]
fn all_lose_power_at_once_and_what_was_committed_is_there() {
    for seed in 0..20 {
        let mut world = World::new(seed, 1 + (seed % 5) as usize, 1, (seed / 5 % 2) as i16);
        world.settle(Duration::from_secs(10));
        for _ in 0..5 {
            for _ in 0..5 {
                let leader = world.leader().expect("it is settled");
                world.write(leader);
                let pause = ms(world.below(30));
                world.run(pause);
            }
            for node in 0..world.nodes.len() {
                world.crash(node);
            }
            world.heal();
            world.settle(Duration::from_secs(15));
        }
    }
}

#[test]
fn a_quorum_grows_from_one_voter_to_three_and_shrinks_to_another() {
    let mut world = World::new(1, 1, 2, 1);
    world.settle(Duration::from_secs(10));
    let change = |world: &mut World, request: Request| {
        let before = world.tally.changes;
        let leader = world.leader().expect("one leads");
        let token = world.new_token(leader, Requester::Client);
        world.step(leader, Input::Request { token, request });
        world.run(ms(1000));
        assert_eq!(world.tally.changes, before + 1, "the change is acknowledged");
    };
    for id in [1, 2] {
        let endpoints = world.endpoints_of(id as usize);
        let add = AddVoterRequest { voter: key(id), endpoints, ack_when_committed: true };
        change(&mut world, Request::AddVoter(add));
        world.settle(Duration::from_secs(10));
    }
    assert_eq!(world.quorum(2).voters().current().len(), 3);
    for id in [0, 1] {
        change(&mut world, Request::RemoveVoter(RemoveVoterRequest { voter: key(id) }));
        world.settle(Duration::from_secs(10));
    }
    assert!(world.quorum(0).voters().current().is_only(key(2)));
    assert_eq!(world.leader(), Some(2), "who was removed has resigned");
    assert!(!world.quorum(0).is_voter() && world.quorum(0).leader() == Some(BrokerId(2)));
}
