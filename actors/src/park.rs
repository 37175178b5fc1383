//! Parking: where a resource waits that must outlive the actor that owns it.
//!
//! The journal's lock and the attached programs must not go with an actor that panics; the actor
//! borrows them, and what it held is back here when it ends, however it ends.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// A place for one resource.
#[derive(Debug)]
pub struct Park<T>(Arc<Mutex<Option<T>>>);

impl<T> Clone for Park<T> {
    fn clone(&self) -> Self {
        Park(Arc::clone(&self.0))
    }
}

impl<T> Park<T> {
    /// Parks a resource.
    pub fn new(resource: T) -> Park<T> {
        Park(Arc::new(Mutex::new(Some(resource))))
    }

    /// Lends it to its one owner; `None` while another still has it.
    pub fn lend(&self) -> Option<Lent<T>> {
        let resource = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        Some(Lent {
            resource: Some(resource),
            park: self.clone(),
        })
    }
}

/// A resource on loan. Dropping it gives it back.
#[derive(Debug)]
pub struct Lent<T> {
    resource: Option<T>,
    park: Park<T>,
}

impl<T> Deref for Lent<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.resource {
            Some(resource) => resource,
            None => unreachable!("a loan holds its resource until it is dropped"),
        }
    }
}

impl<T> DerefMut for Lent<T> {
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.resource {
            Some(resource) => resource,
            None => unreachable!("a loan holds its resource until it is dropped"),
        }
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        *self.park.0.lock().unwrap_or_else(PoisonError::into_inner) = self.resource.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loan_comes_back_even_from_a_panic() {
        let park = Park::new(7);
        let borrower = park.clone();
        let panicked = std::thread::spawn(move || {
            let mut loan = borrower.lend().expect("parked");
            *loan += 1;
            assert!(borrower.lend().is_none(), "there is one owner");
            panic!("with the loan in hand");
        });
        assert!(panicked.join().is_err());
        assert_eq!(*park.lend().expect("back"), 8);
    }
}
