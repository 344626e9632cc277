//! What a process leaves behind, by which another one on the same machine can see that it is gone.
//! A lease says that of a process that is silent only after a while, because a silent one may still
//! answer from memory; one that is gone surely does not.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

/// Of this process: the start of the machine, the namespace of its process numbers, its user, its
/// number and when it was started. None where the system does not tell.
pub(crate) fn identity() -> Option<String> {
    let (number, started) = (std::process::id(), started("self").ok()?.1);
    Some(format!("{} {number} {started}", place()?))
}

/// Whether the process of this identity is surely gone. False where that cannot be told: it was
/// another machine, another start of it, another container or another user.
pub(crate) fn is_gone(identity: &str) -> bool {
    let mut parts = identity.rsplitn(3, ' ');
    let (Some(then), Some(number), Some(there)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    if place().as_deref() != Some(there) || number.parse::<u32>().is_err() {
        return false;
    }
    match started(number) {
        // A number is given again; a dead process may wait for its parent to look.
        Ok((state, now)) => now != then || matches!(state, 'Z' | 'X'),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// Where process numbers mean the same and are seen.
fn place() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let space = fs::read_link("/proc/self/ns/pid").ok()?;
    let user = fs::metadata("/proc/self").ok()?.uid();
    Some(format!("{} {} {user}", boot.trim(), space.display()))
}

/// The state of a process, and when it was started, in ticks since the machine was.
fn started(process: &str) -> std::io::Result<(char, String)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // Its name may hold anything; the last bracket ends it.
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
    fn only_what_was_here_and_is_no_more_is_gone() {
        let mine = identity().unwrap();
        assert!(!is_gone(&mine));
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let number = child.id().to_string();
        let theirs = format!("{} {number} {}", place().unwrap(), started(&number).unwrap().1);
        assert!(!is_gone(&theirs));
        child.kill().unwrap();
        // Before it is waited for, and afterwards.
        while !is_gone(&theirs) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(is_gone(&theirs));
        // The same number, somebody else.
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
