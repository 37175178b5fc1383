//! The actors of Syvä (D13): who owns what, and how it comes back.
//!
//! One actor owns one resource: the journal ([`writer`]), the kernel object ([`loader`]), each map
//! ([`map`], [`control`]), what is known of cgroups ([`membership`]), the agreement between desired
//! image and maps ([`reconciler`]), the ring buffer ([`ring`]), the subscribers ([`fanout`]) and the
//! node's health ([`health`]). A [`supervisor`] starts them and starts them again. [`Engine`] is the
//! outside's way in.
//!
//! A domain refusal is a reply; an `Err` from a handler means "restart me". What an actor decides is a
//! synchronous function beside it, which tests call without ractor: [`ledger`] and [`writer::desk`] for
//! the writer, [`reconciler::work`] for the reconciler, [`membership::walk`] for the membership actor.
//! An actor that decides waits for others with its thread ([`address::Address::wait`]).

#[cfg(all(feature = "failpoints", not(debug_assertions)))]
compile_error!("failpoints are for tests: a release build must not be able to stop on request");

pub mod address;
pub mod atlas;
pub mod cgroups;
pub mod control;
pub mod drift;
pub mod engine;
pub mod failures;
pub mod fanout;
pub mod health;
pub mod history;
pub mod ledger;
pub mod loader;
pub mod map;
pub mod membership;
pub mod memory;
pub mod metered;
pub mod outcome;
pub mod park;
pub mod plant;
pub mod reconciler;
pub mod request;
pub mod resolve;
#[cfg(feature = "testing")]
pub mod rig;
pub mod ring;
pub mod role;
pub mod standing;
pub mod supervisor;
pub mod tally;
pub mod vantage;
pub mod writer;

pub use engine::{Config, Engine, StartError};
pub use outcome::{CommandError, Done};
pub use request::Request;
pub use role::Role;
