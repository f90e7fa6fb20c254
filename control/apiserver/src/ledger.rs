//! The account of what the server holds for its clients, in bytes or pieces: counted against the connection, the
//! identity and the whole server, each with a bound of its own. A charge is given back when it is dropped, so it
//! travels with what it is for.
//!
//! Identities of the control plane, of nodes and of `system:masters` are not bounded one by one, and have a whole of their
//! own: what others hold takes nothing from them.

use parking_lot::Mutex;
use sampan_api::UserInfo;
use sampan_api::user::{GROUP_MASTERS, GROUP_NODES, GROUP_UNAUTHENTICATED, USER_SCHEDULER};
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bounds of one ledger, in units.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Of one connection.
    pub connection: usize,
    /// Of all connections of one identity.
    pub identity: usize,
    /// Of all identities together; those with a whole of their own have as much again.
    pub server: usize,
}

/// One sort of thing that is held.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

struct Inner {
    bounds: Bounds,
    /// Size of one unit, in what is counted.
    unit: usize,
    server: Arc<Semaphore>,
    privileged: Arc<Semaphore>,
    identities: Mutex<HashMap<Arc<str>, Weak<Identity>>>,
}

/// The sum of what one identity holds; it is dropped when that is nothing.
struct Identity {
    name: Arc<str>,
    free: Arc<Semaphore>,
    ledger: Weak<Inner>,
}

impl Drop for Identity {
    fn drop(&mut self) {
        let Some(ledger) = self.ledger.upgrade() else { return };
        let mut identities = ledger.identities.lock();
        // Another one of that name may have begun meanwhile.
        if identities.get(&self.name).is_some_and(|known| known.strong_count() == 0) {
            identities.remove(&self.name);
        }
    }
}

/// The identity that a request is billed to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Payer {
    /// Masters, nodes, the control plane.
    Privileged,
    /// Users one by one, service accounts by namespace: who may make one may make many.
    Identity(Arc<str>),
}

impl Payer {
    /// The identity that a user's requests are billed to.
    pub fn of(user: &UserInfo) -> Self {
        let account = user.name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
        let of_system = account.is_some_and(|(namespace, _)| namespace == "kube-system");
        if of_system
            || user.name == USER_SCHEDULER
            || user.groups.iter().any(|group| group == GROUP_MASTERS || group == GROUP_NODES)
        {
            return Self::Privileged;
        }
        match account {
            Some((namespace, _)) => Self::Identity(format!("system:serviceaccounts:{namespace}").into()),
            None => Self::Identity(user.name.as_str().into()),
        }
    }

    /// Everybody who has not said who they are.
    pub fn nobody() -> Self {
        Self::Identity(GROUP_UNAUTHENTICATED.into())
    }
}

impl Ledger {
    /// An empty ledger; `unit` is what one unit of the bounds stands for.
    pub fn new(bounds: Bounds, unit: usize) -> Self {
        let semaphore = || Arc::new(Semaphore::new(bounds.server));
        let identities = Mutex::new(HashMap::new());
        Self { inner: Arc::new(Inner { bounds, unit, server: semaphore(), privileged: semaphore(), identities }) }
    }

    /// The part of one connection.
    pub fn connection(&self) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(self.inner.bounds.connection))
    }

    /// The account of a request that `payer` made over `connection`.
    pub fn account(&self, payer: &Payer, connection: Option<Arc<Semaphore>>) -> Account {
        let inner = &self.inner;
        let (identity, server) = match payer {
            Payer::Privileged => (None, inner.privileged.clone()),
            Payer::Identity(name) => (Some(self.identity(name)), inner.server.clone()),
        };
        Account { connection, identity, server, unit: inner.unit, most: inner.bounds.connection }
    }

    fn identity(&self, name: &Arc<str>) -> Arc<Identity> {
        let mut identities = self.inner.identities.lock();
        if let Some(known) = identities.get(name).and_then(Weak::upgrade) {
            return known;
        }
        let free = Arc::new(Semaphore::new(self.inner.bounds.identity));
        let made = Arc::new(Identity { name: name.clone(), free, ledger: Arc::downgrade(&self.inner) });
        identities.insert(name.clone(), Arc::downgrade(&made));
        made
    }

    /// Units held by all, those with a whole of their own included.
    pub fn held(&self) -> usize {
        let free = self.inner.server.available_permits() + self.inner.privileged.available_permits();
        2 * self.inner.bounds.server - free
    }
}

/// The account that the charges of one request go to.
#[derive(Clone)]
pub struct Account {
    connection: Option<Arc<Semaphore>>,
    identity: Option<Arc<Identity>>,
    server: Arc<Semaphore>,
    unit: usize,
    /// Units of the largest charge: one that no connection could ever hold would wait for ever.
    most: usize,
}

/// A charge that stands until it is dropped.
pub struct Charge {
    _permits: [Option<OwnedSemaphorePermit>; 3],
    _identity: Option<Arc<Identity>>,
}

impl Account {
    fn units(&self, amount: usize) -> u32 {
        u32::try_from(amount.div_ceil(self.unit).clamp(1, self.most)).unwrap_or(u32::MAX)
    }

    /// `None`: one of the bounds is reached.
    pub fn try_charge(&self, amount: usize) -> Option<Charge> {
        let units = self.units(amount);
        let take = |from: Option<&Arc<Semaphore>>| match from {
            None => Some(None),
            Some(semaphore) => semaphore.clone().try_acquire_many_owned(units).ok().map(Some),
        };
        let connection = take(self.connection.as_ref())?;
        let identity = take(self.identity.as_ref().map(|identity| &identity.free))?;
        let server = take(Some(&self.server))?;
        Some(Charge { _permits: [server, identity, connection], _identity: self.identity.clone() })
    }

    /// Waits until all bounds leave room, in the order in which others wait.
    pub async fn charge(self, amount: usize) -> Option<Charge> {
        let units = self.units(amount);
        // From the narrowest to the widest: who waits for its own part holds nothing of everybody's.
        let connection = acquire(self.connection.as_ref(), units).await?;
        let identity = acquire(self.identity.as_ref().map(|identity| &identity.free), units).await?;
        let server = acquire(Some(&self.server), units).await?;
        Some(Charge { _permits: [server, identity, connection], _identity: self.identity })
    }
}

/// `None` only when the semaphore is closed, which nobody does.
async fn acquire(from: Option<&Arc<Semaphore>>, units: u32) -> Option<Option<OwnedSemaphorePermit>> {
    match from {
        None => Some(None),
        Some(semaphore) => semaphore.clone().acquire_many_owned(units).await.ok().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { connection: 2, identity: 3, server: 5 };

    fn user(name: &str) -> Payer {
        Payer::of(&UserInfo::new(name, Vec::<String>::new()))
    }

    #[tokio::test(start_paused = true)]
    async fn each_bound_holds_by_itself() {
        let ledger = Ledger::new(BOUNDS, 10);
        let (one, other) = (ledger.connection(), ledger.connection());
        let of = |payer: &Payer, connection: &Arc<Semaphore>| ledger.account(payer, Some(connection.clone()));
        let held = of(&user("a"), &one).try_charge(20).expect("room");
        assert!(of(&user("a"), &one).try_charge(1).is_none(), "the connection is full");
        let more = of(&user("a"), &other).try_charge(1).expect("another connection has room");
        assert!(of(&user("a"), &other).try_charge(1).is_none(), "the identity is full");
        let third = ledger.connection();
        let last = of(&user("b"), &third).try_charge(20).expect("another identity has room");
        assert!(of(&user("c"), &ledger.connection()).try_charge(1).is_none(), "the server is full");
        let admin = Payer::of(&UserInfo::new("admin", [GROUP_MASTERS]));
        assert!(of(&admin, &ledger.connection()).try_charge(1).is_some(), "not for those who look after it");
        assert_eq!(ledger.held(), 5);
        let waiting = of(&user("c"), &ledger.connection()).charge(1);
        drop(held);
        assert!(waiting.await.is_some());
        drop((more, last));
        assert_eq!(ledger.held(), 0);
        assert!(ledger.inner.identities.lock().is_empty(), "who holds nothing is forgotten");
    }

    #[test]
    fn accounts_of_one_namespace_are_one_payer() {
        let account = |namespace: &str, name: &str| Payer::of(&UserInfo::service_account(namespace, name));
        assert_eq!(account("a", "x"), account("a", "y"));
        assert_ne!(account("a", "x"), account("b", "x"));
        assert_eq!(account("kube-system", "x"), Payer::Privileged);
        assert_eq!(Payer::of(&UserInfo::node("n")), Payer::Privileged);
        assert_eq!(Payer::of(&UserInfo::scheduler()), Payer::Privileged);
    }
}
