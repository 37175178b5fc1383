//! How the writer has the claims' paths looked at: one pass at a time, in a thread of its own, since a path
//! may lead to a file system that does not answer. What it saw comes back as a message.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::ActorRef;
use syva_model::command::Command;
use syva_model::kernel::{LinkStore, Linked};
use syva_model::state::State;
use tokio::task::{JoinHandle, spawn_blocking};

use super::WriterMsg;
use crate::address::Address;
use crate::health::HealthMsg;
use crate::loader::LoaderMsg;
use crate::outcome::CommandError;
use crate::resolve::links::News;
use crate::resolve::lookout::{Lookout, Sighting, Watched, command, watched};
use crate::vantage::Vantage;

/// What the kernel noted, if its record can be relied on.
fn noted(store: Arc<dyn LinkStore>) -> Option<(Vec<Linked>, Arc<dyn LinkStore>)> {
    let held = match store.is_restored() {
        Ok(true) => store.held(),
        Ok(false) => return None,
        Err(error) => Err(error),
    };
    match held {
        Ok(held) => Some((held, store)),
        Err(error) => {
            tracing::warn!(%error, "names outside claims cannot be looked at; trying again");
            None
        }
    }
}

fn settle(store: &dyn LinkStore, news: &News) {
    let settled = store.forget(&news.void).and(match news.missing.is_empty() {
        true => Ok(()),
        false => store.restore(&news.missing),
    });
    if let Err(error) = settled {
        tracing::warn!(%error, "the kernel's record of names outside claims is not as it should be");
    }
}

/// The health reason while claims are lost: their paths lead to nothing that can be claimed.
pub const LOST: &str = "claims_lost";
/// The health reason while claims' paths cannot be looked at, or a pass does not come to its end.
pub const UNSEEN: &str = "claims_unseen";

/// The health reason while claims cannot be given what their paths lead to.
pub const NOT_FOLLOWED: &str = "claims_not_followed";

/// A pass that takes longer hangs: of as many claims as there may be it takes minutes at worst.
const LATE: Duration = Duration::from_secs(600);
/// How many lost claims health names.
const NAMED: usize = 4;

/// Who has paths looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The timer, or a start: if a pass is under way, that is enough.
    Routine,
    /// Somebody who is to be shown what has changed until now, which may be behind where a pass is.
    Asked,
}

/// What a pass brings back.
pub struct Looked {
    /// It broke off: nothing was looked at.
    pub(super) failed: bool,
    pub(super) lookout: Lookout,
    pub(super) sightings: Vec<Sighting>,
    /// What the kernel noted of names outside claims, and where; nothing if it cannot be had, or was made
    /// anew and is to be restored by the reconciler first.
    pub(super) linked: Option<(Vec<Linked>, Arc<dyn LinkStore>)>,
}

/// Who looks, with whose help, and who is told.
pub(super) struct Lookouts {
    /// Away while a pass is under way.
    lookout: Option<Lookout>,
    since: Instant,
    /// One was asked for meanwhile.
    asked: bool,
    /// The kernel is being told what the last pass found.
    settling: Option<JoinHandle<()>>,
    /// The paths, as of that entry.
    watched: (u64, Arc<Vec<Watched>>),
    loader: Address<LoaderMsg>,
    vantage: Vantage,
    engines_own: Arc<Vec<String>>,
    health: Address<HealthMsg>,
    /// What health was told of lost claims; nothing if that is not sure.
    told: Option<Option<String>>,
}

impl Lookouts {
    pub(super) fn new(
        loader: Address<LoaderMsg>,
        vantage: Vantage,
        engines_own: Vec<String>,
        health: Address<HealthMsg>,
    ) -> Lookouts {
        Lookouts {
            lookout: Some(Lookout::default()),
            since: Instant::now(),
            asked: false,
            settling: None,
            watched: (0, Arc::default()),
            loader,
            vantage,
            engines_own: Arc::new(engines_own),
            health,
            told: None,
        }
    }

    /// Has every path looked at, by another pass after the one that is under way if that was asked for.
    pub(super) fn begin(&mut self, who: Look, state: &State, myself: &ActorRef<WriterMsg>) {
        let Some(mut lookout) = self.lookout.take() else {
            self.asked |= who == Look::Asked;
            if self.since.elapsed() > LATE {
                let words = "claims' paths are not looked at: one of them leads to a file system that does \
                             not answer";
                let _ = self
                    .health
                    .cast(HealthMsg::Raise(UNSEEN.into(), words.into()));
            }
            return;
        };
        (self.since, self.asked) = (Instant::now(), false);
        if self.watched.0 != state.seq() {
            self.watched = (state.seq(), Arc::new(watched(state)));
        }
        let watched = Arc::clone(&self.watched.1);
        let (loader, vantage) = (self.loader.clone(), self.vantage.clone());
        let (own, myself) = (Arc::clone(&self.engines_own), myself.clone());
        let settling = self.settling.take();
        tokio::spawn(async move {
            if let Some(settling) = settling {
                // An error: it panicked, and this pass finds what it left.
                let _ = settling.await;
            }
            let (mut sightings, mut linked, mut failed) = (Vec::new(), None, false);
            // While the loader is being restarted nothing can be identified: the next pass will.
            if let Ok(Ok(prober)) = loader.call(LoaderMsg::Prober).await {
                let looking = spawn_blocking(move || {
                    let sightings = lookout.look(&*prober, &vantage, &own, &watched);
                    (lookout, sightings)
                });
                let looked = looking.await;
                failed = looked.is_err();
                // One that panicked has forgotten everything, and looks anew.
                (lookout, sightings) = looked.unwrap_or_default();
            }
            if let Ok(Ok(store)) = loader.call(LoaderMsg::Links).await {
                linked = spawn_blocking(|| noted(store)).await.unwrap_or_default();
            }
            let looked = Looked {
                lookout,
                sightings,
                linked,
                failed,
            };
            // A writer that is gone has another one after it, which looks by itself.
            let _ = myself.cast(WriterMsg::Looked(Box::new(looked)));
        });
    }

    /// A pass has ended. Health is told anew: what was said while its actor was being restarted is lost.
    pub(super) fn back(
        &mut self,
        lookout: Lookout,
        sightings: Vec<Sighting>,
        failed: bool,
        state: &State,
    ) -> Option<Command> {
        let unseen = lookout.unseen();
        let words = match (unseen, failed) {
            (_, true) => {
                Some("looking at claims' paths broke off: the log has the error".to_owned())
            }
            ([], _) => None,
            ([first, ..], _) => Some(format!(
                "{} claims' paths cannot be looked at: {first}",
                unseen.len()
            )),
        };
        if let Some(words) = &words {
            tracing::warn!(?unseen, "{words}; trying again");
        }
        let _ = self.health.cast(match words {
            Some(words) => HealthMsg::Raise(UNSEEN.into(), words),
            None => HealthMsg::Clear(UNSEEN.into()),
        });
        self.lookout = Some(lookout);
        self.told = None;
        self.tell(state);
        command(state, sightings)
    }

    /// Whether a pass was asked for while the last was under way.
    pub(super) fn is_asked_for(&self) -> bool {
        self.asked
    }

    /// Has the kernel forget and know what the state says of names outside claims, before the next pass asks
    /// it. What fails is found again by that.
    pub(super) fn settle(&mut self, store: Arc<dyn LinkStore>, news: News) {
        if !news.void.is_empty() || !news.missing.is_empty() {
            self.settling = Some(spawn_blocking(move || settle(&*store, &news)));
        }
    }

    /// What became of the command that a pass led to, if there was one.
    pub(super) fn followed(&self, refused: Option<&CommandError>) {
        let key = NOT_FOLLOWED.into();
        let _ = self.health.cast(match refused {
            None => HealthMsg::Clear(key),
            Some(error) => {
                let words = format!(
                    "claimed paths lead elsewhere, and what is there is not claimed: {error}"
                );
                HealthMsg::Raise(key, words)
            }
        });
    }

    /// Tells health which claims are lost.
    pub(super) fn tell(&mut self, state: &State) {
        let count = state.lost.len();
        let words = (count > 0).then(|| {
            let named: Vec<&str> = state.lost.keys().take(NAMED).map(String::as_str).collect();
            let more = if count > NAMED { ", …" } else { "" };
            format!(
                "{count} claimed paths lead to nothing that can be claimed: {}{more}",
                named.join(", ")
            )
        });
        if self.told.as_ref() == Some(&words) {
            return;
        }
        let _ = self.health.cast(match &words {
            Some(words) => HealthMsg::Raise(LOST.into(), words.clone()),
            None => HealthMsg::Clear(LOST.into()),
        });
        self.told = Some(words);
    }
}
