use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::lab::cluster;

/// The processes of a cluster by their names; order nodes come first.
pub(super) static SERVICES: LazyLock<Vec<&str>> =
    LazyLock::new(|| cluster::processes().map(|(_, process)| process.name).collect());

/// The process of this name; the first one where there is none.
fn service(name: &str) -> usize {
    SERVICES.iter().position(|one| *one == name).unwrap_or_default()
}

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// kill -9 of these services, together.
    Kill(Vec<usize>),
    /// kill -9 of the database server.
    KillPostgres,
    /// kill -9 of Redis, which comes back empty.
    KillRedis,
    /// FLUSHALL.
    EmptyRedis,
    /// SIGSTOP of a service.
    Freeze(usize),
    /// SIGSTOP of Redis.
    FreezeRedis,
    /// A service's connections to the database are cut, and new ones are refused.
    CutPostgres(usize),
    /// Traffic between a service and the database stops, without an error.
    SilencePostgres(usize),
    /// Traffic between a service and the database is slow.
    SlowPostgres(usize),
    /// A service's connections to Redis are cut.
    CutRedis(usize),
    /// SIGTERM to a service, as in a rolling deploy.
    Restart(usize),
    /// A service's clock is set forward or back.
    SetClock { service: usize, hours: i64 },
    /// The database's disk is full.
    FillDisk,
    /// An operator moves a shard.
    Move { shard: u16, to: usize },
    /// A second process starts under an order node's name, as a deploy that does not wait does.
    Twin(usize),
    /// The clock of the database servers is set forward or back. Where that is not possible, their
    /// leases are moved instead.
    StepDatabaseClock { seconds: i64 },
    /// The database server fails over to a standby that lagged: what was committed meanwhile is
    /// lost.
    LoseTail,
    /// One service's database is restored from a copy; the others are not.
    Restore(usize),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |nth: &usize| SERVICES.get(*nth).copied().unwrap_or("?");
        match self {
            Self::Kill(services) => {
                let names: Vec<&str> = services.iter().map(name).collect();
                write!(f, "kill -9 {}", names.join(" "))
            }
            Self::KillPostgres => f.write_str("kill -9 postgres"),
            Self::KillRedis => f.write_str("kill -9 redis"),
            Self::EmptyRedis => f.write_str("FLUSHALL"),
            Self::Freeze(service) => write!(f, "SIGSTOP {}", name(service)),
            Self::FreezeRedis => f.write_str("SIGSTOP redis"),
            Self::CutPostgres(service) => write!(f, "cut {} from postgres", name(service)),
            Self::SilencePostgres(service) => write!(f, "silence {} to postgres", name(service)),
            Self::SlowPostgres(service) => write!(f, "slow {} to postgres", name(service)),
            Self::CutRedis(service) => write!(f, "cut {} from redis", name(service)),
            Self::Restart(service) => write!(f, "SIGTERM {}", name(service)),
            Self::SetClock { service, hours } => {
                write!(f, "clock of {} by {hours:+} h", name(service))
            }
            Self::FillDisk => f.write_str("fill disk"),
            Self::Move { shard, to } => write!(f, "move shard {shard} to {}", name(to)),
            Self::Twin(node) => write!(f, "twin of {}", name(node)),
            Self::StepDatabaseClock { seconds } => {
                write!(f, "clock of postgres by {seconds:+} s")
            }
            Self::LoseTail => f.write_str("lost tail"),
            Self::Restore(service) => write!(f, "restore {}", name(service)),
        }
    }
}

impl Fault {
    /// Whether it sets the clock of this service wrong.
    pub(super) fn sets_clock_of(&self, name: &str) -> bool {
        let named = |service: &usize| SERVICES.get(*service).is_some_and(|one| *one == name);
        matches!(self, Self::SetClock { service, .. } if named(service))
    }

    /// How many processes it kills.
    pub(super) fn kills(&self) -> u32 {
        match self {
            Self::Kill(services) => u32::try_from(services.len()).unwrap_or(u32::MAX),
            Self::KillPostgres | Self::KillRedis | Self::Twin(_) | Self::LoseTail => 1,
            Self::Restore(_) => 2,
            _ => 0,
        }
    }
}

/// A fault, its duration, and the pause after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) fault: Fault,
    pub(super) lasts: Duration,
    pub(super) peace: Duration,
}

/// Endless faults; the same seed gives the same ones.
pub(super) struct Schedule {
    random: StdRng,
    kind: Kind,
    /// Whether a disk can be full.
    disk: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Every fault, with a journal of this many shards.
    Everything { shards: u16 },
    /// A shard moves back and forth between the nodes.
    Moving { shard: u16, to: usize },
    /// The nodes sleep longer than a lease of 2 s, one after the other.
    Frozen { node: usize },
    /// The clock of the database servers is set wrong, again and again.
    SteppedClock,
    /// Databases lose committed data.
    SetBack,
}

impl Schedule {
    pub(super) fn new(seed: u64, shards: u16, disk: bool) -> Self {
        Self { random: StdRng::seed_from_u64(seed), kind: Kind::Everything { shards }, disk }
    }

    pub(super) fn moving(seed: u64, shard: u16) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            kind: Kind::Moving { shard, to: 0 },
            disk: false,
        }
    }

    pub(super) fn frozen(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), kind: Kind::Frozen { node: 0 }, disk: false }
    }

    pub(super) fn stepped_clock(seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self { random, kind: Kind::SteppedClock, disk: false }
    }

    pub(super) fn set_back(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), kind: Kind::SetBack, disk: false }
    }

    fn of_stepped_clock(&mut self) -> Step {
        let node = self.random.random_range(0..2_usize);
        let seconds = *[3_600, -3_600, 20, -20, 3, -3].choose(&mut self.random).unwrap_or(&3_600);
        let (fault, lasts) = match self.random.random_range(0..100_u32) {
            0..65 => (Fault::StepDatabaseClock { seconds }, Duration::ZERO),
            65..75 => (Fault::Kill(vec![node]), self.millis(0, 2_500)),
            75..82 => (Fault::Twin(node), self.millis(2_000, 6_000)),
            82..90 => (Fault::Freeze(node), self.millis(2_000, 9_000)),
            _ => (Fault::KillPostgres, self.millis(0, 1_000)),
        };
        // Servers read their clock once a second.
        let peace = self.millis(1_000, 4_000);
        Step { fault, lasts, peace }
    }

    fn of_set_back(&mut self) -> Step {
        let any = self.random.random_range(0..SERVICES.len());
        let (fault, lasts) = match self.random.random_range(0..100_u32) {
            0..35 => (Fault::LoseTail, self.millis(100, 3_000)),
            35..49 => (Fault::Restore(service("inventory")), self.millis(500, 4_000)),
            49..60 => (Fault::Restore(service("notifications")), self.millis(500, 4_000)),
            60..67 => (Fault::Restore(service("ledger")), self.millis(500, 4_000)),
            67..74 => (Fault::Restore(service("payments")), self.millis(500, 4_000)),
            74..82 => (Fault::EmptyRedis, Duration::ZERO),
            82..91 => (Fault::Kill(vec![any]), self.millis(0, 2_500)),
            _ => (Fault::KillPostgres, self.millis(0, 1_000)),
        };
        let peace = self.millis(500, 3_000);
        Step { fault, lasts, peace }
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.random.random_range(from..to))
    }
}

impl Iterator for Schedule {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let shards = match &mut self.kind {
            Kind::Everything { shards } => *shards,
            Kind::Moving { shard, to } => {
                *to = 1 - *to;
                let fault = Fault::Move { shard: *shard, to: *to };
                let peace = self.millis(200, 1_200);
                return Some(Step { fault, lasts: Duration::ZERO, peace });
            }
            Kind::Frozen { node } => {
                *node = 1 - *node;
                let fault = Fault::Freeze(*node);
                let (lasts, peace) = (self.millis(2_200, 3_500), self.millis(500, 1_500));
                return Some(Step { fault, lasts, peace });
            }
            Kind::SteppedClock => return Some(self.of_stepped_clock()),
            Kind::SetBack => return Some(self.of_set_back()),
        };
        if self.disk && self.random.random_bool(0.2) {
            let (lasts, peace) = (self.millis(1_000, 6_000), self.millis(200, 2_500));
            return Some(Step { fault: Fault::FillDisk, lasts, peace });
        }
        let any = self.random.random_range(0..SERVICES.len());
        let node = self.random.random_range(0..2_usize);
        let (fault, lasts) = match self.random.random_range(0..100_u32) {
            0..23 => (Fault::Kill(vec![any]), self.millis(0, 2_500)),
            23..25 => (Fault::Twin(node), self.millis(2_000, 9_000)),
            25..28 => {
                let hour = if self.random.random_bool(0.5) { 3_600 } else { -3_600 };
                (Fault::StepDatabaseClock { seconds: hour }, Duration::ZERO)
            }
            28..38 => (Fault::Kill(vec![node]), self.millis(0, 200)),
            38..44 => (Fault::Kill(vec![0, 1]), self.millis(0, 1_500)),
            44..46 => (Fault::Kill((0..SERVICES.len()).collect()), self.millis(0, 1_500)),
            46..54 => (Fault::KillPostgres, self.millis(0, 1_000)),
            54..60 => (Fault::KillRedis, self.millis(0, 1_500)),
            60..66 => (Fault::EmptyRedis, Duration::ZERO),
            // Longer than every timeout, and shorter.
            66..69 => (Fault::Freeze(node), self.millis(9_000, 12_000)),
            69..74 => (Fault::Freeze(any), self.millis(500, 6_000)),
            74..76 => (Fault::FreezeRedis, self.millis(500, 4_000)),
            76..80 => (Fault::CutPostgres(any), self.millis(200, 4_000)),
            80..82 => (Fault::SilencePostgres(any), self.millis(500, 7_000)),
            82..86 => (Fault::SlowPostgres(any), self.millis(1_000, 4_000)),
            86..89 => (Fault::CutRedis(any), self.millis(200, 2_000)),
            89..92 => (Fault::Restart(any), self.millis(0, 500)),
            92..96 => {
                let hours = if self.random.random_bool(0.5) { 1 } else { -1 };
                (Fault::SetClock { service: any, hours }, self.millis(1_000, 6_000))
            }
            _ => {
                let shard = self.random.random_range(0..shards);
                (Fault::Move { shard, to: node }, Duration::ZERO)
            }
        };
        let peace = self.millis(200, 2_500);
        Some(Step { fault, lasts, peace })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_repeats_the_schedule() {
        let steps = |seed, disk| Schedule::new(seed, 16, disk).take(400).collect::<Vec<Step>>();
        let first = steps(7, true);
        assert_eq!(first, steps(7, true));
        assert_ne!(first, steps(8, true));
        assert!(steps(7, false).iter().all(|step| step.fault != Fault::FillDisk));
        // Every fault occurs.
        for kind in [
            "kill -9 orders-a orders-b inventory",
            "kill -9 postgres",
            "kill -9 redis",
            "FLUSHALL",
            "SIGSTOP orders",
            "SIGSTOP redis",
            "cut",
            "silence",
            "slow",
            "SIGTERM",
            "move shard",
            "fill disk",
            "clock of orders-a by",
            "clock of postgres by",
            "twin of",
        ] {
            let said = |step: &Step| step.fault.to_string().starts_with(kind);
            assert!(first.iter().any(said), "{kind}");
        }
        let stepped: Vec<Step> = Schedule::stepped_clock(7).take(50).collect();
        for kind in ["clock of postgres by +3600 s", "clock of postgres by -20 s", "kill -9 orders"]
        {
            assert!(stepped.iter().any(|step| step.fault.to_string().starts_with(kind)), "{kind}");
        }
        let set_back: Vec<Step> = Schedule::set_back(7).take(200).collect();
        for kind in [
            "lost tail",
            "restore inventory",
            "restore notifications",
            "restore ledger",
            "restore payments",
        ] {
            assert!(set_back.iter().any(|step| step.fault.to_string() == kind), "{kind}");
        }
    }
}
