use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use shared_events::contract::Timestamp;
use shared_events::metric::{Page, table};

/// What the system says of this process; nothing where it says nothing.
pub(super) fn observe(page: &mut Page, started: Timestamp) {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    if let (Ok(seconds), Ok(nanos)) = (u64::try_from(used.tv_sec), u32::try_from(used.tv_nsec)) {
        table::CPU.is(page, [], Duration::new(seconds, nanos));
    }
    if let Ok(micros) = u64::try_from(started.micros()) {
        table::STARTED.is(page, [], Duration::from_micros(micros));
    }
    if let Some(bytes) = memory() {
        table::MEMORY.is(page, [], bytes);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        table::FILES.is(page, [], files.count());
    }
}

/// The bytes in memory.
fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}
