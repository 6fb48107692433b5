//! A decision in the making: the records so far, and the metadata as they make it.
//!
//! A later part of a decision sees what an earlier part does. So two changes of one partition in one decision
//! add up, and a broker that is being fenced is elected nowhere.

use super::change::{Election, Rules, Target, change};
use super::image::{Image, PartitionRegistration, TopicImage};
use super::{Controller, Decision, Settings};
use crate::config::topic::resolve;
use crate::config::topic_keys::topic_key;
use crate::config::value::Value;
use crate::types::{BrokerId, PartitionKey};
use crate::wire::metadata::MetadataRecord;

/// The decision in the making.
pub(super) struct Draft<'a> {
    settings: &'a Settings,
    image: Image,
    records: Vec<MetadataRecord>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(controller: &'a Controller) -> Self {
        Self { settings: &controller.settings, image: controller.image().clone(), records: Vec::new() }
    }

    /// The metadata as they will be.
    pub(super) fn image(&self) -> &Image {
        &self.image
    }

    /// The records so far.
    pub(super) fn records(&self) -> &[MetadataRecord] {
        &self.records
    }

    /// How many records there are so far.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Adds a record.
    pub(super) fn push(&mut self, record: impl Into<MetadataRecord>) {
        let record = record.into();
        self.assume(&record);
        self.records.push(record);
    }

    /// Has what follows decided as if a record stood here that will be added later.
    pub(super) fn assume(&mut self, record: &MetadataRecord) {
        self.image.apply(record).expect("what a decision says can be applied");
    }

    /// Adds a record whose effect was assumed before.
    pub(super) fn push_assumed(&mut self, record: impl Into<MetadataRecord>) {
        self.records.push(record.into());
    }

    /// Records that must be appended as one batch, and an answer.
    pub(super) fn atomic<R>(self, response: R) -> Decision<R> {
        Decision { records: self.records, atomic: true, response }
    }

    /// Records of which any number, from the first on, may be appended before the rest, and an answer.
    pub(super) fn in_order<R>(self, response: R) -> Decision<R> {
        Decision { records: self.records, atomic: false, response }
    }

    /// The partitions for which `test` holds, in the order of the image.
    pub(super) fn partitions(
        &self,
        test: impl Fn(&TopicImage, &PartitionRegistration) -> bool,
    ) -> Vec<PartitionKey> {
        let mut keys = Vec::new();
        for topic in self.image.topics() {
            for (&index, partition) in &topic.partitions {
                if test(topic, partition) {
                    keys.push(PartitionKey { topic_id: topic.id, index });
                }
            }
        }
        keys
    }

    /// Changes a partition to what `edit` makes of its target, with the election that it needs. Says whether
    /// anything changed. The partition exists.
    pub(super) fn alter(&mut self, key: PartitionKey, edit: impl FnOnce(&mut Target)) -> bool {
        let record = {
            let topic = self.image.topic(key.topic_id).expect("the partition's topic exists");
            let partition = topic.partitions.get(&key.index).expect("the partition exists");
            let election = if self.allows_unclean(topic) { Election::Unclean } else { Election::Online };
            let mut target = Target::of(partition, election);
            edit(&mut target);
            let rules =
                Rules { image: &self.image, min_isr: self.min_isr(topic), elr: self.image.elr_enabled() };
            change(key, partition, target, &rules)
        };
        let changed = record.is_some();
        if let Some(record) = record {
            self.push(record);
        }
        changed
    }

    /// Takes a broker out of the ISRs and leaderships that it has.
    pub(super) fn leave_isrs(&mut self, id: BrokerId) {
        let has = |_: &TopicImage, it: &PartitionRegistration| it.isr.contains(&id) || it.leader == id;
        for key in self.partitions(has) {
            self.alter(key, |target| target.isr.retain(|&member| member != id));
        }
    }

    /// Elects leaders where there is none and somebody can be one.
    pub(super) fn elect_leaderless(&mut self, most: usize) {
        for key in self.partitions(|_, partition| partition.leader == BrokerId::NONE) {
            if self.len() >= most {
                return;
            }
            self.alter(key, |_| {});
        }
    }

    /// Whether a replica that may lack acknowledged records may lead this topic's partitions.
    pub(super) fn allows_unclean(&self, topic: &TopicImage) -> bool {
        self.config(topic, "unclean.leader.election.enable").boolean()
    }

    /// `min.insync.replicas` in force, before the cap by the number of replicas.
    fn min_isr(&self, topic: &TopicImage) -> usize {
        usize::try_from(self.config(topic, "min.insync.replicas").number()).unwrap_or(1)
    }

    /// A topic's config in force. A text that is no value of it, in a log that somebody else wrote, counts as
    /// not set.
    fn config(&self, topic: &TopicImage, name: &str) -> Value {
        let key = topic_key(name).expect("the code names configs of the table");
        let layers = self.image.layers(self.settings.node_id, &self.settings.texts);
        let resolved = resolve(key, &topic.configs, layers).ok().and_then(|resolved| resolved.value);
        resolved.or_else(|| key.default_value()).expect("the configs asked for have defaults")
    }
}
