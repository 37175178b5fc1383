//! The guest side: what runs inside a virtual machine, a module a suite.

pub mod actor;
pub mod checks;
pub mod harness;

pub use checks::Checks;

/// Why a suite could not go on; any error will do, as will a sentence.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
