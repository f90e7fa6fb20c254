//! Those who are told that something about the live policies has changed.

use parking_lot::Mutex;
use std::sync::Arc;

type Waker = Arc<dyn Fn() + Send + Sync>;

/// A list of them. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Wakers(Arc<Mutex<Vec<Waker>>>);

impl std::fmt::Debug for Wakers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Wakers").field(&self.0.lock().len()).finish()
    }
}

impl Wakers {
    /// One more. It must not block.
    pub fn add(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.0.lock().push(Arc::new(wake));
    }

    /// Tells all of them, under no lock.
    pub fn wake(&self) {
        let wakers: Vec<Waker> = self.0.lock().clone();
        wakers.iter().for_each(|wake| wake());
    }
}
