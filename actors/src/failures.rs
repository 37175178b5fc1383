//! What the kernel counts that is a reason of the node's health: failures that let something through (I9),
//! by site, and zones that want more than they may have, by zone. Each is one, from when its count grows
//! until it has been quiet for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use syva_model::kernel::{LetThrough, ZoneUsage};

use crate::health::HealthMsg;

/// How often the kernel's counts are looked at.
pub const LOOK: Duration = Duration::from_secs(5);

/// How long a count must be quiet before the node is as good as before.
pub const QUIET: Duration = Duration::from_secs(600);

/// A count of the kernel's, and what it means that it grows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The reason of health.
    pub reason: String,
    /// The same in words.
    pub words: String,
    /// How often.
    pub count: u64,
}

impl From<LetThrough> for Trouble {
    fn from(found: LetThrough) -> Trouble {
        let LetThrough {
            site,
            meaning,
            count,
        } = found;
        Trouble {
            reason: format!("kernel_error:{site}"),
            words: format!(
                "the kernel let something through: {meaning} (site {site}, {count} times in all)"
            ),
            count,
        }
    }
}

impl Trouble {
    /// The zone of that name has as much as it may have, and wanted more.
    pub fn quota(name: &str, usage: &ZoneUsage) -> Trouble {
        let (share, quota, count) = (usage.share, usage.quota, usage.refused);
        Trouble {
            reason: format!("zone_quota:{name}:{}", share.name()),
            words: format!(
                "zone {name} wanted more {} than the {quota} it may have ({count} times in all)",
                share.words()
            ),
            count,
        }
    }
}

/// What has been seen.
#[derive(Debug, Default)]
pub struct Failures {
    /// By reason. None before the first look: what an earlier daemon's time has counted is not news.
    seen: Option<BTreeMap<String, Seen>>,
}

#[derive(Debug)]
struct Seen {
    count: u64,
    /// When it was last seen to grow, if that is a reason now.
    since: Option<Instant>,
}

impl Failures {
    /// What health is to be told of the kernel's counts, looked at now.
    pub fn look(&mut self, found: Vec<Trouble>, now: Instant) -> Vec<HealthMsg> {
        let Some(all) = &mut self.seen else {
            let seen = |Trouble { reason, count, .. }| (reason, Seen { count, since: None });
            self.seen = Some(found.into_iter().map(seen).collect());
            return Vec::new();
        };
        // What is not counted any more, as of a zone that is gone, is no reason any more either.
        let counted: BTreeSet<&String> = found.iter().map(|trouble| &trouble.reason).collect();
        let mut told = Vec::new();
        all.retain(|reason, seen| {
            let stays = counted.contains(reason);
            if !stays && seen.since.is_some() {
                told.push(HealthMsg::Clear(reason.clone()));
            }
            stays
        });
        for Trouble {
            reason,
            words,
            count,
        } in found
        {
            let seen = all.entry(reason.clone()).or_insert(Seen {
                count: 0,
                since: None,
            });
            // Less than before: of another zone by that name.
            let before = if count < seen.count { 0 } else { seen.count };
            if count > before {
                told.push(HealthMsg::Raise(reason, words));
                seen.since = Some(now);
            } else if seen.since.is_some_and(|since| now - since >= QUIET) {
                told.push(HealthMsg::Clear(reason));
                seen.since = None;
            }
            seen.count = count;
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use syva_model::image::ZoneId;
    use syva_model::kernel::Share;

    use super::*;

    fn found(count: u64) -> Vec<Trouble> {
        let ink = LetThrough {
            site: "ink".into(),
            meaning: "there was no ink",
            count,
        };
        vec![ink.into()]
    }

    #[test]
    fn a_zone_that_is_refused_more_is_a_reason_by_its_name() {
        let mut failures = Failures::default();
        let usage = |refused| ZoneUsage {
            zone: ZoneId(7),
            share: Share::Cgroups,
            held: 16,
            quota: 16,
            refused,
        };
        let mut look = |usage: &[ZoneUsage]| {
            let found = usage.iter().map(|usage| Trouble::quota("web", usage));
            failures.look(found.collect(), Instant::now())
        };
        assert!(look(&[]).is_empty());
        assert!(look(&[usage(0)]).is_empty(), "as many as it may");
        match &look(&[usage(2)])[..] {
            [HealthMsg::Raise(reason, words)] => {
                assert_eq!(reason, "zone_quota:web:cgroups");
                let said =
                    "zone web wanted more nested cgroups than the 16 it may have (2 times in all)";
                assert_eq!(words, said);
            }
            other => panic!("{other:?}"),
        }
        assert!(look(&[usage(2)]).is_empty());
        // The zone is gone, and its reason with it; another of that name has its own.
        match &look(&[])[..] {
            [HealthMsg::Clear(reason)] => assert_eq!(reason, "zone_quota:web:cgroups"),
            other => panic!("{other:?}"),
        }
        assert!(look(&[]).is_empty());
        assert_eq!(look(&[usage(1)]).len(), 1);
        assert!(look(&[usage(3)]).len() == 1 && look(&[usage(2)]).len() == 1);
    }

    #[test]
    fn a_site_is_a_reason_from_when_its_count_grows_until_it_has_been_quiet() {
        let mut failures = Failures::default();
        let start = Instant::now();
        let mut look = |count, after| failures.look(found(count), start + after);
        let second = Duration::from_secs(1);
        assert!(look(3, Duration::ZERO).is_empty(), "counted before");
        assert!(look(3, second).is_empty());
        match &look(5, 2 * second)[..] {
            [HealthMsg::Raise(reason, words)] => {
                assert_eq!(reason, "kernel_error:ink");
                assert!(
                    words.contains("no ink") && words.contains("5 times"),
                    "{words}"
                );
            }
            other => panic!("{other:?}"),
        }
        assert!(look(5, QUIET).is_empty(), "not quiet for long enough");
        assert_eq!(look(6, QUIET + second).len(), 1, "it grows again");
        assert!(look(6, QUIET + 3 * second).is_empty());
        match &look(6, 2 * QUIET + 2 * second)[..] {
            [HealthMsg::Clear(reason)] => assert_eq!(reason, "kernel_error:ink"),
            other => panic!("{other:?}"),
        }
        assert!(look(6, 3 * QUIET).is_empty());
    }
}
