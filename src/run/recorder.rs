//! Writes the event stream as JSON lines while it happens. A crash loses only the tail; a full disk costs the recording, never the run.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::Clock;
use crate::domain::event::Event;

/// Events that wait to be written; when a disk is so slow that more wait, events are dropped and the recording says so by ending there.
const QUEUE: usize = 16_384;
/// Lines are handed to the system at least this often.
const FLUSH: Duration = Duration::from_millis(500);

/// Writes on a thread of its own, so that a slow disk delays nothing.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    lines: Option<SyncSender<String>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Recorder {
    /// Creates (or empties) the file.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        let (lines, queue) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new().name("recorder".into()).spawn(move || write(file, &queue))?;
        Ok(Self { path: path.into(), lines: Some(lines), thread: Some(thread) })
    }

    /// Where it writes.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes an event. Answers with the reason when recording has just ended early.
    pub fn record(&mut self, event: &Event) -> Option<String> {
        let lines = self.lines.as_ref()?;
        let line = match serde_json::to_string(event) {
            Ok(line) => line,
            // A recording with a hole in it would be judged differently.
            Err(error) => return Some(self.give_up(&format!("an event cannot be written: {error}"))),
        };
        match lines.try_send(line) {
            Ok(()) => None,
            Err(TrySendError::Full(_)) => Some(self.give_up("the disk is too slow")),
            Err(TrySendError::Disconnected(_)) => Some(self.give_up("the file could not be written")),
        }
    }

    fn give_up(&mut self, why: &str) -> String {
        let path = self.path.display().to_string();
        match self.finish() {
            Err(error) => format!("recording to {path} ended early: {error}"),
            Ok(()) => format!("recording to {path} ended early: {why}"),
        }
    }

    /// Writes what is left. The error is the first one that the file met.
    pub fn finish(&mut self) -> io::Result<()> {
        self.lines = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(io::Error::other("the recorder's thread panicked")),
            None => Ok(()),
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        drop(self.finish());
    }
}

/// Writes lines until no more come. A stream of events that never pauses is handed to the system as often as one that does.
fn write(out: impl Write, queue: &Receiver<String>) -> io::Result<()> {
    let (mut out, clock) = (BufWriter::new(out), Clock::start());
    let mut flush_at = clock.now() + FLUSH;
    loop {
        match queue.recv_timeout(clock.until(flush_at)) {
            Ok(line) => {
                out.write_all(line.as_bytes())?;
                out.write_all(b"\n")?;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return out.flush(),
        }
        if clock.now() >= flush_at {
            out.flush()?;
            flush_at = clock.now() + FLUSH;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::What;
    use crate::domain::time::At;

    fn tick(n: u64) -> Event {
        Event { at: At(n), what: What::Tick }
    }

    #[test]
    fn events_become_lines_that_read_back() {
        let path = std::env::temp_dir().join(format!("verifier-recorder-{}.jsonl", std::process::id()));
        let mut recorder = Recorder::create(&path).unwrap();
        for n in 0..1_000 {
            assert_eq!(recorder.record(&tick(n)), None);
        }
        recorder.finish().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let back: Vec<Event> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(back, (0..1_000).map(tick).collect::<Vec<_>>());
    }

    /// Tells of each write that reaches it, with how many lines it carries.
    struct Told(std::sync::mpsc::Sender<usize>);

    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let lines = bytes.iter().filter(|b| **b == b'\n').count();
            self.0.send(lines).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_handed_on_while_more_of_them_come_without_a_pause() {
        let (lines, queue) = sync_channel::<String>(1);
        let (told, writes) = std::sync::mpsc::channel();
        let writer = std::thread::spawn(move || write(Told(told), &queue));
        // Each line comes well before the time to flush has passed, and all of them together fit into the buffer.
        let clock = Clock::start();
        let (mut sent, deadline) = (0, clock.now() + FLUSH * 20);
        let first = loop {
            assert!(clock.now() < deadline, "{sent} lines were sent and none was handed on");
            assert!(sent < 4_000, "the buffer is full: nothing is shown by a write now");
            lines.send("x".into()).unwrap();
            sent += 1;
            if let Ok(written) = writes.recv_timeout(FLUSH / 50) {
                break written;
            }
        };
        drop(lines);
        writer.join().unwrap().unwrap();
        assert!((1..=sent).contains(&first), "{first} of {sent}");
        assert_eq!(first + writes.iter().sum::<usize>(), sent);
    }

    #[test]
    fn a_full_disk_ends_the_recording_once_and_nothing_else() {
        let mut recorder = Recorder::create(Path::new("/dev/full")).unwrap();
        let deadline = 2_000_000;
        let first = (0..deadline).find_map(|n| recorder.record(&tick(n))).expect("a full disk must be noticed");
        assert!(first.starts_with("recording to /dev/full ended early:"), "{first}");
        assert_eq!(recorder.record(&tick(0)), None, "said once");
    }
}
