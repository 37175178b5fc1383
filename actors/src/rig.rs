//! The rig: makes any actor fail when a test says so (feature `testing`). It stands between ractor
//! and the actor, so that nothing in the actors knows of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::role::Role;

/// How an actor fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// It panics over the next message, before it does anything.
    Panic,
    /// It returns an error for the next message, having done what that asks.
    ErrAfter,
    /// It panics over the next message, having done what that asks.
    PanicAfter,
    /// It panics over the next message, and its next start fails.
    PanicAndNotStart,
    /// It never comes to an end with the next message.
    Hang,
    /// Its next start fails.
    NotStart,
}

/// Who fails next, and how. Clones are the same rig.
#[derive(Clone, Debug, Default)]
pub struct Rig(Arc<Mutex<HashMap<Role, Failure>>>);

impl Rig {
    /// Makes an actor fail once.
    pub fn set(&self, role: Role, failure: Failure) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.insert(role, failure);
    }

    fn take(&self, role: Role, at_start: bool) -> Option<Failure> {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failure = *failures.get(&role)?;
        if at_start != (failure == Failure::NotStart) {
            return None;
        }
        match failure {
            Failure::PanicAndNotStart => failures.insert(role, Failure::NotStart),
            _ => failures.remove(&role),
        };
        Some(failure)
    }
}

/// An actor that can be made to fail.
pub(crate) struct Rigged<A> {
    pub actor: A,
    pub role: Role,
    pub rig: Rig,
}

impl<A: Actor> Actor for Rigged<A> {
    type Msg = A::Msg;
    type State = A::State;
    type Arguments = A::Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<A::Msg>,
        args: A::Arguments,
    ) -> Result<A::State, ActorProcessingErr> {
        let state = self.actor.pre_start(myself, args).await?;
        match self.rig.take(self.role, true) {
            None => Ok(state),
            Some(_) => Err("asked not to start".into()),
        }
    }

    async fn handle(
        &self,
        myself: ActorRef<A::Msg>,
        message: A::Msg,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        let failure = self.rig.take(self.role, false);
        if let Some(Failure::Panic | Failure::PanicAndNotStart) = failure {
            asked();
        }
        if failure == Some(Failure::Hang) {
            std::future::pending::<()>().await;
        }
        self.actor.handle(myself, message, state).await?;
        match failure {
            Some(Failure::ErrAfter) => Err("asked to fail".into()),
            Some(Failure::PanicAfter) => asked(),
            _ => Ok(()),
        }
    }

    async fn post_stop(
        &self,
        myself: ActorRef<A::Msg>,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        self.actor.post_stop(myself, state).await
    }
}

#[allow(clippy::panic)] // the failure a test asked for
fn asked() -> ! {
    panic!("asked to")
}
