use super::{Change, Handler, Informer};
use crate::limits;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::Notify;

/// A reader's own bounded queue of an informer's changes.
pub struct Subscription {
    informer: Informer,
    queue: Arc<Queue>,
    handler: Handler,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    more: Notify,
}

#[derive(Default)]
struct State {
    changes: VecDeque<Change>,
    lost: bool,
}

impl Queue {
    fn push(&self, change: &Change) {
        {
            let mut state = self.state.lock();
            if state.lost {
                return;
            }
            if state.changes.len() >= limits::SUBSCRIPTION_BUFFER {
                state.changes.clear();
                state.lost = true;
            } else {
                state.changes.push_back(change.clone());
            }
        }
        self.more.notify_one();
    }
}

impl Subscription {
    pub(super) fn new(informer: Informer) -> Self {
        let queue = Arc::new(Queue::default());
        let pushed = queue.clone();
        let handler: Handler = Arc::new(move |change| pushed.push(change));
        {
            let mut handlers = informer.shared.handlers.lock();
            fill(&informer, &queue);
            handlers.push(handler.clone());
        }
        Self { informer, queue, handler }
    }

    /// The next change; waits for one.
    pub async fn next(&mut self) -> Change {
        loop {
            let more = self.queue.more.notified();
            let lost = {
                let mut state = self.queue.state.lock();
                if let Some(change) = state.changes.pop_front() {
                    return change;
                }
                state.lost
            };
            if lost {
                // Under the lock of the handlers nothing changes between the replay and the changes that follow it.
                let _handlers = self.informer.shared.handlers.lock();
                self.queue.state.lock().lost = false;
                fill(&self.informer, &self.queue);
                return Change::Lost;
            }
            more.await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.informer.shared.handlers.lock().retain(|one| !Arc::ptr_eq(one, &self.handler));
    }
}

/// Puts the state as it is into the queue: as long as the store, whatever the queue's own limit.
fn fill(informer: &Informer, queue: &Queue) {
    let changes = Mutex::new(VecDeque::new());
    informer.shared.replay(&|change| changes.lock().push_back(change.clone()));
    queue.state.lock().changes.append(&mut changes.into_inner());
}
