//! Conversions that a pure function finds that it needs: it asks, fails, and is run again once they are made.

use parking_lot::Mutex;
use sampan_api::object::Object;

/// The conversions of one request's objects.
#[derive(Default)]
pub struct Conversions {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    made: Vec<Made>,
    wanted: Vec<(String, Object)>,
}

struct Made {
    api_version: String,
    from: Object,
    to: Object,
}

impl Conversions {
    /// The object in another version; `None`: it is to be made first, and is asked for by this.
    pub(crate) fn find(&self, object: &Object, api_version: &str) -> Option<Object> {
        let mut known = self.known.lock();
        let made = known.made.iter().find(|made| made.api_version == api_version && made.from == *object);
        if let Some(made) = made {
            return Some(made.to.clone());
        }
        known.wanted.push((api_version.to_owned(), object.clone()));
        None
    }

    /// What was asked for, each with its version.
    pub(crate) fn take_wanted(&self) -> Vec<(String, Object)> {
        std::mem::take(&mut self.known.lock().wanted)
    }

    /// Those that are made.
    pub(crate) fn len(&self) -> usize {
        self.known.lock().made.len()
    }

    pub(crate) fn add(&self, api_version: String, from: Object, to: Object) {
        self.known.lock().made.push(Made { api_version, from, to });
    }
}
