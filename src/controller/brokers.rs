//! Brokers come, show that they live, stop, and go (KIP-631).
//!
//! # Clean or not (E3, KIP-966)
//!
//! A registration names the broker epoch that a clean stop left behind. If that is the one on record the stop
//! was clean, else not: -1 says that the broker itself does not know of one. Kafka has no field for more, and
//! none is needed: *the broker decides* what is clean and says so with that field. Ottla's broker sends its
//! last epoch after a clean stop; and after a crash of its process alone, which it knows by the machine's boot
//! id being the same as when it registered, in all its directories, none of which is new or missing. In every
//! other case, a directory that failed before the stop included, it sends -1.
//!
//! A broker that comes after an unclean stop leaves ISR and ELR of the partitions that count what is only in
//! the page cache. What a synced topic counted is still there. A replica whose directory the broker comes
//! without is lost: it leaves ISR and ELR in any case. Of a replica whose directory was never said that is
//! assumed as soon as one of the broker's directories is missing.
//!
//! # Fenced first
//!
//! A new run of a broker is registered fenced, and therefore leaves every ISR; where nobody else can lead, the
//! ELR says that it may lead again. The leader epochs of all partitions that it was in sync with rise: so a
//! replica never appends in an epoch that it led before it was restarted, and what it sent before is
//! recognized. The same run that registers again (a lost answer) keeps its epoch and what it has
//! (KAFKA-16952).
//!
//! It is unfenced once it has applied its own registration. The offset of that is its epoch.

use std::collections::BTreeSet;

use super::draft::Draft;
use super::features::METADATA_VERSION;
use super::heartbeats::Heartbeats;
use super::image::{BrokerRegistration, PartitionRegistration, TopicImage};
use super::{Controller, Decision, Refusal};
use crate::config::topic::{Durability, durability};
use crate::error_code::ErrorCode;
use crate::types::{BrokerEpoch, BrokerId, Mono, Offset, Uuid};
use crate::wire::messages::broker_heartbeat::*;
use crate::wire::messages::broker_registration::*;
use crate::wire::metadata::*;

impl Controller {
    /// Registers a broker. `next_offset` is where the first record of the decision will stand. The registration
    /// comes after what it does away with: if not all records are committed, the broker registers once more.
    pub fn register_broker(
        &self,
        request: &BrokerRegistrationRequest,
        heartbeats: &Heartbeats,
        now: Mono,
        next_offset: Offset,
    ) -> Decision<Result<BrokerEpoch, Refusal>> {
        if let Err(refusal) = self.check_registration(request, heartbeats, now) {
            return Decision::answer(Err(refusal));
        }
        let previous = self.image().broker(BrokerId(request.broker_id));
        let same_run = previous.filter(|broker| broker.incarnation == request.incarnation_id);
        let mut draft = Draft::new(self);
        let same = same_run.map(AsRef::as_ref);
        let provisional = register_record(request, same.map_or(BrokerEpoch::NONE, |it| it.epoch), same);
        draft.assume(&provisional.into());
        draft.start_anew(&Restart::new(request, previous.map(AsRef::as_ref)));
        let own_offset = next_offset + i64::try_from(draft.len()).expect("so few records fit in memory");
        let epoch = same_run.map_or(BrokerEpoch(own_offset.0), |broker| broker.epoch);
        draft.push_assumed(register_record(request, epoch, same));
        if same_run.is_some() {
            // A directory may be in use again, and with it somebody who can lead.
            draft.elect_leaderless(usize::MAX);
        }
        draft.in_order(Ok(epoch))
    }

    /// Takes a sign of life: fences or unfences the broker, moves its leaderships away before it stops, and
    /// notes which of its directories failed or take no more replicas. `next_offset` is where the first record
    /// of the decision will stand.
    pub fn broker_heartbeat(
        &self,
        request: &BrokerHeartbeatRequest,
        heartbeats: &mut Heartbeats,
        now: Mono,
        next_offset: Offset,
    ) -> Decision<Result<BrokerHeartbeatResponse, Refusal>> {
        let (id, epoch) = (BrokerId(request.broker_id), BrokerEpoch(request.broker_epoch));
        let broker = match self.check_broker_epoch(id, epoch) {
            Ok(broker) => broker,
            Err(refusal) => return Decision::answer(Err(refusal)),
        };
        let applied = Offset(request.current_metadata_offset);
        heartbeats.hear(id, epoch, applied, now);
        let next = self.next_state(broker, request, heartbeats);
        let mut draft = Draft::new(self);
        draft.fail_directories(broker, &request.offline_log_dirs);
        draft.cordon_directories(broker, request.cordoned_log_dirs.as_deref());
        match next {
            State::Unfenced if broker.fenced => draft.unfence(broker),
            State::Fenced | State::Stopped if !broker.fenced => draft.fence(broker),
            State::Stopping => draft.begin_shutdown(broker),
            _ => {}
        }
        if next == State::Stopping {
            let records = i64::try_from(draft.len()).expect("so few records fit in memory");
            heartbeats.set_shutdown_offset(id, epoch, next_offset + (records - 1));
        }
        draft.in_order(Ok(BrokerHeartbeatResponse {
            throttle_time_ms: 0,
            error_code: ErrorCode::None.code(),
            is_caught_up: is_caught_up(broker, applied),
            is_fenced: matches!(next, State::Fenced | State::Stopped),
            should_shut_down: next == State::Stopped,
        }))
    }

    /// Fences one of the brokers whose session has expired, and says which. To be repeated until there is none:
    /// the next decision should see what became of this one.
    pub fn fence_stale_broker(&self, heartbeats: &Heartbeats, now: Mono) -> Decision<Option<BrokerId>> {
        let is_stale = |broker: &&std::sync::Arc<BrokerRegistration>| {
            !broker.fenced && !heartbeats.is_alive(broker.id, broker.epoch, now)
        };
        let Some(broker) = self.image().brokers().find(is_stale) else { return Decision::answer(None) };
        let mut draft = Draft::new(self);
        draft.fence(broker);
        draft.in_order(Some(broker.id))
    }

    /// Forgets a broker. It leaves every ISR. In an ELR it stays: its disks may come back, with the same
    /// directory ids, under the same broker id; and if they come back without, that is noticed then.
    pub fn unregister_broker(&self, id: BrokerId) -> Decision<Result<(), Refusal>> {
        let Some(broker) = self.image().broker(id) else {
            let message = format!("Broker ID {id} is not currently registered");
            return Decision::answer(Err(Refusal::new(ErrorCode::BrokerIdNotRegistered, message)));
        };
        let record = UnregisterBrokerRecord { broker_id: id.0, broker_epoch: broker.epoch.0 };
        let mut draft = Draft::new(self);
        draft.assume(&record.clone().into());
        draft.leave_isrs(id);
        draft.push_assumed(record);
        draft.in_order(Ok(()))
    }

    /// The registration of a broker, if the epoch is its own.
    pub(super) fn check_broker_epoch(
        &self,
        id: BrokerId,
        epoch: BrokerEpoch,
    ) -> Result<&BrokerRegistration, Refusal> {
        let stale = |message: String| Err(Refusal::new(ErrorCode::StaleBrokerEpoch, message));
        match self.image().broker(id) {
            None => stale(format!("No broker registration found for broker id {id}")),
            Some(broker) if broker.epoch != epoch => {
                stale(format!("Expected broker epoch {}, but got broker epoch {epoch}", broker.epoch))
            }
            Some(broker) => Ok(broker),
        }
    }

    /// Where a broker goes from where it is.
    fn next_state(
        &self,
        broker: &BrokerRegistration,
        request: &BrokerHeartbeatRequest,
        heartbeats: &Heartbeats,
    ) -> State {
        // Without any directory it can do nothing. A record cannot say that none is left.
        let dirs = &broker.log_dirs;
        let useless = !dirs.is_empty() && dirs.iter().all(|dir| request.offline_log_dirs.contains(dir));
        let wants_fence = request.want_fence || useless;
        let applied = Offset(request.current_metadata_offset);
        if broker.fenced {
            return match (request.want_shut_down, wants_fence) {
                (true, _) => State::Stopped,
                (false, false) if is_caught_up(broker, applied) => State::Unfenced,
                _ => State::Fenced,
            };
        }
        let leads = || self.leads_any(broker.id);
        if broker.in_controlled_shutdown {
            let may_stop = heartbeats
                .shutdown_offset(broker.id, broker.epoch)
                .is_some_and(|offset| heartbeats.all_have_applied(self.image(), offset));
            return if may_stop && !leads() { State::Stopped } else { State::Stopping };
        }
        match (wants_fence, request.want_shut_down) {
            (true, true) => State::Stopped,
            (true, false) => State::Fenced,
            (false, true) if leads() => State::Stopping,
            (false, true) => State::Stopped,
            (false, false) => State::Unfenced,
        }
    }

    fn leads_any(&self, id: BrokerId) -> bool {
        self.image().topics().any(|topic| topic.partitions.values().any(|it| it.leader == id))
    }

    fn check_registration(
        &self,
        request: &BrokerRegistrationRequest,
        heartbeats: &Heartbeats,
        now: Mono,
    ) -> Result<(), Refusal> {
        let expected = &self.settings.cluster_id;
        if request.cluster_id != *expected {
            let message =
                format!("Expected cluster ID {expected}, but got cluster ID {}", request.cluster_id);
            return Err(Refusal::new(ErrorCode::InconsistentClusterId, message));
        }
        let id = BrokerId(request.broker_id);
        let other_run = self.image().broker(id).filter(|it| it.incarnation != request.incarnation_id);
        // A run that holds the locks of all its directories, and knows by what they hold that the one before ended with
        // the machine still up, has seen the end of it, whatever its session says: it need not wait for that. So has
        // the broker of this controller's own node, which holds the same locks. Anyone else may be another machine,
        // with directories of its own or with a copy, or be late.
        let follows = |broker: &BrokerRegistration| {
            let sorted = |ids: &[Uuid]| ids.iter().copied().collect::<BTreeSet<_>>();
            sorted(&broker.log_dirs) == sorted(&request.log_dirs)
                && (id == self.settings.node_id || broker.epoch.0 == request.previous_broker_epoch)
        };
        let is_other = |broker: &&std::sync::Arc<BrokerRegistration>| {
            heartbeats.is_alive(id, broker.epoch, now) && !follows(broker)
        };
        if other_run.is_some_and(|broker| is_other(&broker)) {
            let message = "Another broker is registered with that broker id. If the broker was recently \
                           restarted this should self-resolve once the heartbeat manager expires the \
                           broker's session.";
            return Err(Refusal::new(ErrorCode::DuplicateBrokerRegistration, message));
        }
        if request.is_migrating_zk_broker {
            let message = "Controller does not support registering ZK brokers.";
            return Err(Refusal::new(ErrorCode::BrokerIdNotRegistered, message));
        }
        if id < BrokerId(0) {
            let message = format!("A broker cannot have the negative id {id}");
            return Err(Refusal::new(ErrorCode::InvalidRegistration, message));
        }
        self.check_directories(request)?;
        self.check_features(request)
    }

    fn check_directories(&self, request: &BrokerRegistrationRequest) -> Result<(), Refusal> {
        let refuse = |message: String| Err(Refusal::new(ErrorCode::InvalidRegistration, message));
        let dirs = &request.log_dirs;
        if dirs.is_empty() {
            return refuse("No directories specified in request".to_owned());
        }
        for (position, dir) in dirs.iter().enumerate() {
            if dir.is_reserved() {
                return refuse("Reserved directory ID in request".to_owned());
            }
            if dirs[..position].contains(dir) {
                return refuse("Duplicate directory ID in request".to_owned());
            }
            let owner = self.image().brokers().find(|broker| broker.log_dirs.contains(dir));
            if let Some(owner) = owner.filter(|owner| owner.id.0 != request.broker_id) {
                return refuse(format!("Broker {} is already registered with directory {dir}", owner.id));
            }
        }
        Ok(())
    }

    /// Whatever is finalized must be supported; what is not counts as finalized at level 0.
    fn check_features(&self, request: &BrokerRegistrationRequest) -> Result<(), Refusal> {
        let find = |name: &str| request.features.iter().find(|feature| feature.name == name);
        if find(METADATA_VERSION).is_none() {
            let message = format!("Request features do not contain '{METADATA_VERSION}'");
            return Err(Refusal::new(ErrorCode::InvalidRegistration, message));
        }
        let named = request.features.iter().map(|feature| feature.name.as_str());
        let finalized = self.image().features().map(|(name, _)| name);
        for name in named.chain(finalized) {
            let level = self.image().feature(name);
            let (min, max) = find(name)
                .map_or((0, 0), |feature| (feature.min_supported_version, feature.max_supported_version));
            if !(min..=max).contains(&level) {
                let message = format!(
                    "Unable to register because the broker does not support finalized version {level} of \
                     {name}. The broker wants a version between {min} and {max}, inclusive."
                );
                return Err(Refusal::new(ErrorCode::UnsupportedVersion, message));
            }
        }
        Ok(())
    }
}

/// What a heartbeat makes of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Fenced,
    Unfenced,
    /// In controlled shutdown: not yet allowed to stop.
    Stopping,
    /// Fenced, and allowed to stop.
    Stopped,
}

fn is_caught_up(broker: &BrokerRegistration, applied: Offset) -> bool {
    applied.0 >= broker.epoch.0
}

/// What happened to a broker's replicas between two registrations.
struct Restart<'a> {
    id: BrokerId,
    new_run: bool,
    clean: bool,
    dirs: &'a [Uuid],
    /// Whether each directory that the broker had is there again; not known of a broker that was not registered.
    kept_all: bool,
}

impl<'a> Restart<'a> {
    fn new(request: &'a BrokerRegistrationRequest, previous: Option<&BrokerRegistration>) -> Self {
        let dirs = &request.log_dirs;
        let clean = |broker: &BrokerRegistration| broker.epoch.0 == request.previous_broker_epoch;
        let kept = |broker: &BrokerRegistration| broker.log_dirs.iter().all(|dir| dirs.contains(dir));
        Self {
            id: BrokerId(request.broker_id),
            new_run: previous.is_none_or(|broker| broker.incarnation != request.incarnation_id),
            clean: previous.is_some_and(clean),
            dirs,
            kept_all: previous.is_some_and(kept),
        }
    }

    /// Whether the replica of a partition is gone.
    fn has_lost(&self, partition: &PartitionRegistration) -> bool {
        match partition.directory(self.id) {
            None => false,
            Some(dir) if dir.is_reserved() => !self.kept_all,
            Some(dir) => !self.dirs.contains(&dir),
        }
    }

    /// Whether the replica of a partition may lack what it counted.
    fn is_unclean(&self, topic: &TopicImage) -> bool {
        // A text that is no value, in a log that somebody else wrote, promises nothing.
        let durability = durability(&topic.configs).unwrap_or(Durability::PageCache);
        self.new_run && !self.clean && durability == Durability::PageCache
    }

    /// Whether anything may have to change in a partition.
    fn concerns(&self, partition: &PartitionRegistration) -> bool {
        let member = partition.isr.contains(&self.id) || partition.leader == self.id;
        let eligible = partition.elr.contains(&self.id) || partition.last_known_elr.contains(&self.id);
        (member || eligible) && (self.new_run || self.has_lost(partition))
    }
}

impl Draft<'_> {
    fn start_anew(&mut self, restart: &Restart<'_>) {
        let id = restart.id;
        for key in self.partitions(|_, partition| restart.concerns(partition)) {
            let topic = self.image().topic(key.topic_id).expect("it was just found");
            let partition = &topic.partitions[&key.index];
            let (lost, unclean) = (restart.has_lost(partition), restart.is_unclean(topic));
            self.alter(key, |target| {
                target.raise_epoch = restart.new_run && target.isr.contains(&id);
                if restart.new_run || lost {
                    target.isr.retain(|&member| member != id);
                }
                target.lost.extend(lost.then_some(id));
                target.unclean.extend(unclean.then_some(id));
            });
        }
    }

    /// The registration changes last: if only some of the records are committed, the next heartbeat, or the lack
    /// of one, has the rest decided again.
    fn fence(&mut self, broker: &BrokerRegistration) {
        let record = BrokerRegistrationChangeRecord { fenced: 1, ..change_of(broker) };
        self.assume(&record.clone().into());
        self.leave_isrs(broker.id);
        self.push_assumed(record);
    }

    fn unfence(&mut self, broker: &BrokerRegistration) {
        self.push(BrokerRegistrationChangeRecord { fenced: -1, ..change_of(broker) });
        self.elect_leaderless(usize::MAX);
    }

    /// All leaderships move at once (KAFKA-14296), where nobody can take over to nobody.
    fn begin_shutdown(&mut self, broker: &BrokerRegistration) {
        let record = BrokerRegistrationChangeRecord { in_controlled_shutdown: 1, ..change_of(broker) };
        self.assume(&record.clone().into());
        self.leave_isrs(broker.id);
        if !broker.in_controlled_shutdown {
            self.push_assumed(record);
        }
    }

    /// Moves leaderships away from directories that have failed. If no directory would be left the broker is
    /// fenced instead.
    fn fail_directories(&mut self, broker: &BrokerRegistration, offline: &[Uuid]) {
        let (failed, left): (Vec<Uuid>, Vec<Uuid>) =
            broker.log_dirs.iter().copied().partition(|dir| offline.contains(dir));
        if failed.is_empty() || left.is_empty() {
            return;
        }
        let record = BrokerRegistrationChangeRecord { log_dirs: left, ..change_of(broker) };
        self.assume(&record.clone().into());
        let has_failed = |_: &TopicImage, it: &PartitionRegistration| {
            it.isr.contains(&broker.id) && it.directory(broker.id).is_some_and(|dir| failed.contains(&dir))
        };
        for key in self.partitions(has_failed) {
            self.alter(key, |target| target.isr.retain(|&member| member != broker.id));
        }
        self.push_assumed(record);
    }

    fn cordon_directories(&mut self, broker: &BrokerRegistration, cordoned: Option<&[Uuid]>) {
        let Some(cordoned) = cordoned else { return };
        let same = |known: &Vec<Uuid>| {
            known.iter().all(|dir| cordoned.contains(dir)) && cordoned.iter().all(|dir| known.contains(dir))
        };
        if !broker.cordoned_log_dirs.as_ref().is_some_and(same) {
            let cordoned_log_dirs = Some(cordoned.to_vec());
            self.push(BrokerRegistrationChangeRecord { cordoned_log_dirs, ..change_of(broker) });
        }
    }
}

fn change_of(broker: &BrokerRegistration) -> BrokerRegistrationChangeRecord {
    BrokerRegistrationChangeRecord {
        broker_id: broker.id.0,
        broker_epoch: broker.epoch.0,
        ..BrokerRegistrationChangeRecord::default()
    }
}

fn register_record(
    request: &BrokerRegistrationRequest,
    epoch: BrokerEpoch,
    same_run: Option<&BrokerRegistration>,
) -> RegisterBrokerRecord {
    let endpoint = |listener: &Listener| BrokerEndpoint {
        name: listener.name.clone(),
        host: listener.host.clone(),
        port: listener.port,
        security_protocol: listener.security_protocol,
    };
    let feature = |feature: &Feature| BrokerFeature {
        name: feature.name.clone(),
        min_supported_version: feature.min_supported_version,
        max_supported_version: feature.max_supported_version,
    };
    RegisterBrokerRecord {
        broker_id: request.broker_id,
        incarnation_id: request.incarnation_id,
        broker_epoch: epoch.0,
        end_points: request.listeners.iter().map(endpoint).collect(),
        features: request.features.iter().map(feature).collect(),
        rack: request.rack.clone(),
        fenced: same_run.is_none_or(|broker| broker.fenced),
        in_controlled_shutdown: same_run.is_some_and(|broker| broker.in_controlled_shutdown),
        log_dirs: request.log_dirs.clone(),
        cordoned_log_dirs: same_run.and_then(|broker| broker.cordoned_log_dirs.clone()),
        ..RegisterBrokerRecord::default()
    }
}
