//! What the system says of a process: CPU time and resident memory, from `/proc` (Linux).

use std::fs;
use std::time::Duration;

/// CPU time of all threads so far, to the nanosecond (`/proc/PID/task/*/schedstat`, first field).
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let mut total = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the listing and the read; its time is then lost to both ends of a round.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else {
            continue;
        };
        let nanos: u64 = text.split_whitespace().next().unwrap_or("0").parse()?;
        total += Duration::from_nanos(nanos);
    }
    Ok(total)
}

/// Resident memory in KiB (`VmRSS`).
pub(crate) fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    Ok(number
        .ok_or_else(|| anyhow::anyhow!("no VmRSS for process {pid}"))?
        .parse()?)
}
