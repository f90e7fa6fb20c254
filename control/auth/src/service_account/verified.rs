//! Tokens whose signature was found to be right, so that the next request with one costs a hash and not a signature.

use super::claims::Claims;
use crate::limits::{VERIFIED_TOKENS_MAX, VERIFIED_TOKENS_OF_ONE_MAX};
use aws_lc_rs::digest::{SHA256, digest};
use parking_lot::Mutex;
use sampan_api::UserInfo;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// A token that one of the keys has signed.
pub(super) struct Verified {
    /// What it says.
    pub claims: Claims,
    /// Whose it is.
    pub user: Arc<UserInfo>,
}

type Hash = [u8; 32];

/// The newest such tokens. Each account has a bounded part: one that asks for many displaces its own.
#[derive(Default)]
pub(super) struct VerifiedTokens {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    tokens: HashMap<Hash, Arc<Verified>>,
    /// Of each account, oldest first.
    of: HashMap<String, VecDeque<Hash>>,
}

/// The name under which a token is kept: who reads memory finds no token here.
pub(super) fn hash(token: &str) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

impl VerifiedTokens {
    /// The token of that hash, if it is known.
    pub fn get(&self, hash: &Hash) -> Option<Arc<Verified>> {
        self.inner.lock().tokens.get(hash).cloned()
    }

    /// Remembers a token.
    pub fn insert(&self, hash: Hash, token: Arc<Verified>) {
        let inner = &mut *self.inner.lock();
        let name = &token.user.name;
        if inner.tokens.len() >= VERIFIED_TOKENS_MAX {
            // All are verified anew when they are next used: a miss costs a signature.
            inner.tokens.clear();
            inner.of.clear();
        }
        let own = inner.of.entry(name.clone()).or_default();
        if own.len() >= VERIFIED_TOKENS_OF_ONE_MAX
            && let Some(oldest) = own.pop_front()
        {
            inner.tokens.remove(&oldest);
        }
        if inner.tokens.insert(hash, token).is_none() {
            own.push_back(hash);
        }
    }

    /// Forgets it: it holds no more.
    pub fn forget(&self, hash: &Hash) {
        let inner = &mut *self.inner.lock();
        let Some(token) = inner.tokens.remove(hash) else { return };
        if let Some(own) = inner.of.get_mut(&token.user.name) {
            own.retain(|one| one != hash);
            if own.is_empty() {
                inner.of.remove(&token.user.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_account_displaces_its_own_tokens_and_all_have_a_bound() {
        let tokens = VerifiedTokens::default();
        let add = |account: &str, number: usize| {
            let user = Arc::new(UserInfo::service_account("n", account));
            tokens.insert(hash(&format!("{account}-{number}")), Arc::new(Verified { claims: Claims::default(), user }));
        };
        add("quiet", 0);
        (0..=VERIFIED_TOKENS_OF_ONE_MAX).for_each(|number| add("greedy", number));
        assert!(tokens.get(&hash("quiet-0")).is_some());
        assert!(tokens.get(&hash("greedy-0")).is_none() && tokens.get(&hash("greedy-1")).is_some());
        tokens.forget(&hash("greedy-1"));
        assert!(tokens.get(&hash("greedy-1")).is_none());
        (0..VERIFIED_TOKENS_MAX).for_each(|number| add(&format!("a{number}"), 0));
        let inner = tokens.inner.lock();
        assert!(inner.tokens.len() <= VERIFIED_TOKENS_MAX);
        assert_eq!(inner.of.values().map(VecDeque::len).sum::<usize>(), inner.tokens.len());
    }
}
