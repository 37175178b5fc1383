//! Figures: what is known of the node at one moment, for everything that tells it — `/healthz`,
//! `/metrics` and OTLP. What cannot be learned just now is absent, never made up.

pub mod catalog;
mod samples;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use syva_actors::Engine;
use syva_actors::health::Health;
use syva_actors::tally::Counts;
use syva_model::image::Mode;
use syva_model::kernel::Counters;
use tokio::sync::Mutex;
use tokio::time::timeout;

pub(crate) use samples::SELF_TESTS;
pub use samples::Sample;

/// How long a question to the engine may take: a scraper gives up after ten seconds by default.
const PATIENCE: Duration = Duration::from_secs(3);

/// Figures this young are told again. However often somebody asks, the engine is asked no more often.
const FRESH: Duration = Duration::from_millis(100);

/// Which build this is.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    /// Its version.
    pub version: &'static str,
    /// The commit it was built from, `unknown` outside a checkout.
    pub git_sha: &'static str,
}

/// What the state says.
#[derive(Clone, Debug)]
pub struct Known {
    /// How many zones there are.
    pub zones: usize,
    /// How many containers are attached.
    pub containers: usize,
    /// The node's mode.
    pub mode: Mode,
    /// The journal's last entry.
    pub journal_seq: u64,
    /// The last entry whose effects the maps hold.
    pub applied_seq: u64,
}

/// Denials of one hook to callers of one zone.
#[derive(Clone, Debug)]
pub struct ZoneDenials {
    /// The zone's name.
    pub zone: String,
    /// The hook's name.
    pub hook: &'static str,
    /// How many.
    pub count: u64,
}

/// What one zone has of what all zones share.
#[derive(Clone, Debug)]
pub struct ZoneShare {
    /// The zone's name.
    pub zone: String,
    /// Of what.
    pub share: &'static str,
    /// How many rows.
    pub held: u64,
    /// How often it wanted more than it may have.
    pub refused: u64,
}

/// One moment.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Which build this is.
    pub build: Build,
    /// When the daemon started.
    pub started: SystemTime,
    /// How long ago that is.
    pub uptime: Duration,
    /// The node's health.
    pub health: Health,
    /// What the kernel counts, if it could be read.
    pub counters: Option<Counters>,
    /// Its denials by zone.
    pub denials: Vec<ZoneDenials>,
    /// What zones have of what they share.
    pub usage: Vec<ZoneShare>,
    /// The state, if it could be asked.
    pub known: Option<Known>,
    /// What is counted in user space.
    pub counts: Counts,
    /// Events lost in user space.
    pub events_dropped: u64,
    /// Rows repaired.
    pub drift: u64,
    /// What was exported, if anything is.
    pub exported: Option<crate::otlp::accounts::Exported>,
}

/// Where figures come from.
pub struct Source {
    engine: Arc<Engine>,
    build: Build,
    started: (SystemTime, Instant),
    accounts: Option<Arc<crate::otlp::accounts::Accounts>>,
    last: Mutex<Option<(Instant, Arc<Figures>)>>,
}

impl Source {
    /// Figures of an engine that starts now; of what is exported too, if `accounts` are kept.
    pub fn new(
        engine: Arc<Engine>,
        build: Build,
        accounts: Option<Arc<crate::otlp::accounts::Accounts>>,
    ) -> Source {
        Source {
            engine,
            build,
            started: (SystemTime::now(), Instant::now()),
            accounts,
            last: Mutex::new(None),
        }
    }

    /// The figures now. Callers that come together share one look.
    pub async fn figures(&self) -> Arc<Figures> {
        let mut last = self.last.lock().await;
        if let Some((taken, figures)) = &*last
            && taken.elapsed() < FRESH
        {
            return Arc::clone(figures);
        }
        let figures = Arc::new(self.look().await);
        *last = Some((Instant::now(), Arc::clone(&figures)));
        figures
    }

    async fn look(&self) -> Figures {
        let question = self.engine.ask(|glance| Known {
            zones: glance.state.zones.len(),
            containers: glance.state.members.len(),
            mode: glance.state.mode,
            journal_seq: glance.state.seq(),
            applied_seq: glance.applied,
        });
        // Either may be out of reach while an actor is being restarted; health says so then.
        let (known, counters) = tokio::join!(
            timeout(PATIENCE, question),
            timeout(PATIENCE, self.engine.counters())
        );
        let known = known.ok().and_then(Result::ok);
        let counters = counters.ok().and_then(Result::ok);
        let (started, since) = self.started;
        Figures {
            build: self.build,
            started,
            uptime: since.elapsed(),
            health: self.engine.health().borrow().clone(),
            denials: counters
                .as_ref()
                .map(|counters| self.by_zone(counters))
                .unwrap_or_default(),
            usage: counters
                .as_ref()
                .map(|counters| self.shares(counters))
                .unwrap_or_default(),
            counters,
            known,
            counts: self.engine.counts(),
            events_dropped: self.engine.events_dropped(),
            drift: self.engine.drift_repaired(),
            exported: self.accounts.as_ref().map(|accounts| accounts.exported()),
        }
    }

    fn shares(&self, counters: &Counters) -> Vec<ZoneShare> {
        let named = counters.usage.iter().map(|usage| ZoneShare {
            zone: self.engine.zone_name(usage.zone),
            share: usage.share.name(),
            held: usage.held,
            refused: usage.refused,
        });
        named.collect()
    }

    fn by_zone(&self, counters: &Counters) -> Vec<ZoneDenials> {
        let mut sums = std::collections::BTreeMap::new();
        for denial in &counters.denials {
            *sums.entry((denial.subject, denial.hook)).or_insert(0) += denial.count;
        }
        let named = sums.into_iter().map(|((zone, hook), count)| ZoneDenials {
            zone: self.engine.zone_name(zone),
            hook: hook.name(),
            count,
        });
        named.collect()
    }
}

/// Seconds since the Unix epoch; 0 before it.
pub(crate) fn epoch_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
