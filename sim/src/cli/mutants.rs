//! `cargo sim mutants`: plants a bug, sweeps seeds until one fails, and tells what happened.
//!
//! A mutant is built in a copy of the sources under `target/mutants`, as this program was built and with the
//! dependencies that it was built with: only the two packages of the workspace are compiled. Cargo finds
//! `.cargo/config.toml` above the copy. A second one in the copy would be merged with it, and other flags would
//! compile everything anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use crate::failure::FailureFile;
use crate::mutant::Mutant;

/// How many acknowledgements, faults and other events are told.
const TOLD: usize = 8;
/// No line of a story is longer.
const COLUMNS: usize = 160;

/// Why the mutant was not caught.
pub(super) enum Ended {
    Usage(String),
    Survived,
}

impl From<String> for Ended {
    fn from(message: String) -> Self {
        Self::Usage(message)
    }
}

/// Prints what mutants there are.
pub(super) fn list(scenarios: &Path) -> Result<(), String> {
    for mutant in Mutant::load_all(&scenarios.join("mutants"))? {
        println!("{:<22} {} ({}; {})", mutant.name, mutant.claim, mutant.bug, mutant.scenario);
    }
    Ok(())
}

/// Builds a mutant and looks for a seed that catches it.
#[expect(clippy::disallowed_types, reason = "how long it takes is a matter of real time")]
pub(super) fn catch(scenarios: &Path, name: &str) -> Result<(), Ended> {
    let mutant = Mutant::load(&scenarios.join("mutants").join(format!("{name}.toml")))?;
    println!("{name}: {}\nknown from: {}", mutant.claim, mutant.bug);
    let begun = std::time::Instant::now();
    let program = build(&mutant)?;
    println!("built in {} s; sweeping {}", begun.elapsed().as_secs(), mutant.scenario);
    let begun = std::time::Instant::now();
    let failures = Path::new("target/mutants/failures").join(name);
    if failures.exists() {
        fs::remove_dir_all(&failures).map_err(|error| format!("{}: {error}", failures.display()))?;
    }
    let run = |args: &[&str]| command(&program, scenarios, args);
    let seeds = format!("0..{}", mutant.seeds);
    let to = failures.display().to_string();
    let sweep =
        ["sweep", "--until-failure", "--scenario", &mutant.scenario, "--seeds", &seeds, "--failures", &to];
    run(&sweep).status().map_err(|error| error.to_string())?;
    let seconds = begun.elapsed().as_secs_f64();
    let Some((path, file)) = first_failure(&failures)? else {
        println!("SURVIVED: {name}: none of {} seeds of {} fails", mutant.seeds, mutant.scenario);
        return Err(Ended::Survived);
    };
    let shown = path.display().to_string();
    let told = run(&["explain", "--file", &shown]).output().map_err(|error| error.to_string())?;
    println!("\nwhat happened:");
    story(&String::from_utf8_lossy(&told.stdout), &file).iter().for_each(|line| println!("{line}"));
    let replayed = run(&["replay", &shown]).output().map_err(|error| error.to_string())?;
    let again = if fails(replayed.status) { "fails again when replayed" } else { "DOES NOT FAIL AGAIN" };
    println!(
        "\nCAUGHT: {name} by seed {} of {} after {seconds:.1} s; it {again}",
        file.plan().seed,
        mutant.scenario
    );
    println!("{}", file.failure);
    println!("{} replay {shown}", program.display());
    let invariant = &file.failure.invariant;
    if !mutant.oracles.is_empty() && !mutant.oracles.contains(invariant) {
        println!("SURVIVED: {invariant} is none of those expected: {}", mutant.oracles.join(", "));
        return Err(Ended::Survived);
    }
    if fails(replayed.status) { Ok(()) } else { Err(Ended::Survived) }
}

fn fails(status: ExitStatus) -> bool {
    status.code().is_some_and(|code| code >= 10)
}

fn command(program: &Path, scenarios: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.arg("--scenarios").arg(scenarios).args(args);
    command
}

fn first_failure(directory: &Path) -> Result<Option<(PathBuf, FailureFile)>, String> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(None) };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        let file = FailureFile::load(&path)?;
        files.push((path, file));
    }
    Ok(files.into_iter().min_by_key(|(_, file)| file.plan().seed))
}

/// The lines of a timeline that tell of a failure: the last acknowledgements before the last fault, that fault
/// and what it did, and whatever names what the failure names.
fn story(timeline: &str, file: &FailureFile) -> Vec<String> {
    let failed_at = file.failure.time_ns as f64 / 1e9;
    // Time, node, kind, text.
    let kind = |line: &str| line.split_whitespace().nth(2).unwrap_or_default().to_owned();
    let in_time = |line: &&str| {
        line.get(..11).and_then(|time| time.trim().parse::<f64>().ok()).is_some_and(|t| t <= failed_at + 1e-6)
    };
    let lines: Vec<&str> = timeline.lines().filter(in_time).collect();
    let is_fault = |line: &str| matches!(kind(line).as_str(), "FAULT" | "node" | "lost" | "PANIC");
    let loss = lines.iter().rposition(|line| kind(line) == "lost" || line.contains("power is gone"));
    let loss = loss.or_else(|| lines.iter().rposition(|line| is_fault(line))).unwrap_or(lines.len());
    let named: Vec<&str> = subjects(&file.failure.message);
    let last = |wanted: &dyn Fn(usize, &str) -> bool| -> Vec<usize> {
        let found = (0..lines.len()).rev().filter(|&n| wanted(n, lines[n]));
        found.take(TOLD).collect()
    };
    let mut told = last(&|n, line| n < loss && kind(line) == "client" && line.contains("acked "));
    told.extend(last(&|_, line| is_fault(line)));
    told.extend(last(&|_, line| named.iter().any(|name| line.contains(name))));
    told.sort_unstable();
    told.dedup();
    told.into_iter().map(|n| lines[n].chars().take(COLUMNS).collect()).collect()
}

/// What a message is about: the numbers of records in it.
fn subjects(message: &str) -> Vec<&str> {
    message.split(|c: char| !c.is_ascii_digit()).filter(|word| word.len() >= 9).collect()
}

/// Builds the mutant; the path of its program.
fn build(mutant: &Mutant) -> Result<PathBuf, String> {
    // One copy for all mutants: what one leaves changed the next changes back, and little is built anew.
    let tree = Path::new("target/mutants/source");
    let original = fs::read_to_string(&mutant.file).map_err(|e| format!("{}: {e}", mutant.file.display()))?;
    let planted = mutant.plant(&original)?;
    let told = |error: std::io::Error| format!("{}: {error}", tree.display());
    for path in ["Cargo.toml", "Cargo.lock", "src", "sim"] {
        copy_changed(Path::new(path), &tree.join(path), &mutant.file, &planted).map_err(told)?;
    }
    let target = std::path::absolute("target/mutants/target").map_err(told)?;
    let own = std::env::current_exe().map_err(told)?;
    let own = own.parent().ok_or("this program lies in no directory")?;
    // Cargo names a profile's directory after the profile; only that of dev is called debug.
    let directory = own.file_name().ok_or("this program lies in no directory")?.to_string_lossy();
    let profile = if directory == "debug" { "dev" } else { &*directory };
    let into = target.join(&*directory);
    lend_dependencies(own, &into).map_err(told)?;
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--package", "ottla-sim", "--locked", "--profile", profile]);
    if profile == "dev" {
        // Who waits, waits for the compiler: a mutant runs for a second.
        for package in ["ottla", "ottla-sim"] {
            cargo.arg("--config").arg(format!("profile.dev.package.{package}.opt-level=0"));
        }
    }
    cargo.env("CARGO_TARGET_DIR", &target);
    let status = cargo.current_dir(tree).status().map_err(told)?;
    let program = into.join("ottla-sim");
    if !status.success() {
        return Err(format!("{} does not compile", mutant.name));
    }
    let programs = Path::new("target/mutants/programs");
    fs::DirBuilder::new().recursive(true).create(programs).map_err(told)?;
    let kept = programs.join(&mutant.name);
    fs::copy(&program, &kept).map_err(told)?;
    Ok(kept)
}

/// Copies files as far as they differ, so that cargo sees which have changed; `mutated` with its new text.
fn copy_changed(from: &Path, to: &Path, mutated: &Path, planted: &str) -> std::io::Result<()> {
    if from.is_dir() {
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            copy_changed(&from.join(&name), &to.join(&name), mutated, planted)?;
        }
        return Ok(());
    }
    let text = if from == mutated { planted.to_owned() } else { fs::read_to_string(from)? };
    if fs::read_to_string(to).is_ok_and(|there| there == text) {
        return Ok(());
    }
    if let Some(directory) = to.parent() {
        fs::DirBuilder::new().recursive(true).create(directory)?;
    }
    std::io::Write::write_all(
        &mut fs::OpenOptions::new().write(true).create(true).truncate(true).open(to)?,
        text.as_bytes(),
    )
}

/// Gives a target directory the dependencies that this program was built with. Libraries are linked; what
/// cargo writes to in place is copied, with its times, by which cargo knows what is fresh.
fn lend_dependencies(from: &Path, to: &Path) -> std::io::Result<()> {
    for directory in ["deps", "build", ".fingerprint"] {
        lend(&from.join(directory), &to.join(directory), directory == "deps")?;
    }
    Ok(())
}

fn lend(from: &Path, to: &Path, link: bool) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).create(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        let (from, to) = (from.join(&name), to.join(&name));
        let ours = name.to_string_lossy().trim_start_matches("lib").starts_with("ottla");
        if ours || to.is_file() {
            continue;
        }
        if from.is_dir() {
            lend(&from, &to, link)?;
        } else if !link || fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to)?;
            let modified = fs::metadata(&from)?.modified()?;
            fs::OpenOptions::new().append(true).open(&to)?.set_modified(modified)?;
        }
    }
    Ok(())
}
