//! Addresses: how one actor finds another that may have been restarted meanwhile.
//!
//! ractor's own registry is global to the process; addresses belong to one engine, so that tests can
//! run many.

use std::sync::{Arc, PoisonError, RwLock};

use ractor::rpc::CallResult;
use ractor::{ActorRef, Message, RpcReplyPort};
use syva_model::kernel::KernelError;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

/// Where an actor can be reached now.
#[derive(Debug)]
pub struct Address<M> {
    name: &'static str,
    slot: Arc<RwLock<Option<ActorRef<M>>>>,
}

impl<M> Clone for Address<M> {
    fn clone(&self) -> Self {
        Address {
            name: self.name,
            slot: Arc::clone(&self.slot),
        }
    }
}

/// The actor did not answer: it is being restarted, or the engine stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {0} is being restarted")]
pub struct Gone(pub &'static str);

impl From<Gone> for KernelError {
    fn from(gone: Gone) -> KernelError {
        KernelError {
            operation: "reach",
            on: format!("the {}", gone.0),
            said: "it is being restarted".into(),
            errno: None,
            remedy: "the reconciler tries again by itself".into(),
        }
    }
}

/// Answers a call. A caller that has gone away needs no answer.
pub fn answer<T: Send + 'static>(port: RpcReplyPort<T>, with: T) {
    let _ = port.send(with);
}

impl<M: Message> Address<M> {
    /// An address nobody is at yet.
    pub fn new(name: &'static str) -> Address<M> {
        Address {
            name,
            slot: Arc::default(),
        }
    }

    /// The name of whoever is meant to be here.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Says who is here now.
    pub fn set(&self, actor: ActorRef<M>) {
        *self.slot.write().unwrap_or_else(PoisonError::into_inner) = Some(actor);
    }

    fn get(&self) -> Result<ActorRef<M>, Gone> {
        let slot = self.slot.read().unwrap_or_else(PoisonError::into_inner);
        slot.clone().ok_or(Gone(self.name))
    }

    /// Sends a message that nobody answers.
    ///
    /// # Errors
    /// [`Gone`] if nobody is there to read it.
    pub fn cast(&self, message: M) -> Result<(), Gone> {
        self.get()?.cast(message).map_err(|_| Gone(self.name))
    }

    /// Sends a message and waits for its answer.
    ///
    /// # Errors
    /// [`Gone`] if the actor ends before it answers.
    pub async fn call<T: Send + 'static>(
        &self,
        build: impl FnOnce(RpcReplyPort<T>) -> M,
    ) -> Result<T, Gone> {
        match self.get()?.call(build, None).await {
            Ok(CallResult::Success(answer)) => Ok(answer),
            Ok(CallResult::Timeout | CallResult::SenderError) | Err(_) => Err(Gone(self.name)),
        }
    }

    /// As [`Address::call`], for what decides synchronously: the thread waits, and tokio gives its
    /// other tasks to another. It panics outside tokio's multi-threaded runtime.
    ///
    /// # Errors
    /// As [`Address::call`].
    pub fn wait<T: Send + 'static>(
        &self,
        build: impl FnOnce(RpcReplyPort<T>) -> M,
    ) -> Result<T, Gone> {
        block_in_place(|| Handle::current().block_on(self.call(build)))
    }
}
