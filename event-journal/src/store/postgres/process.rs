//! The identity of a process, by which another one on the same machine can see that it has ended. A
//! lease shows that of a silent process only after a while, because it may still answer from
//! memory; a process that has ended certainly does not.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

/// The identity of this process: the boot of the machine, the namespace of process numbers, the
/// user, its number and its start time. None where the system does not provide them.
pub(crate) fn identity() -> Option<String> {
    let (number, started) = (std::process::id(), started("self").ok()?.1);
    Some(format!("{} {number} {started}", namespace()?))
}

/// Whether the process of this identity has certainly ended. False where that is not known: another
/// machine, another boot of it, another container or another user.
pub(crate) fn is_gone(identity: &str) -> bool {
    let mut parts = identity.rsplitn(3, ' ');
    let (Some(then), Some(number), Some(there)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    if namespace().as_deref() != Some(there) || number.parse::<u32>().is_err() {
        return false;
    }
    match started(number) {
        // A number is reused; a dead process may wait for its parent to reap it.
        Ok((state, now)) => now != then || matches!(state, 'Z' | 'X'),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// The scope in which process numbers mean the same and are visible.
fn namespace() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let space = fs::read_link("/proc/self/ns/pid").ok()?;
    let user = fs::metadata("/proc/self").ok()?.uid();
    Some(format!("{} {} {user}", boot.trim(), space.display()))
}

/// The state of a process, and its start time, in ticks since the boot of the machine.
fn started(process: &str) -> std::io::Result<(char, String)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // Its name may hold any character; the last bracket ends it.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let state = fields.first().and_then(|state| state.chars().next());
    match (state, fields.get(19)) {
        (Some(state), Some(started)) => Ok((state, (*started).to_owned())),
        _ => Err(std::io::Error::other("not the fields of a process")),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_counts_as_gone_only_where_that_is_certain() {
        let mine = identity().unwrap();
        assert!(!is_gone(&mine));
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let number = child.id().to_string();
        let theirs = format!("{} {number} {}", namespace().unwrap(), started(&number).unwrap().1);
        assert!(!is_gone(&theirs));
        child.kill().unwrap();
        // Before it is reaped, and afterwards.
        while !is_gone(&theirs) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(is_gone(&theirs));
        // The same number, another process.
        let parts: Vec<&str> = mine.split(' ').collect();
        let older = [&parts[..parts.len() - 1], &["1"]].concat().join(" ");
        assert!(is_gone(&older));
        for changed in 0..3 {
            let mut elsewhere: Vec<&str> = theirs.split(' ').collect();
            elsewhere[changed] = "other";
            assert!(!is_gone(&elsewhere.join(" ")), "{elsewhere:?}");
        }
        assert!(!is_gone("") && !is_gone("one two three"));
    }
}
