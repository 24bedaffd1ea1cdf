//! `verifier simulate`: what the judge does with thousands of rollouts in virtual time, as tables.

use std::fmt::Write;

use super::args::{Format, SimulateArgs};
use super::output::{complain, print, say};
use super::sandbox::draw;
use crate::clock::Clock;
use crate::domain::display::{count, span};
use crate::domain::time::At;
use crate::exit::Exit;
use crate::simulate::Simulation;
use crate::simulate::delay::{Cell, DelayRow, cells};
use crate::simulate::healthy::{HealthyRow, Library};
use crate::simulate::world::{HEALTHY, World};

/// Rollouts of each healthy world, and of each broken one, when it is not said.
const ROLLOUTS: (u64, u64) = (10_000, 2_000);
/// Rollouts recorded of each kind of Deployment, at most.
const TRACES: u64 = 200;

/// A row by its name on the command line.
enum Row {
    Healthy(Box<World>),
    Broken(Cell),
}

impl Row {
    fn all() -> Vec<(String, Self)> {
        let healthy = HEALTHY.into_iter().map(|w| (format!("healthy/{}", w.name), Self::Healthy(Box::new(w))));
        let broken = cells().into_iter().map(|c| (format!("broken/{}", c.name()), Self::Broken(c)));
        healthy.chain(broken).collect()
    }
}

pub(super) fn main(args: &SimulateArgs) -> Exit {
    let seed = match args.seed.map_or_else(draw, Ok) {
        Ok(seed) => seed,
        Err(message) => return complain(&message, Exit::Unreachable),
    };
    let mut rows = Row::all();
    if let Some(only) = &args.only {
        let names: Vec<String> = rows.iter().map(|(name, _)| name.clone()).collect();
        rows.retain(|(name, _)| name.contains(only.as_str()));
        if rows.is_empty() {
            return complain(&format!("no row is named like `{only}`; there are {}", names.join(", ")), Exit::Usage);
        }
    }
    say(&format!("seed {seed}"));
    let simulation = match play(rows, args.rollouts, seed, &mut |line| say(&line)) {
        Ok(simulation) => simulation,
        Err(message) => return complain(&message, Exit::Inconclusive),
    };
    let printed = match args.output {
        Format::Text => print(&text(&simulation)),
        Format::Json => match serde_json::to_string_pretty(&simulation) {
            Ok(text) => print(&(text + "\n")),
            Err(error) => complain(&format!("could not write the tables: {error}"), Exit::Usage),
        },
    };
    let broken = simulation.broken_promises();
    for promise in &broken {
        say(&format!("not as promised: {promise}"));
    }
    if printed == Exit::Pass && !broken.is_empty() { Exit::Breach } else { printed }
}

/// Plays the rows, and tells of each and of the whole how long it took.
fn play(rows: Vec<(String, Row)>, rollouts: Option<u64>, seed: u64, tell: &mut dyn FnMut(String)) -> Result<Simulation, String> {
    let clock = Clock::start();
    let mut library = Library::default();
    let mut simulation = Simulation { seed, ..Simulation::default() };
    let (mut played, mut requests) = (0, 0);
    let total = rows.len();
    for (i, (name, row)) in rows.into_iter().enumerate() {
        let before = clock.now();
        let recorded = library.recorded();
        let mut recording = At::ZERO;
        let (rollouts, judged) = match row {
            Row::Healthy(world) => {
                let n = rollouts.unwrap_or(ROLLOUTS.0);
                let needed = usize::try_from(n.min(TRACES)).unwrap_or(usize::MAX);
                let traces = library.of(world.fleet, needed, seed).map_err(|e| format!("a rollout could not be recorded: {e}"))?;
                recording = At::ZERO + clock.now().since(before);
                simulation.false_stops.push(HealthyRow::play(&world, traces, n, seed));
                (n, simulation.false_stops.last().map_or(0, |row| row.requests))
            }
            Row::Broken(cell) => {
                let n = rollouts.unwrap_or(ROLLOUTS.1);
                simulation.delays.push(cell.play(n, seed));
                // Once for the one monitor and once for the panel.
                (2 * n, simulation.delays.last().map_or(0, |row| row.requests))
            }
        };
        played += rollouts;
        requests += judged;
        let took = clock.now().since(before);
        let new = library.recorded() - recorded;
        let recorded = if new > 0 { format!(", {new} recorded in {}", span(recording.since(At::ZERO))) } else { String::new() };
        tell(format!("[{}/{total}] {name}: {} rollouts in {}{recorded}", i + 1, count(rollouts), span(took)));
    }
    let seconds = clock.now().seconds().max(1e-3);
    tell(format!(
        "{} rollouts and {} requests in {}: {} rollouts a minute, {} requests a second, on one core",
        count(played),
        count(requests),
        span(clock.now().since(At::ZERO)),
        rounded(played as f64 * 60.0 / seconds),
        rounded(requests as f64 / seconds)
    ));
    Ok(simulation)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and rounded on purpose")]
fn rounded(x: f64) -> String {
    count(x as u64)
}

fn text(simulation: &Simulation) -> String {
    let mut text = String::new();
    if !simulation.false_stops.is_empty() {
        text += "Healthy rollouts under availability >= 99%, and how many of them were stopped\n";
        text += &table(&HEALTHY_HEAD, simulation.false_stops.iter().map(healthy));
        text += "  healthy: expected failures stay within what is tolerated; at most: of healthy ones, with 95 % confidence (Clopper-Pearson)\n";
    }
    if !simulation.delays.is_empty() {
        let gap = if text.is_empty() { "" } else { "\n" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{gap}Broken rollouts, and how long it took to stop them, in seconds");
        text += &table(&DELAY_HEAD, simulation.delays.iter().map(delay));
        text += "  names: requests/s, share of the new version, what fails, in percent; bound: no such test has a lower mean; a slice is 0.1 s\n";
    }
    text
}

const HEALTHY_HEAD: [&str; 11] =
    ["world", "rollouts", "healthy", "stopped", "at most", "others stopped", "budget", "open", "passed", "after", "what"];

fn healthy(row: &HealthyRow) -> [String; 11] {
    [
        row.name.clone(),
        count(row.rollouts),
        count(row.healthy),
        count(row.false_stops),
        format!("{:.3} %", row.false_stops_at_most * 100.0),
        count(row.other_stops),
        count(row.over_budget),
        count(row.open),
        count(row.passed),
        if row.passed > 0 { format!("{:.0} s", row.pass_after.mean) } else { String::new() },
        row.about.clone(),
    ]
}

const DELAY_HEAD: [&str; 11] =
    ["rollout", "monitor", "mean", "+-", "median", "bound", "times", "q95", "its bound", "without bursts", "all six"];

fn delay(row: &DelayRow) -> [String; 11] {
    let missed = if row.missed > 0 { format!(" ({} missed)", row.missed) } else { String::new() };
    [
        row.name.clone(),
        format!("{}{missed}", row.monitor),
        digits(row.delay.mean),
        digits(row.delay.error),
        digits(row.delay.median),
        digits(row.bound),
        format!("{:.2}", row.times_the_bound),
        digits(row.delay.q95),
        row.bound_q95.map(digits).unwrap_or_default(),
        digits(row.bound_without_bursts),
        digits(row.panel),
    ]
}

/// Three digits, or what is left of them behind the point.
fn digits(x: f64) -> String {
    match x {
        x if x < 1.0 => format!("{x:.3}"),
        x if x < 10.0 => format!("{x:.2}"),
        x if x < 100.0 => format!("{x:.1}"),
        x => format!("{x:.0}"),
    }
}

/// Columns that line up: words to the left, figures to the right.
fn table<const N: usize>(head: &[&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let is_figure = |cell: &String| cell.is_empty() || cell.starts_with(|c: char| c.is_ascii_digit());
    let mut text = String::new();
    for row in &rows {
        let mut line = String::from(" ");
        for (column, cell) in row.iter().enumerate() {
            let width = rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
            let figures = column > 0 && rows.iter().skip(1).all(|r| is_figure(&r[column]));
            let padded = if figures { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
            line += " ";
            line += &padded;
            line += if column + 1 < N { " " } else { "" };
        }
        text += line.trim_end();
        text += "\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tables_line_up() {
        let rows = Row::all().into_iter().filter(|(name, _)| name == "healthy/quiet" || name == "broken/new/1000/50/100");
        let mut told = Vec::new();
        let simulation = play(rows.collect(), Some(3), 1, &mut |line| told.push(line)).unwrap();
        assert!(told.len() == 3 && told[0].starts_with("[1/2] healthy/quiet: 3 rollouts in "), "{told:?}");
        let text = text(&simulation);
        let wanted = [
            "  world  rollouts  healthy  stopped   at most  others stopped  budget  open  passed  after  what\n",
            "  quiet         3        3        0  63.160 %               0       0     0       3",
            "  new/1000/50/100  availability.new  0.2",
        ];
        for line in wanted {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
        assert_eq!(simulation.broken_promises(), Vec::<String>::new());
    }

    #[test]
    fn digits_are_three() {
        assert_eq!([0.123_45, 1.234_5, 12.345, 1_234.5].map(digits), ["0.123", "1.23", "12.3", "1234"]);
    }
}
