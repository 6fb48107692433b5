//! The disk against a naive model of the contract: whatever a loss of power leaves, the model allows.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const SECTOR: usize = 512;

/// One file as a list of everything it ever was since its last sync.
#[derive(Debug, Clone, Default)]
struct FileModel {
    versions: Vec<Vec<u8>>,
}

impl FileModel {
    fn now(&self) -> Vec<u8> {
        self.versions.last().cloned().unwrap_or_default()
    }

    /// Whether a loss of power may leave these bytes.
    fn allows(&self, found: &[u8]) -> bool {
        let versions = if self.versions.is_empty() { vec![Vec::new()] } else { self.versions.clone() };
        let synced = versions[0].len();
        let sector_of = |version: &[u8], at: usize| {
            let mut sector = version.get(at..version.len().min(at + SECTOR)).unwrap_or(&[]).to_vec();
            sector.resize(SECTOR, 0);
            sector
        };
        versions.iter().any(|version| version.len() == found.len())
            && (0..found.len()).step_by(SECTOR).all(|at| {
                let length = SECTOR.min(found.len() - at);
                let found = &found[at..at + length];
                versions.iter().any(|version| {
                    let mut zeroed = sector_of(&versions[0], at);
                    zeroed[synced.saturating_sub(at).min(SECTOR)..].fill(0);
                    sector_of(version, at)[..length] == *found || zeroed[..length] == *found
                })
            })
    }
}

#[derive(Debug, Clone)]
enum FileOp {
    Write(u16, u16, u8),
    Truncate(u16),
    Sync,
}

fn file_op() -> impl Strategy<Value = FileOp> {
    prop_oneof![
        4 => (0..3_000u16, 1..2_000u16, 1..255u8).prop_map(|(at, length, byte)| FileOp::Write(at, length, byte)),
        1 => (0..4_000u16).prop_map(FileOp::Truncate),
        1 => Just(FileOp::Sync),
    ]
}

async fn apply_to_file(file: &SimFile, model: &mut FileModel, op: FileOp) {
    let mut bytes = model.now();
    match op {
        FileOp::Write(at, length, byte) => {
            let written = vec![byte; usize::from(length)];
            write(file, u64::from(at), &written);
            let (at, end) = (usize::from(at), usize::from(at) + written.len());
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[at..end].copy_from_slice(&written);
        }
        FileOp::Truncate(length) => {
            file.truncate(u64::from(length)).await.expect("well");
            bytes.resize(usize::from(length), 0);
        }
        FileOp::Sync => {
            file.sync().await.expect("well");
            model.versions.clear();
        }
    }
    if model.versions.is_empty() && !matches!(op, FileOp::Sync) {
        model.versions.push(Vec::new());
    }
    model.versions.push(bytes);
}

#[derive(Debug, Clone, Copy)]
enum NameOp {
    Create(u8),
    Remove(u8),
    Rename(u8, u8),
    SyncDir,
}

fn name_op() -> impl Strategy<Value = NameOp> {
    prop_oneof![
        3 => (0..4u8).prop_map(NameOp::Create),
        2 => (0..4u8).prop_map(NameOp::Remove),
        3 => (0..4u8, 0..4u8).prop_map(|(from, to)| NameOp::Rename(from, to)),
        1 => Just(NameOp::SyncDir),
    ]
}

/// Which file, by the byte it holds, has which name.
type Listing = BTreeMap<u8, u8>;

#[derive(Debug, Clone, Copy)]
enum NameChange {
    Create(u8, u8),
    Remove(u8, u8),
    Rename(u8, u8, u8),
}

/// Carries out a change if its precondition holds.
fn change(listing: &mut Listing, change: NameChange) -> bool {
    match change {
        NameChange::Create(name, file) => listing.insert(name, file).is_none(),
        NameChange::Remove(name, file) => listing.remove(&name) == Some(file),
        NameChange::Rename(from, to, file) => {
            let had = listing.remove(&from) == Some(file);
            listing.insert(to, file);
            had
        }
    }
}

/// Every listing that some subset of the changes, each possible where it stands, leads to.
fn allowed(synced: &Listing, unsynced: &[NameChange]) -> BTreeSet<Listing> {
    let subsets = 0..1u32 << unsynced.len();
    subsets
        .filter_map(|subset| {
            let mut listing = synced.clone();
            let chosen = unsynced.iter().enumerate().filter(|(index, _)| subset >> index & 1 == 1);
            chosen.into_iter().all(|(_, one)| change(&mut listing, *one)).then_some(listing)
        })
        .collect()
}

fn name(number: u8) -> PathBuf {
    path(&format!("/{number}"))
}

/// Tries an operation on the disk; says which change it made.
async fn apply_name(disk: &SimDisk, now: &Listing, op: NameOp, next_file: &mut u8) -> Option<NameChange> {
    match op {
        NameOp::Create(number) => {
            let file = disk.open(&name(number), OpenMode::CreateNew).await.ok()?;
            *next_file += 1;
            write(&file, 0, &[*next_file]);
            file.sync().await.expect("well");
            Some(NameChange::Create(number, *next_file))
        }
        NameOp::Remove(number) => {
            disk.remove_file(&name(number)).await.ok()?;
            Some(NameChange::Remove(number, now[&number]))
        }
        NameOp::Rename(from, to) => {
            disk.rename(&name(from), &name(to)).await.ok()?;
            (from != to).then(|| NameChange::Rename(from, to, now[&from]))
        }
        NameOp::SyncDir => {
            disk.sync_dir(&path("/")).await.expect("well");
            None
        }
    }
}

async fn listing(disk: &SimDisk) -> Listing {
    let mut listing = Listing::new();
    for text in names(disk, "/").await {
        let file = open(disk, &format!("/{text}")).await;
        listing.insert(text.parse().expect("our names are numbers"), content(&file).await[0]);
    }
    listing
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_file_is_what_the_model_allows(seed: u64, ops in prop::collection::vec(file_op(), 0..12)) {
        run(seed, |world| async move {
            let file = durable(&disk(&world), "/a", b"").await;
            let mut model = FileModel::default();
            for op in ops {
                apply_to_file(&file, &mut model, op).await;
                assert_eq!(content(&file).await, model.now());
            }
            let found = content(&open(&lose_power(&world), "/a").await).await;
            assert!(model.allows(&found), "{} bytes that the contract does not allow", found.len());
        });
    }

    #[test]
    fn names_are_what_the_model_allows(seed: u64, ops in prop::collection::vec(name_op(), 0..14)) {
        run(seed, |world| async move {
            let before = disk(&world);
            let (mut synced, mut unsynced, mut now, mut files) = (Listing::new(), Vec::new(), Listing::new(), 0);
            for op in ops {
                if let Some(made) = apply_name(&before, &now, op, &mut files).await {
                    change(&mut now, made);
                    unsynced.push(made);
                } else if matches!(op, NameOp::SyncDir) {
                    synced = now.clone();
                    unsynced.clear();
                }
                assert_eq!(listing(&before).await, now);
            }
            let found = listing(&lose_power(&world)).await;
            assert!(allowed(&synced, &unsynced).contains(&found), "{found:?} from {synced:?} by {unsynced:?}");
        });
    }
}
