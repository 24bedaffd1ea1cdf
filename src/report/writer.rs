//! The one thread that writes to the terminal or the pipe. Those who report hand it text and never wait: of frames only the latest is
//! kept, of lines a bounded number, and the lines lost are counted and told. Only the last text is waited for, and not for ever.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Lines that may wait for a slow reader; at a line a second, some minutes.
const MAX_LINES: usize = 256;
/// Written at once: a pipe that polls as writable takes this much without blocking.
const CHUNK: usize = 1_024;
/// How often a writer that cannot write looks whether it shall give up.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
/// How long a writer that was told to give up may take to notice.
const NOTICE: Duration = Duration::from_millis(500);

/// A handle on the writing thread. When it is dropped, the thread ends without finishing.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Shall the thread leave everything and end? Set under the lock, so that no wait misses it; read without it while writing.
    cancelled: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    frame: Option<Vec<String>>,
    lines: VecDeque<String>,
    lost: u64,
    last: Option<String>,
    /// No more will come.
    closing: bool,
    /// The thread has ended.
    over: bool,
    /// All that was handed over has been written.
    delivered: bool,
}

/// What to write next.
#[derive(Debug, PartialEq, Eq)]
enum Job {
    /// In place of the frame before it.
    Frame(Vec<String>),
    /// For good, in place of the frame.
    Text(String),
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(fd: OwnedFd) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("output".into()).spawn(move || own.run(&fd))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Shows a frame, unless a later one comes before there is time for it.
    pub(super) fn frame(&self, lines: Vec<String>) {
        self.shared.lock().frame = Some(lines);
        self.shared.changed.notify_all();
    }

    /// Writes a line, unless too many wait already.
    pub(super) fn line(&self, line: String) {
        let mut state = self.shared.lock();
        if state.lines.len() < MAX_LINES {
            state.lines.push_back(line);
        } else {
            state.lost += 1;
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Writes what still waits and then `text`, and ends the thread; gives up when that takes longer than `within`. Was all written?
    pub(super) fn finish(&mut self, text: String, within: Duration) -> bool {
        let mut state = self.shared.lock();
        state.frame = None;
        state.last = Some(text);
        state.closing = true;
        drop(state);
        self.shared.changed.notify_all();
        self.shared.wait_until_over(within);
        self.end();
        self.shared.lock().delivered
    }

    /// Ends the thread. One that the system holds in a write (a terminal that was stopped) is left behind, and ends with the process.
    fn end(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        let state = self.shared.lock();
        self.shared.cancelled.store(true, Ordering::Relaxed);
        drop(state);
        self.shared.changed.notify_all();
        if self.shared.wait_until_over(NOTICE) {
            // It has nothing left to do but to return; a panic in it has been printed already.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn wait_until_over(&self, within: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), within, |s| !s.over);
        waited.unwrap_or_else(PoisonError::into_inner).0.over
    }

    /// The thread's whole life.
    fn run(&self, fd: &OwnedFd) {
        let mut drawn = 0;
        let mut written = true;
        while let Some(job) = self.next() {
            written = self.write(fd, job.bytes(&mut drawn).as_bytes());
            if !written {
                break;
            }
        }
        let mut state = self.lock();
        state.delivered = written && state.last.is_none() && state.lines.is_empty();
        state.over = true;
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for something to write; nothing when all is written and no more comes, or when the thread shall end.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if self.is_cancelled() {
                return None;
            }
            if let Some(job) = state.take() {
                return Some(job);
            }
            if state.closing {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writes all, without ever being held up by a full pipe once it was cancelled.
    fn write(&self, fd: &OwnedFd, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let mut polled = [PollFd::new(fd, PollFlags::OUT)];
            let ready = match poll(&mut polled, Some(&PATIENCE)) {
                Ok(n) => n > 0,
                Err(Errno::INTR) => false,
                Err(_) => return false,
            };
            if self.is_cancelled() {
                return false;
            }
            if !ready {
                continue;
            }
            match rustix::io::write(fd, &bytes[..bytes.len().min(CHUNK)]) {
                Ok(n) => bytes = &bytes[n..],
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => return false,
            }
        }
        true
    }
}

impl State {
    fn take(&mut self) -> Option<Job> {
        if !self.lines.is_empty() {
            let mut text: String = self.lines.drain(..).flat_map(|l| [l, "\n".into()]).collect();
            if self.lost > 0 {
                // Writing into a string cannot fail.
                let _ = writeln!(text, "({} lines are missing here: the output was read too slowly)", self.lost);
                self.lost = 0;
            }
            return Some(Job::Text(text));
        }
        self.last.take().map(Job::Text).or_else(|| self.frame.take().map(Job::Frame))
    }
}

impl Job {
    /// What to send to the terminal, on which `drawn` lines of a frame stand above the cursor.
    fn bytes(&self, drawn: &mut usize) -> String {
        let mut bytes = if *drawn > 0 { format!("\r\x1b[{drawn}A") } else { String::new() };
        match self {
            Self::Frame(lines) => {
                // Lines do not wrap while they are drawn: the terminal may have become narrower meanwhile.
                bytes.push_str("\x1b[?7l");
                for line in lines {
                    bytes.extend([line, "\x1b[K\r\n"]);
                }
                bytes.push_str("\x1b[J\x1b[?7h");
                *drawn = lines.len();
            }
            Self::Text(text) => {
                if *drawn > 0 {
                    bytes.push_str("\x1b[J");
                }
                bytes.push_str(text);
                *drawn = 0;
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn pipe() -> (std::fs::File, OwnedFd) {
        let (read, write) = rustix::pipe::pipe().unwrap();
        (read.into(), write)
    }

    fn all(mut read: std::fs::File) -> String {
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn lines_and_the_last_text_arrive_in_order_and_the_thread_ends() {
        let (read, write) = pipe();
        let mut writer = Writer::start(write).unwrap();
        writer.line("one".into());
        writer.line("two".into());
        assert!(writer.finish("end\n".into(), Duration::from_secs(5)));
        assert_eq!(all(read), "one\ntwo\nend\n");
    }

    #[test]
    fn a_reader_that_does_not_read_holds_nobody_up_and_leaves_no_thread() {
        let (read, write) = pipe();
        rustix::pipe::fcntl_setpipe_size(&write, 4_096).unwrap();
        let mut writer = Writer::start(write).unwrap();
        for i in 0..20_000 {
            writer.line(format!("line {i} {}", "x".repeat(100)));
            writer.frame(vec!["frame".into()]);
        }
        assert!(writer.shared.lock().lines.len() <= MAX_LINES);
        assert!(!writer.finish("end\n".into(), Duration::from_millis(100)));
        assert!(writer.shared.lock().over, "the thread noticed");
        drop(writer);
        assert!(all(read).starts_with("line 0 "));
    }

    #[test]
    fn a_reader_that_reads_again_is_told_what_it_missed_and_gets_the_end() {
        let (read, write) = pipe();
        rustix::pipe::fcntl_setpipe_size(&write, 4_096).unwrap();
        let mut writer = Writer::start(write).unwrap();
        (0..2_000).for_each(|i| writer.line(format!("line {i} {}", "x".repeat(100))));
        let reader = std::thread::spawn(move || all(read));
        assert!(writer.finish("end\n".into(), Duration::from_secs(5)));
        let text = reader.join().unwrap();
        let told: u64 = text.lines().filter_map(|l| l.strip_prefix('(')?.split(' ').next()?.parse::<u64>().ok()).sum();
        let shown = text.lines().filter(|l| l.starts_with("line ")).count() as u64;
        assert_eq!((told + shown, text.ends_with("\nend\n")), (2_000, true));
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure_of_the_run() {
        let (read, write) = pipe();
        drop(read);
        let mut writer = Writer::start(write).unwrap();
        writer.line("one".into());
        assert!(!writer.finish("end\n".into(), Duration::from_secs(5)));
    }

    #[test]
    fn a_frame_is_drawn_over_the_one_before_it_and_removed_for_good_text() {
        let mut drawn = 0;
        let frame = |n: usize| Job::Frame((0..n).map(|i| format!("l{i}")).collect());
        assert_eq!(frame(2).bytes(&mut drawn), "\x1b[?7ll0\x1b[K\r\nl1\x1b[K\r\n\x1b[J\x1b[?7h");
        assert_eq!(frame(1).bytes(&mut drawn), "\r\x1b[2A\x1b[?7ll0\x1b[K\r\n\x1b[J\x1b[?7h");
        assert_eq!(Job::Text("end\n".into()).bytes(&mut drawn), "\r\x1b[1A\x1b[Jend\n");
        assert_eq!(Job::Text("more\n".into()).bytes(&mut drawn), "more\n");
    }
}
