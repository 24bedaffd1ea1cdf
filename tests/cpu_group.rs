//! A control group whose processes get a tenth of a processor together. Made where `build.rs` has found that it can be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Pid;

/// Microseconds of each tenth of a second.
const SHARE: u32 = 10_000;
const PERIOD: u32 = 100_000;

/// See the top of the file. Gone when dropped; no process may be in it then.
pub(crate) struct CpuGroup(PathBuf);

impl CpuGroup {
    pub(crate) fn tenth() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("verifier-test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let first = Path::new("/sys/fs/cgroup/cpu");
        if first.exists() {
            let group = Self::new(first.join(name));
            group.set("cpu.cfs_period_us", &PERIOD.to_string());
            group.set("cpu.cfs_quota_us", &SHARE.to_string());
            group
        } else {
            let group = Self::new(Path::new("/sys/fs/cgroup").join(name));
            group.set("cpu.max", &format!("{SHARE} {PERIOD}"));
            group
        }
    }

    /// The process gets no more from now on than its share.
    pub(crate) fn enter(&self, pid: Pid) {
        self.set("cgroup.procs", &pid.as_raw_nonzero().to_string());
    }

    /// A program that has no more from its beginning on; its arguments are to be added.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("sh");
        let script = r#"echo $$ >"$0" && exec "$@""#;
        command.args(["-c", script]).arg(self.0.join("cgroup.procs")).arg(program);
        command
    }

    /// In how many periods the share was used up.
    pub(crate) fn throttled(&self) -> u64 {
        let stat = fs::read_to_string(self.0.join("cpu.stat")).unwrap();
        let value = stat.lines().find_map(|line| line.strip_prefix("nr_throttled ")).unwrap();
        value.trim().parse().unwrap()
    }

    fn new(path: PathBuf) -> Self {
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn set(&self, file: &str, value: &str) {
        fs::write(self.0.join(file), value).unwrap_or_else(|e| panic!("{}: {e}", self.0.join(file).display()));
    }
}

impl Drop for CpuGroup {
    fn drop(&mut self) {
        // A test that failed may leave a process for a moment, and with it an empty group for good.
        let _ = fs::remove_dir(&self.0);
    }
}
