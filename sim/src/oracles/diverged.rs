//! `diverged` (R1; LogMatching of Raft): a leader epoch and an offset identify a batch, whoever has it.

use std::collections::BTreeMap;

use ottla::env::Event;

use super::{Evidence, Violation};

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let mut known = BTreeMap::new();
    evidence.observed.iter().find_map(|observed| {
        let Event::BatchAppended { partition, batch_epoch, base_offset, end, crc } = &observed.event else {
            return None;
        };
        let here = (*end, *crc, observed.life.node);
        let (there_end, there_crc, there) =
            *known.entry((*partition, *batch_epoch, *base_offset)).or_insert(here);
        ((there_end, there_crc) != (*end, *crc)).then(|| Violation {
            time_ns: observed.time_ns,
            message: format!(
                "{partition}: at {base_offset} in epoch {batch_epoch} {there} has a batch up to {there_end} with \
                 checksum {there_crc:08x}, {} one up to {end} with {crc:08x}",
                observed.life.node
            ),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::inside::*;
    use super::*;

    #[test]
    fn two_batches_at_one_offset_of_one_epoch_are_a_violation() {
        let copies = vec![(1, appended(1, 0, 5, 77)), (2, appended(1, 0, 5, 77)), (2, appended(2, 0, 5, 78))];
        assert_eq!(check(&said_by(copies)), None);
        assert!(check(&said_by(vec![(1, appended(1, 0, 5, 77)), (2, appended(1, 0, 5, 78))])).is_some());
        assert!(check(&said_by(vec![(1, appended(1, 0, 5, 77)), (2, appended(1, 0, 6, 77))])).is_some());
    }
}
