//! `list-offsets` (KIP-79, KIP-734): who asks for the first record of a timestamp or a later one, or for that of
//! the greatest, is told of the record that a reader of the whole log finds.

use std::collections::BTreeMap;

use super::{Evidence, Violation};
use crate::history::What;

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let mut dated = BTreeMap::new();
    evidence.events.iter().find_map(|event| {
        let (key, timestamp, found, log_start) = match &event.what {
            What::Dated { key, records } => {
                dated.insert(*key, records);
                return None;
            }
            What::Looked { key, timestamp, found, log_start } => (*key, *timestamp, *found, *log_start),
            _ => return None,
        };
        let records = *dated.get(&key)?;
        wrong(records, timestamp, found, log_start).map(|why| Violation {
            time_ns: event.time_ns,
            message: format!("{key}, looking for {timestamp:?} and finding {found:?}: {why}"),
        })
    })
}

/// What is wrong with an answer. What lies below the log start may be found or not: it was on its way out. What
/// lies behind the last record that was read may be a late append.
fn wrong(
    records: &[(i64, i64)],
    timestamp: Option<i64>,
    found: Option<(i64, i64)>,
    log_start: i64,
) -> Option<String> {
    let last = records.last()?.0;
    let least = timestamp.or_else(|| records.iter().filter(|(at, _)| *at >= log_start).map(|r| r.1).max())?;
    let expected = records.iter().find(|(at, timestamp)| *at >= log_start && *timestamp >= least);
    let Some((offset, time)) = found else {
        return expected.map(|(at, _)| format!("there is one at {at}"));
    };
    let record = records.iter().find(|(at, _)| *at == offset);
    match record {
        None if offset > last && timestamp.is_none() && time > least => None,
        None if offset > last => expected.map(|(at, _)| format!("there is one at {at} already")),
        None if offset < log_start => None,
        None => Some("nobody read a record there".to_owned()),
        Some((_, stamped)) if *stamped != time => Some(format!("the record there is of {stamped}")),
        Some((_, stamped)) if *stamped < least => Some("that is too early".to_owned()),
        Some(_) => {
            expected.filter(|(at, _)| *at < offset).map(|(at, _)| format!("there is one at {at} already"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::planted::*;
    use super::*;

    fn judge(timestamp: Option<i64>, found: Option<(i64, i64)>, log_start: i64) -> Option<Violation> {
        let records = vec![(4, 100), (5, 300), (6, 200), (7, 300)];
        check(&history(vec![
            (3, What::Dated { key: KEY, records }),
            (3, What::Looked { key: KEY, timestamp, found, log_start }),
        ]))
    }

    #[test]
    fn the_first_that_is_late_enough_is_to_be_found() {
        assert_eq!(judge(Some(200), Some((5, 300)), 4), None);
        assert_eq!(judge(Some(301), None, 4), None);
        assert_eq!(judge(None, Some((5, 300)), 4), None);
        for found in [None, Some((4, 100)), Some((6, 200)), Some((5, 299)), Some((9, 400))] {
            assert!(judge(Some(200), found, 4).is_some(), "{found:?}");
        }
        assert!(judge(None, Some((7, 300)), 4).is_some(), "it is not the first");
    }

    #[test]
    fn what_goes_or_comes_meanwhile_is_excused() {
        assert_eq!(judge(Some(200), Some((5, 300)), 6), None, "it was there until lately");
        assert_eq!(judge(Some(200), Some((6, 200)), 6), None);
        assert_eq!(judge(Some(301), Some((9, 400)), 4), None, "a late append");
        assert_eq!(judge(None, Some((9, 400)), 4), None, "a late append");
        assert!(judge(None, Some((9, 300)), 4).is_some(), "it is not the first");
    }
}
