//! Failures in the kernel that let something through (I9), as reasons of the node's health: each site is
//! one, from when its count grows until it has been quiet for a while.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use syva_model::kernel::LetThrough;

use crate::health::HealthMsg;

/// How often the kernel's counts are looked at.
pub const LOOK: Duration = Duration::from_secs(5);

/// How long a site must be quiet before the node is as good as before.
pub const QUIET: Duration = Duration::from_secs(600);

/// What has been seen.
#[derive(Debug, Default)]
pub struct Failures {
    /// None before the first look: what an earlier daemon's time has counted is not news.
    sites: Option<BTreeMap<String, Site>>,
}

#[derive(Debug)]
struct Site {
    count: u64,
    /// When it was last seen to grow, if that is a reason now.
    since: Option<Instant>,
}

impl Failures {
    /// What health is to be told of the kernel's counts, looked at now.
    pub fn look(&mut self, found: Vec<LetThrough>, now: Instant) -> Vec<HealthMsg> {
        let Some(sites) = &mut self.sites else {
            let seen = |LetThrough { site, count, .. }| (site, Site { count, since: None });
            self.sites = Some(found.into_iter().map(seen).collect());
            return Vec::new();
        };
        let mut told = Vec::new();
        for LetThrough {
            site,
            meaning,
            count,
        } in found
        {
            let reason = format!("kernel_error:{site}");
            let seen = sites.entry(site.clone()).or_insert(Site {
                count: 0,
                since: None,
            });
            if count > seen.count {
                let words = format!(
                    "the kernel let something through: {meaning} (site {site}, {count} times in all)"
                );
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
    use super::*;

    fn found(count: u64) -> Vec<LetThrough> {
        vec![LetThrough {
            site: "ink".into(),
            meaning: "there was no ink",
            count,
        }]
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
