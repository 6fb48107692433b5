//! The proof of determinism: two processes run the same seeds and every event is compared, byte by byte; then
//! the last seed runs alone in a third.

use std::collections::VecDeque;
use std::io::{BufReader, BufWriter, Read, Write};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde::{Deserialize, Serialize};

use super::Play;
use crate::run::Plan;
use crate::scenario::Scenario;
use crate::trace::{Keep, TraceEvent};

/// How many events before the first difference are shown.
const CONTEXT: usize = 10;

/// What one process tells the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Frame {
    Begin { scenario: String, seed: u64 },
    Event(TraceEvent),
    End { digest: String },
}

/// Why the comparison ended.
pub(super) enum Ended {
    Usage(String),
    Differs,
}

/// Runs every seed and writes all its events to the standard output.
pub(super) fn write_traces(scenarios: &[Scenario], seeds: &Range<u64>, play: Play) -> Result<(), String> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut write = |frame: &Frame| bincode::serialize_into(&mut out, frame).map_err(|e| e.to_string());
    for seed in seeds.clone() {
        for scenario in scenarios {
            write(&Frame::Begin { scenario: scenario.name.clone(), seed })?;
            let report = play(&Plan::draw(scenario, seed), Keep::All);
            for event in report.trace {
                write(&Frame::Event(event))?;
            }
            write(&Frame::End { digest: report.digest })?;
        }
    }
    out.flush().map_err(|error| error.to_string())
}

/// Compares two processes, and a third that runs the last seed alone.
pub(super) fn compare(scenarios: &Path, seeds: &Range<u64>, scenario: Option<&str>) -> Result<(), Ended> {
    let start = |seeds: &Range<u64>| start(scenarios, seeds, scenario).map_err(Ended::Usage);
    let (mut one, mut other) = (start(seeds)?, start(seeds)?);
    let late = lockstep(&mut one, &mut other)?;
    let mut alone = start(&(seeds.end - 1..seeds.end))?;
    let mut expected = late.iter().filter(|run| run.seed == seeds.end - 1);
    while let Some(run) = alone.next_run().map_err(Ended::Usage)? {
        let late = expected.next().ok_or_else(|| Ended::Usage("a process ran too much".to_owned()))?;
        if run != *late {
            println!("{} seed {} alone: hash {}, late: {}", run.scenario, run.seed, run.digest, late.digest);
            return Err(Ended::Differs);
        }
    }
    let events: u64 = late.iter().map(|run| run.events).sum();
    println!("{} runs twice and {} alone: {events} events, no difference", late.len(), seeds.end - 1);
    Ok(())
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct RunEnd {
    scenario: String,
    seed: u64,
    events: u64,
    digest: String,
}

/// A process that writes traces.
struct Tracer {
    child: Child,
    out: BufReader<Box<dyn Read>>,
}

fn start(scenarios: &Path, seeds: &Range<u64>, scenario: Option<&str>) -> Result<Tracer, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.arg("--scenarios").arg(scenarios).arg("trace");
    command.arg("--seeds").arg(format!("{}..{}", seeds.start, seeds.end));
    if let Some(scenario) = scenario {
        command.args(["--scenario", scenario]);
    }
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
    let out = child.stdout.take().expect("it was asked for");
    Ok(Tracer { child, out: BufReader::new(Box::new(out)) })
}

impl Tracer {
    /// The next frame; `None` at the end.
    fn next(&mut self) -> Result<Option<Frame>, String> {
        match bincode::deserialize_from(&mut self.out) {
            Ok(frame) => Ok(Some(frame)),
            Err(error) => match *error {
                bincode::ErrorKind::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    let status = self.child.wait().map_err(|error| error.to_string())?;
                    if status.success() { Ok(None) } else { Err(format!("a process ended with {status}")) }
                }
                error => Err(error.to_string()),
            },
        }
    }

    fn next_run(&mut self) -> Result<Option<RunEnd>, String> {
        let (mut begun, mut events) = (None, 0);
        while let Some(frame) = self.next()? {
            match frame {
                Frame::Begin { scenario, seed } => begun = Some((scenario, seed)),
                Frame::Event(_) => events += 1,
                Frame::End { digest } => {
                    let (scenario, seed) = begun.ok_or("a run ended that never began")?;
                    return Ok(Some(RunEnd { scenario, seed, events, digest }));
                }
            }
        }
        Ok(None)
    }
}

/// Reads both, frame by frame, until one differs or both end.
fn lockstep(one: &mut Tracer, other: &mut Tracer) -> Result<Vec<RunEnd>, Ended> {
    let mut runs = Vec::new();
    let mut context: VecDeque<TraceEvent> = VecDeque::new();
    let (mut begun, mut events) = ((String::new(), 0), 0);
    loop {
        let (left, right) = (one.next().map_err(Ended::Usage)?, other.next().map_err(Ended::Usage)?);
        if left != right {
            println!("{} seed {}, event {events}: two processes differ; before:", begun.0, begun.1);
            context.iter().for_each(|event| println!("  {event}"));
            println!("one:   {}\nother: {}", shown(left.as_ref()), shown(right.as_ref()));
            let _ = (one.child.kill(), other.child.kill());
            return Err(Ended::Differs);
        }
        match left {
            None => return Ok(runs),
            Some(Frame::Begin { scenario, seed }) => (begun, events) = ((scenario, seed), 0),
            Some(Frame::Event(event)) => {
                events += 1;
                if context.len() == CONTEXT {
                    context.pop_front();
                }
                context.push_back(event);
            }
            Some(Frame::End { digest }) => {
                let (scenario, seed) = begun.clone();
                runs.push(RunEnd { scenario, seed, events, digest });
            }
        }
    }
}

fn shown(frame: Option<&Frame>) -> String {
    match frame {
        None => "nothing more".to_owned(),
        Some(Frame::Event(event)) => format!("{event} ({}, {})", event.a, event.b),
        Some(Frame::Begin { scenario, seed }) => format!("{scenario} seed {seed} begins"),
        Some(Frame::End { digest }) => format!("the end, hash {digest}"),
    }
}
