//! The command line: `cargo sim run|sweep|meta|replay|shrink|keep|explain|golden|mutants`.

mod meta;
mod mutants;
mod print;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::FailureFile;
use crate::golden::Golden;
use crate::regression::Regression;
use crate::run::{FailureKind, Plan, Report, Verdict};
use crate::scenario::Scenario;
use crate::shrink::{shrink, size};
use crate::sweep::{Stuck, Sweep, in_each, in_turns};
use crate::trace::Keep;

/// The scenario that is run when none is named.
const DEFAULT_SCENARIO: &str = "everything";
/// How many telling events before a failure are shown.
const TAIL: usize = 30;
/// A seed that takes so much real time never comes back.
const STUCK_AFTER: Duration = Duration::from_secs(600);

/// How a plan is played: what the command line is about.
pub type Play = fn(&Plan, Keep) -> Report;

/// Ottla's deterministic simulator: whole brokers and clients, one thread, one seed, every fault.
#[derive(Parser)]
#[command(name = "cargo sim", bin_name = "cargo sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Where the scenario files are.
    #[arg(long, global = true, default_value = "scenarios")]
    scenarios: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Runs one seed of one scenario and says what came of it.
    Run(One),
    /// Runs many seeds, of one scenario or of all, and says whether they prove anything.
    Sweep(SweepArgs),
    /// Runs seeds in two processes and compares every event; then the last seed alone.
    Meta {
        /// Which seeds.
        #[arg(long, value_parser = seeds, default_value = "0..5")]
        seeds: Range<u64>,
        /// Of which scenario (a name or a file) instead of all.
        #[arg(long)]
        scenario: Option<String>,
    },
    /// Plays a failure file, or a regression, again and says whether it still fails.
    Replay {
        /// The file.
        file: PathBuf,
    },
    /// Makes the plan of a failure file smaller, as long as it fails in the same way.
    Shrink {
        /// The file.
        file: PathBuf,
        /// Where to write the smaller plan.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Makes a regression of a failure file.
    Keep {
        /// The failure file.
        file: PathBuf,
        /// Where the regression goes.
        #[arg(long)]
        out: PathBuf,
        /// What was wrong.
        #[arg(long)]
        found: String,
        /// The commit that mended it.
        #[arg(long)]
        mended: String,
    },
    /// Prints what happened in a run, line by line: virtual time, node, event.
    Explain(Explain),
    /// Compares the hashes of some seeds with those on record.
    Golden {
        /// Puts today's hashes on record instead.
        #[arg(long)]
        bless: bool,
        /// The record.
        #[arg(long, default_value = "sim/golden.toml")]
        file: PathBuf,
    },
    /// Plants a bug and shows that a scenario catches it; without a name, says which bugs there are.
    Mutants {
        /// Which bug.
        name: Option<String>,
    },
    /// Writes the whole trace of every seed to the standard output, for `meta` to compare.
    #[command(hide = true)]
    Trace {
        #[arg(long, value_parser = seeds)]
        seeds: Range<u64>,
        #[arg(long)]
        scenario: Option<String>,
    },
}

#[derive(Args)]
struct One {
    /// The seed.
    #[arg(long)]
    seed: u64,
    /// The scenario: a name or a file.
    #[arg(long, default_value = DEFAULT_SCENARIO)]
    scenario: String,
}

#[derive(Args)]
struct SweepArgs {
    /// Which seeds: `A..B`, B excluded.
    #[arg(long, value_parser = seeds, required_unless_present = "for_seconds")]
    seeds: Option<Range<u64>>,
    /// Goes on to further seeds for so many seconds of real time.
    #[arg(long = "for", value_name = "SECONDS")]
    for_seconds: Option<u64>,
    /// Which scenario (a name or a file). Without it the scenarios take turns: every seed is one run.
    #[arg(long)]
    scenario: Option<String>,
    /// Runs every seed in every scenario.
    #[arg(long, conflicts_with = "scenario")]
    each: bool,
    /// How many threads; as many as the machine has if not said.
    #[arg(long)]
    jobs: Option<usize>,
    /// Every n-th seed alone, beginning with the i-th: `i/n`, from 1/n to n/n.
    #[arg(long, value_parser = shard)]
    shard: Option<(u64, u64)>,
    /// Begins no further seed once one has failed.
    #[arg(long)]
    until_failure: bool,
    /// Where failure files go.
    #[arg(long, default_value = "target/failures")]
    failures: PathBuf,
}

#[derive(Args)]
struct Explain {
    /// The seed.
    #[arg(long, required_unless_present = "file")]
    seed: Option<u64>,
    /// The scenario: a name or a file.
    #[arg(long, default_value = DEFAULT_SCENARIO)]
    scenario: String,
    /// A failure file, or a regression, instead of seed and scenario.
    #[arg(long, conflicts_with_all = ["seed", "scenario"])]
    file: Option<PathBuf>,
    /// Shows the scheduler's own events too.
    #[arg(long)]
    all: bool,
    /// From this virtual second on.
    #[arg(long, default_value_t = 0.0)]
    from: f64,
    /// Until this virtual second.
    #[arg(long, default_value_t = f64::INFINITY)]
    to: f64,
}

/// A usage error, or how a run failed.
enum Ended {
    Usage(String),
    Failed(FailureKind),
}

impl From<String> for Ended {
    fn from(message: String) -> Self {
        Self::Usage(message)
    }
}

/// Carries out the command line of this process. Exit codes: 0 passed, 1 usage, 10 safety, 11 liveness,
/// 12 panic, 13 non-determinism.
pub fn main(play: Play) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let is_help = !error.use_stderr();
            let printed = error.print();
            return ExitCode::from(u8::from(!is_help || printed.is_err()));
        }
    };
    match carry_out(&cli, play) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ended::Usage(message)) => {
            eprintln!("{message}");
            ExitCode::from(1)
        }
        Err(Ended::Failed(kind)) => ExitCode::from(kind as u8),
    }
}

fn carry_out(cli: &Cli, play: Play) -> Result<(), Ended> {
    match &cli.command {
        Command::Run(one) => run_one(&cli.find(&one.scenario)?, one.seed, play),
        Command::Sweep(args) => {
            let regressed = match args.scenario {
                Some(_) => None,
                None => replay_all(&Regression::load_all(&cli.scenarios.join("regressions"))?, play),
            };
            let swept = sweep(&cli.choose(args.scenario.as_deref())?, args, play);
            swept.and(regressed.map_or(Ok(()), |kind| Err(Ended::Failed(kind))))
        }
        Command::Meta { seeds, scenario } => meta::compare(&cli.scenarios, seeds, scenario.as_deref())
            .map_err(|ended| match ended {
                meta::Ended::Usage(message) => Ended::Usage(message),
                meta::Ended::Differs => Ended::Failed(FailureKind::NonDeterminism),
            }),
        Command::Replay { file } => replay(file, play),
        Command::Shrink { file, out } => shrink_file(file, out.as_deref(), play),
        Command::Keep { file, out, found, mended } => {
            let Plan { scenario, seed, schedule } = plan_of(file)?;
            let (found, mended) = (found.clone(), mended.clone());
            Ok(Regression { found, mended, seed, scenario, schedule }.save(out)?)
        }
        Command::Explain(args) => explain(cli, args, play),
        Command::Golden { bless, file } => golden(&cli.choose(None)?, *bless, file, play),
        Command::Mutants { name: None } => Ok(mutants::list(&cli.scenarios)?),
        Command::Mutants { name: Some(name) } => {
            mutants::catch(&cli.scenarios, name).map_err(|ended| match ended {
                mutants::Ended::Usage(message) => Ended::Usage(message),
                mutants::Ended::Survived => Ended::Failed(FailureKind::Safety),
            })
        }
        Command::Trace { seeds, scenario } => {
            Ok(meta::write_traces(&cli.choose(scenario.as_deref())?, seeds, play)?)
        }
    }
}

impl Cli {
    fn find(&self, name: &str) -> Result<Scenario, String> {
        let named = self.scenarios.join(format!("{name}.toml"));
        let path = if name.ends_with(".toml") { PathBuf::from(name) } else { named };
        Scenario::load(&path).map_err(|error| error.to_string())
    }

    fn choose(&self, name: Option<&str>) -> Result<Vec<Scenario>, String> {
        match name {
            Some(name) => Ok(vec![self.find(name)?]),
            None => Scenario::load_all(&self.scenarios).map_err(|error| error.to_string()),
        }
    }
}

fn run_one(scenario: &Scenario, seed: u64, play: Play) -> Result<(), Ended> {
    let plan = Plan::draw(scenario, seed);
    let report = play(&plan, Keep::Last(TAIL));
    print::run(&plan, &report);
    match report.verdict(&scenario.expect) {
        Verdict::Failed(kind) => Err(Ended::Failed(kind)),
        Verdict::Passed | Verdict::FailedAsClaimed => Ok(()),
    }
}

fn sweep(scenarios: &[Scenario], args: &SweepArgs, play: Play) -> Result<(), Ended> {
    let (shard, shards) = args.shard.unwrap_or((1, 1));
    let range = args.seeds.clone().unwrap_or(0..u64::MAX);
    let total = range.clone().skip(shard as usize - 1).step_by(shards as usize).size_hint();
    let seeds = range.skip(shard as usize - 1).step_by(shards as usize);
    let enough = AtomicBool::new(false);
    let seeds = seeds.take_while(|_| !enough.load(Ordering::Relaxed));
    let count = scenarios.len();
    let runs_per_seed = if args.each { count } else { 1 };
    let mut runs: Box<dyn Iterator<Item = (u64, usize)> + Send> =
        if args.each { Box::new(in_each(seeds, count)) } else { Box::new(in_turns(seeds, count)) };
    let jobs = args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let bar = match args.for_seconds {
        Some(_) => ProgressBar::new_spinner(),
        None => ProgressBar::new((total.0 * runs_per_seed) as u64),
    };
    let style = "{elapsed_precise} {wide_bar} {pos}/{len} {msg}";
    bar.set_style(ProgressStyle::with_template(style).expect("the template is right"));
    let begun_ns = cpu_ns();
    let sweep = Sweep {
        scenarios,
        runs: &mut runs,
        jobs: jobs.max(1),
        time: args.for_seconds.map(Duration::from_secs),
        stuck_after: STUCK_AFTER,
    };
    let mut worst = None;
    let tallies = sweep.run(
        |plan| play(plan, Keep::Nothing),
        |plan, report, verdict| {
            if let Verdict::Failed(kind) = verdict {
                enough.store(args.until_failure, Ordering::Relaxed);
                worst = worst.map_or(Some(kind), |worst: FailureKind| Some(worst.min(kind)));
                bar.suspend(|| keep_failure(plan, report, &args.failures));
            }
            bar.inc(1);
        },
        |stuck: Stuck| {
            eprintln!("{stuck}");
            std::process::exit(FailureKind::Liveness as i32);
        },
    );
    bar.finish_and_clear();
    let proves = print::sweep(scenarios, &tallies, cpu_ns() - begun_ns);
    match worst {
        Some(kind) => Err(Ended::Failed(kind)),
        None if !proves => Err(Ended::Failed(FailureKind::Safety)),
        None => Ok(()),
    }
}

fn keep_failure(plan: &Plan, report: &Report, directory: &Path) {
    let Some(failure) = FailureFile::of(plan, report) else { return };
    println!("{} seed {}: {}", plan.scenario.name, plan.seed, failure.failure);
    println!("  {}", print::reproduce(plan));
    let path = directory.join(format!("{}-{}.failure", plan.scenario.name, plan.seed));
    match failure.save(&path) {
        Ok(()) => println!("  cargo sim shrink {}", path.display()),
        Err(error) => println!("  not kept: {error}"),
    }
}

/// Plays every regression; how the worst of them fails.
fn replay_all(regressions: &[(PathBuf, Regression)], play: Play) -> Option<FailureKind> {
    let mut worst = None;
    for (path, regression) in regressions {
        let plan = regression.plan();
        let report = play(&plan, Keep::Nothing);
        if let (Some(failure), Verdict::Failed(kind)) =
            (&report.failure, report.verdict(&plan.scenario.expect))
        {
            println!("{}: {failure}\n  cargo sim replay {}", regression.found, path.display());
            worst = worst.map_or(Some(kind), |worst: FailureKind| Some(worst.min(kind)));
        }
    }
    println!("{} regressions played{}", regressions.len(), if worst.is_some() { ": FAILED" } else { "" });
    worst
}

/// The plan in a failure file or in a regression.
fn plan_of(path: &Path) -> Result<Plan, String> {
    match path.extension().is_some_and(|extension| extension == "toml") {
        true => Regression::load(path).map(|regression| regression.plan()),
        false => FailureFile::load(path).map(|file| file.plan()),
    }
}

fn replay(path: &Path, play: Play) -> Result<(), Ended> {
    let plan = plan_of(path)?;
    let report = play(&plan, Keep::Last(TAIL));
    print::run(&plan, &report);
    if let Ok(file) = FailureFile::load(path) {
        let same = if report.digest == file.digest { "the same run" } else { "the code has changed since" };
        println!("hash {} then: {same}", file.digest);
    }
    match report.verdict(&plan.scenario.expect) {
        Verdict::Failed(kind) => Err(Ended::Failed(kind)),
        Verdict::Passed | Verdict::FailedAsClaimed => Ok(()),
    }
}

fn shrink_file(path: &Path, out: Option<&Path>, play: Play) -> Result<(), Ended> {
    let file = FailureFile::load(path)?;
    let plan = file.plan();
    let Some(failure) = play(&plan, Keep::Nothing).failure.filter(|now| now.is_like(&file.failure)) else {
        return Err(Ended::Usage(format!("{}: does not fail any more as it did", path.display())));
    };
    println!("from {}", size(&plan));
    let small = shrink(
        &plan,
        &failure,
        |plan| play(plan, Keep::Nothing).failure,
        |plan| {
            println!("  to {}", size(plan));
        },
    );
    let report = play(&small, Keep::Last(TAIL));
    print::run(&small, &report);
    let shrunk = FailureFile::of(&small, &report).expect("shrinking keeps the failure");
    let default = path.with_extension("small.failure");
    let out = out.unwrap_or(&default);
    shrunk.save(out)?;
    println!("kept as {}", out.display());
    Ok(())
}

fn explain(cli: &Cli, args: &Explain, play: Play) -> Result<(), Ended> {
    let plan = match (&args.file, args.seed) {
        (Some(file), _) => plan_of(file)?,
        (None, Some(seed)) => Plan::draw(&cli.find(&args.scenario)?, seed),
        (None, None) => unreachable!("the command line requires one of them"),
    };
    let report = play(&plan, Keep::All);
    let ns = |seconds: f64| (seconds * 1e9) as u64;
    for event in &report.trace {
        let is_within = (ns(args.from)..=ns(args.to)).contains(&event.time_ns);
        if is_within && (args.all || event.kind.is_telling()) {
            println!("{event}");
        }
    }
    print::outcome(&plan, &report);
    Ok(())
}

fn golden(scenarios: &[Scenario], bless: bool, path: &Path, play: Play) -> Result<(), Ended> {
    let now = Golden::of(scenarios, play);
    if bless {
        now.save(path)?;
        return Ok(());
    }
    let differences = Golden::load(path)?.differences(&now);
    for difference in &differences {
        println!("{difference}");
    }
    if differences.is_empty() { Ok(()) } else { Err(Ended::Failed(FailureKind::NonDeterminism)) }
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("two numbers with `..` between them")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    let range = number(from)?..number(to)?;
    if range.is_empty() { Err("no seed lies in there".to_owned()) } else { Ok(range) }
}

fn shard(text: &str) -> Result<(u64, u64), String> {
    let (i, n) = text.split_once('/').ok_or("two numbers with `/` between them")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    let (i, n) = (number(i)?, number(n)?);
    if (1..=n).contains(&i) { Ok((i, n)) } else { Err(format!("from 1/{n} to {n}/{n}")) }
}

/// The processor time of this process.
fn cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn ranges_and_shards_are_read_or_refused() {
        assert_eq!(seeds("3..7"), Ok(3..7));
        assert!(seeds("7..3").is_err() && seeds("3").is_err() && seeds("a..b").is_err());
        assert_eq!(shard("2/3"), Ok((2, 3)));
        assert!(shard("0/3").is_err() && shard("4/3").is_err());
    }
}
