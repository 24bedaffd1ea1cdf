use std::fs::File as Pipe;
use std::io::Read;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::*;
use crate::domain::fixtures::{breach, fold, healthy, until};
use crate::domain::summary::{Admission, AdmissionBasis, Seconds};
use crate::domain::time::At;

const COLUMNS: u16 = 132;
const ROWS: u16 = 60;

fn look(live: bool) -> Look {
    Look { colour: live, unicode: true, live }
}

fn told(reporter: &mut dyn Reporter, events: &[Event], from: At) {
    for (i, event) in events.iter().enumerate().filter(|(_, e)| e.at >= from) {
        reporter.event(event, &fold(&events[..=i]));
    }
}

/// So many pods that were let in after 1.2 s on 25 good answers.
pub(super) fn admitted(pods: usize) -> Vec<Admission> {
    let one = |n| Admission {
        pod: format!("backend-{n}"),
        revision: "b-1".into(),
        basis: AdmissionBasis::Evidence,
        answers: 25,
        bad: 0,
        containers_ready_s: Seconds(At(1_000_000)),
        opened_s: Some(Seconds(At(2_200_000))),
    };
    (0..pods).map(one).collect()
}

/// Both ends of a terminal: ours, which sees what is drawn, and the program's.
fn terminal() -> (Pipe, OwnedFd) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    tcsetwinsize(&theirs, Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    (ours.into(), theirs)
}

/// Reads until the screen shows `wanted`, at most five seconds.
fn read_until(from: &mut Pipe, screen: &mut Screen, wanted: &str) {
    let mut bytes = [0; 4_096];
    for _ in 0..100 {
        if screen.text().contains(wanted) {
            return;
        }
        let mut polled = [PollFd::from_borrowed_fd(from.as_fd(), PollFlags::IN)];
        if poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 50_000_000 })).unwrap() > 0 {
            let n = from.read(&mut bytes).unwrap();
            screen.take(&bytes[..n]);
        }
    }
    panic!("`{wanted}` never came; the screen shows\n{}", screen.text());
}

/// As much of a terminal as is written for.
#[derive(Default)]
struct Screen {
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
    bytes: Vec<u8>,
    frames: usize,
}

impl Screen {
    fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.bytes) {
            Ok(text) => text.len(),
            Err(e) => e.valid_up_to(),
        };
        // A sequence that is not all there waits for the rest of it.
        let end = self.bytes[..whole].iter().rposition(|b| *b == 0x1b).filter(|at| {
            let rest = &self.bytes[at + 1..whole];
            !rest.iter().skip(1).any(u8::is_ascii_alphabetic)
        });
        let text = String::from_utf8(self.bytes.drain(..end.unwrap_or(whole)).collect()).unwrap();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\r' => self.column = 0,
                '\n' => self.row += 1,
                '\x1b' => {
                    assert_eq!(chars.next(), Some('['));
                    let mut digits = String::new();
                    let command = loop {
                        match chars.next().unwrap() {
                            c if c.is_ascii_alphabetic() => break c,
                            c => digits.push(c),
                        }
                    };
                    self.control(&digits, command);
                }
                c => {
                    assert!(!c.is_control());
                    let column = self.column;
                    let row = self.cell_row();
                    row.resize(row.len().max(column + 1), ' ');
                    row[column] = c;
                    self.column += 1;
                }
            }
        }
    }

    fn control(&mut self, digits: &str, command: char) {
        match (digits, command) {
            (n, 'A') => self.row -= n.parse::<usize>().unwrap(),
            ("", 'K') => {
                let column = self.column;
                self.cell_row().truncate(column);
            }
            ("", 'J') => {
                self.rows.truncate(self.row + 1);
                let column = self.column;
                self.cell_row().truncate(column);
            }
            ("?7", 'l') => self.frames += 1,
            ("?7", 'h') | (_, 'm') => {}
            other => panic!("unknown sequence {other:?}"),
        }
    }

    fn cell_row(&mut self) -> &mut Vec<char> {
        if self.rows.len() <= self.row {
            self.rows.resize(self.row + 1, Vec::new());
        }
        &mut self.rows[self.row]
    }

    fn text(&self) -> String {
        self.rows.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned() + "\n").collect()
    }
}

#[test]
fn a_terminal_shows_frames_and_in_the_end_only_the_summary() {
    let (mut ours, theirs) = terminal();
    let mut reporter = start(Output { fd: theirs, look: look(true), columns: None, view: View::Run, files: Vec::new() }).unwrap();
    let events = healthy();
    let mut screen = Screen::default();
    told(&mut *reporter, until(&events, 20), At::ZERO);
    read_until(&mut ours, &mut screen, "measuring before the change");
    told(&mut *reporter, until(&events, 50), At(2_100_000));
    read_until(&mut ours, &mut screen, "replacing");
    told(&mut *reporter, &events, At(5_100_000));
    let summary = Summary::of(&fold(&events));
    let ending = std::thread::spawn(move || reporter.finish(&summary));
    read_until(&mut ours, &mut screen, "Run it again  verifier run --scenario rolling-update --seed 42\n");
    ending.join().unwrap();
    assert!(screen.frames >= 2, "{} frames", screen.frames);
    let expected = text::summary(&Summary::of(&fold(&events)), Look { colour: false, ..look(true) }, &[]);
    assert_eq!(screen.text().trim_end(), expected.trim_end());
}

#[test]
fn a_pipe_gets_a_line_for_each_change_and_then_the_summary() {
    let (read, write) = rustix::pipe::pipe().unwrap();
    let mut reporter = start(Output { fd: write, look: look(false), columns: None, view: View::Run, files: Vec::new() }).unwrap();
    let events = breach();
    let reader = std::thread::spawn(move || std::io::read_to_string(Pipe::from(read)).unwrap());
    told(&mut *reporter, &events, At::ZERO);
    reporter.finish(&Summary::of(&fold(&events)));
    drop(reporter);
    let text = reader.join().unwrap();
    let (log, summary) = text.split_once("\n\n").unwrap();
    assert_eq!(format!("{log}\n"), include_str!("golden/breach.log"));
    assert_eq!(summary, text::summary(&Summary::of(&fold(&events)), look(false), &[]));
}
