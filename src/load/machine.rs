//! What the machine still has to give: descriptors, local ports, CPU. Read once a second, and missing where it cannot be read.

use std::fs;
use std::path::PathBuf;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::domain::validity::{Headroom, Validity};

/// Reads the machine; remembers what it needs to tell a second's share from a total.
#[derive(Debug)]
pub(crate) struct Machine {
    /// The file with our control group's CPU statistics.
    cpu_stat: Option<PathBuf>,
    throttled: Option<u64>,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let cpu_stat = cpu_stat_paths(&groups).into_iter().find(|path| path.exists());
        let mut machine = Self { cpu_stat, throttled: None };
        machine.throttled = machine.throttled();
        machine
    }

    /// Adds what can be read now.
    pub(crate) fn fill(&mut self, validity: &mut Validity) {
        validity.descriptors = descriptors();
        validity.ports = ports();
        let now = self.throttled();
        validity.throttled = now.zip(self.throttled).map(|(now, before)| now.saturating_sub(before));
        self.throttled = now;
    }

    fn throttled(&self) -> Option<u64> {
        parse_throttled(&fs::read_to_string(self.cpu_stat.as_ref()?).ok()?)
    }
}

/// Lets this process open as many descriptors as it may: the usual soft limit of 1024 is for programs that use `select`.
pub(crate) fn raise_descriptor_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        // Where it is refused, the headroom that every result tells is the smaller one.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

fn descriptors() -> Option<Headroom> {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // Since Linux 6.2 the size of the directory is the number of descriptors; before, it is zero and they have to be counted.
    let used = match fs::metadata("/proc/self/fd").ok()?.len() {
        0 => fs::read_dir("/proc/self/fd").ok()?.count() as u64,
        size => size,
    };
    Some(Headroom { used, limit })
}

fn ports() -> Option<Headroom> {
    let used = parse_sockets(&fs::read_to_string("/proc/net/sockstat").ok()?)?;
    let limit = parse_port_range(&fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?)?;
    Some(Headroom { used, limit })
}

/// Sockets of this network namespace that hold a port, those in TIME_WAIT included. An upper bound: ports are free again for other addresses.
fn parse_sockets(sockstat: &str) -> Option<u64> {
    let words: Vec<&str> = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"))?.split_whitespace().collect();
    let value = |name: &str| words.chunks_exact(2).find(|pair| pair[0] == name)?[1].parse::<u64>().ok();
    Some(value("inuse")? + value("tw")?)
}

fn parse_port_range(range: &str) -> Option<u64> {
    let mut ends = range.split_whitespace().map(str::parse::<u64>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    Some(last.checked_sub(first)? + 1)
}

/// Where the CPU statistics of our control group may be: as seen from the host, then as seen from inside a container.
fn cpu_stat_paths(groups: &str) -> Vec<PathBuf> {
    let group = |wanted: &dyn Fn(&str) -> bool| {
        let mut fields = groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
        fields.find(|(controllers, _)| wanted(controllers)).map(|(_, path)| path.trim_matches('/').to_owned())
    };
    let mut paths = Vec::new();
    let mut add = |root: &str, group: Option<String>| {
        let inside = group.into_iter().flat_map(|group| [group, String::new()]);
        paths.extend(inside.map(|group| PathBuf::from(root).join(group).join("cpu.stat")));
    };
    let first = group(&|controllers| controllers.split(',').any(|c| c == "cpu"));
    // The controller alone, or with the one that is usually mounted with it.
    add("/sys/fs/cgroup/cpu,cpuacct", first.clone());
    add("/sys/fs/cgroup/cpu", first);
    add("/sys/fs/cgroup", group(&str::is_empty));
    paths
}

/// Microseconds of throttling so far: `throttled_usec` (version 2) or `throttled_time` in nanoseconds (version 1).
fn parse_throttled(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| match line.split_once(' ')? {
        ("throttled_usec", value) => value.trim().parse().ok(),
        ("throttled_time", value) => value.trim().parse::<u64>().ok().map(|nanos| nanos / 1_000),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttling_is_read_from_either_version_of_control_groups() {
        assert_eq!(parse_throttled("usage_usec 5\nnr_throttled 2\nthrottled_usec 1234\n"), Some(1_234));
        assert_eq!(parse_throttled("nr_periods 9\nthrottled_time 5000000\n"), Some(5_000));
        assert_eq!(parse_throttled("usage_usec 5\n"), None, "no limit set");
        let paths = |groups: &str| cpu_stat_paths(groups).into_iter().map(|p| p.display().to_string()).collect::<Vec<_>>();
        assert_eq!(paths("0::/kubepods/a\n"), ["/sys/fs/cgroup/kubepods/a/cpu.stat", "/sys/fs/cgroup/cpu.stat"]);
        let first = "4:memory:/m\n3:cpu,cpuacct:/pods/b\n";
        let at =
            ["/sys/fs/cgroup/cpu,cpuacct/pods/b", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpu/pods/b", "/sys/fs/cgroup/cpu"];
        assert_eq!(paths(first), at.map(|folder| format!("{folder}/cpu.stat")));
    }

    #[test]
    fn ports_in_use_include_those_that_linger() {
        let sockstat = "sockets: used 200\nTCP: inuse 12 orphan 0 tw 30 alloc 14 mem 2\nUDP: inuse 1 mem 0\n";
        assert_eq!(parse_sockets(sockstat), Some(42));
        assert_eq!(parse_port_range("32768\t60999\n"), Some(28_232));
    }

    #[test]
    fn the_limit_of_descriptors_is_raised_to_what_is_allowed() {
        raise_descriptor_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!((limit.current, descriptors().map(|d| d.limit)), (limit.maximum, Some(limit.maximum.unwrap_or(u64::MAX))));
    }

    #[test]
    fn this_machine_can_be_read() {
        let files: Vec<fs::File> = (0..5).map(|_| fs::File::open("/proc/self/stat").unwrap()).collect();
        let mut validity = Validity::default();
        Machine::new().fill(&mut validity);
        let open = validity.descriptors.unwrap();
        assert!(open.used >= 5 + 3 && open.used <= open.limit, "{open:?}");
        assert!(validity.ports.unwrap().limit > 1);
        drop(files);
    }
}
