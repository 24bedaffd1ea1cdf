//! Reading `/proc`: who descends from whom, and what a process uses.

use std::fs;

/// One process, as `/proc/PID/stat` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) zombie: bool,
    /// CPU time of the process and of its children that have ended, in clock ticks.
    pub(crate) ticks: u64,
}

/// All processes there are now. Those that end while we look may be missing.
pub(crate) fn processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(process).collect()
}

/// One process.
pub(crate) fn process(pid: i32) -> Option<Process> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse(stat: &str) -> Option<Process> {
    // The name, in parentheses, may hold anything, parentheses included.
    let (pid, rest) = stat.split_once(" (")?;
    let fields: Vec<&str> = rest.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<i64>().ok();
    let ticks = [14, 15, 16, 17].into_iter().map(number).sum::<Option<i64>>()?;
    Some(Process {
        pid: pid.parse().ok()?,
        parent: i32::try_from(number(4)?).ok()?,
        group: i32::try_from(number(5)?).ok()?,
        zombie: matches!(*fields.first()?, "Z" | "X"),
        ticks: u64::try_from(ticks).unwrap_or(0),
    })
}

/// The processes that descend from `root`, to any depth, without itself. What ends or begins while we look may be missing.
pub(crate) fn descendants(root: i32) -> Vec<i32> {
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        let Some(children) = children(pid) else { continue };
        // A number that comes up twice was reused: it is followed once.
        for child in children.into_iter().filter(|c| *c != root) {
            if !found.contains(&child) {
                found.push(child);
                open.push(child);
            }
        }
    }
    found
}

/// What a process and its descendants use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// CPU time, in clock ticks.
    pub(crate) ticks: u64,
    /// Memory of their own.
    pub(crate) bytes: u64,
}

/// Adds up what a process and its descendants use.
pub(crate) fn usage_of_tree(root: i32) -> Usage {
    let mut usage = Usage::default();
    for pid in std::iter::once(root).chain(descendants(root)) {
        usage.ticks += process(pid).map_or(0, |p| p.ticks);
        usage.bytes += own_bytes(pid);
    }
    usage
}

/// The memory of a process that is not a part of some file: what a memory limit is about.
pub(crate) fn own_bytes(pid: i32) -> u64 {
    let Ok(statm) = fs::read_to_string(format!("/proc/{pid}/statm")) else { return 0 };
    let mut pages = statm.split_ascii_whitespace().skip(1).map_while(|p| p.parse::<u64>().ok());
    let (resident, shared) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
    resident.saturating_sub(shared) * rustix::param::page_size() as u64
}

/// The children of all threads of a process.
fn children(pid: i32) -> Option<Vec<i32>> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let lists = threads.filter_map(|t| fs::read_to_string(t.ok()?.path().join("children")).ok());
    Some(lists.flat_map(|l| l.split_ascii_whitespace().filter_map(|p| p.parse().ok()).collect::<Vec<_>>()).collect())
}

/// Does the environment of a process hold this very `NAME=value`?
pub(crate) fn has_variable(pid: i32, assignment: &str) -> bool {
    fs::read(format!("/proc/{pid}/environ")).is_ok_and(|env| env.split(|b| *b == 0).any(|v| v == assignment.as_bytes()))
}

/// Does the environment of a process hold a variable that begins like this?
pub(crate) fn has_variable_like(pid: i32, beginning: &str) -> bool {
    fs::read(format!("/proc/{pid}/environ")).is_ok_and(|env| env.split(|b| *b == 0).any(|v| v.starts_with(beginning.as_bytes())))
}

/// Has a process a handler for SIGTERM? Without one, the first process of a container does not get it.
pub(crate) fn catches_term(pid: i32) -> bool {
    const SIGTERM: u32 = 15;
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return true };
    let caught = status.lines().find_map(|l| u64::from_str_radix(l.strip_prefix("SigCgt:")?.trim(), 16).ok());
    caught.is_none_or(|mask| mask >> (SIGTERM - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_name_of_the_process() {
        let line = "42 (a) b (c)) S 7 40 40 0 -1 4194560 90 0 0 0 11 5 3 2 20 0 1 0 990 8192 77 18446744073709551615 1 1 0 0";
        let expected = Process { pid: 42, parent: 7, group: 40, zombie: false, ticks: 21 };
        assert_eq!(parse(line), Some(expected));
        assert_eq!((parse(""), parse("1 (x"), parse("1 (x) S 1")), (None, None, None));
    }

    #[test]
    fn this_process_is_there_with_its_parent_and_some_memory() {
        let me = i32::try_from(std::process::id()).unwrap();
        let found = processes().into_iter().find(|p| p.pid == me).unwrap();
        assert_eq!(found.parent, rustix::process::getppid().unwrap().as_raw_pid());
        assert!(!found.zombie && own_bytes(me) > 0 && usage_of_tree(me).bytes > 0, "{found:?}");
        assert!(descendants(found.parent).contains(&me));
    }
}
