//! `metadata-agree` (DESIGN, "Metadata"): whoever has read the metadata log up to one offset has the same image of
//! the cluster, be it by replaying records or by loading a snapshot.

use std::collections::BTreeMap;

use ottla::env::Event;

use super::{Evidence, Violation};

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let mut known = BTreeMap::new();
    evidence.observed.iter().find_map(|observed| {
        let Event::MetadataCommitted { end, image, .. } = &observed.event else { return None };
        let (there, by) = known.entry(*end).or_insert((image, observed.life.node));
        (*there != image).then(|| Violation {
            time_ns: observed.time_ns,
            message: format!(
                "up to {end} {by} has {:?}, {} has {:?}",
                there.to_records(),
                observed.life.node,
                image.to_records()
            ),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::inside::*;
    use super::*;

    #[test]
    fn two_images_at_one_offset_are_a_violation() {
        let (one, other) = (metadata(7, &[(1, &[1])]), metadata(7, &[(2, &[1, 2])]));
        assert_eq!(check(&said_by(vec![(1, one.clone()), (2, one.clone()), (2, metadata(8, &[]))])), None);
        assert!(check(&said_by(vec![(1, one), (2, other)])).is_some());
    }
}
