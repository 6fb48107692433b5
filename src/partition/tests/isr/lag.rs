//! Who is late, and since when (R4).

use super::*;

#[test]
fn r4_with_what_it_asks_for_a_follower_proves_that_it_was_caught_up_one_fetch_ago_and_no_later() {
    let mut partition = leader(Counting::WhenAppended, 1, &[ME, OTHER]);
    let _ = fetches_at(&mut partition, OTHER, 10, seconds(40));
    append(&mut partition, &batch(5), Acks::Leader).unwrap();
    let _ = fetches_at(&mut partition, OTHER, 10, seconds(50));
    assert_eq!(partition.check_isr(&brokers(), seconds(40) + LAG_MAX).unwrap().1, None);
    assert!(partition.check_isr(&brokers(), seconds(41) + LAG_MAX).unwrap().1.is_some());
}

#[test]
fn r3_who_was_not_in_sync_when_the_epoch_began_holds_nothing_up() {
    let mut partition = leader(Counting::WhenAppended, 1, &[ME, OTHER]);
    let _ = fetches(&mut partition, THIRD, 3);
    append(&mut partition, &batch(5), Acks::Leader).unwrap();
    let read = fetches(&mut partition, OTHER, 15);
    assert_eq!(read.advance.after.high_watermark, HighWatermark(Offset(15)));
}

#[test]
fn kip_903_a_request_names_the_runs_that_fetched_not_those_that_are_registered_by_now() {
    let mut partition = leader(Counting::WhenAppended, 1, &EVERYBODY);
    let _ = fetches_at(&mut partition, OTHER, 10, seconds(50));
    let started_anew = changed(OTHER, |broker| broker.epoch = BrokerEpoch(200));
    let (_, alter) = partition.check_isr(&started_anew, seconds(60)).unwrap();
    assert_eq!(members(&alter.expect("the third is late")), [(1, 101), (2, 102)]);
}
