//! How a command that is not in force is told: the gRPC code for each way of failing.

use syva_actors::CommandError;
use syva_actors::address::Gone;
use syva_model::admit::RefusalKind;
use tonic::Status;

/// The status of an error.
pub fn status(error: &CommandError) -> Status {
    let said = error.to_string();
    match error {
        CommandError::Refused(refusal) => match refusal.kind {
            RefusalKind::Invalid => Status::invalid_argument(said),
            RefusalKind::NotFound => Status::not_found(said),
            RefusalKind::Conflict | RefusalKind::Stale => Status::failed_precondition(said),
            RefusalKind::Exhausted => Status::resource_exhausted(said),
        },
        CommandError::Lookup(_)
        | CommandError::NotJournaled(_)
        | CommandError::NotEnforced { .. } => Status::internal(said),
        CommandError::Interrupted(_) | CommandError::Busy(_) => Status::unavailable(said),
    }
}

/// The status while an actor is being restarted.
pub fn gone(gone: Gone) -> Status {
    Status::unavailable(gone.to_string())
}

/// A refusal that the contract tells as `ok=false` with a reason, for the kinds given.
///
/// # Errors
/// The status of every other error.
pub fn as_reason(error: &CommandError, kinds: &[RefusalKind]) -> Result<String, Status> {
    match error {
        CommandError::Refused(refusal) if kinds.contains(&refusal.kind) => {
            Ok(refusal.message.clone())
        }
        other => Err(status(other)),
    }
}
