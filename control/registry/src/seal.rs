//! Tags by which a process knows what it handed out.

use hmac::{Hmac, Mac};
use sampan_env::Env;
use sha2::Sha256;

/// Bytes of a block of SHA-256: the length of a key that HMAC takes as it is.
const BLOCK: usize = 64;
/// Bytes of a tag.
const TAG: usize = 16;

/// A key of this process's own, for HMAC-SHA256. What an earlier process handed out is not known.
pub(crate) struct Seal([u8; BLOCK]);

impl Seal {
    /// With a new key.
    pub(crate) fn new(env: &Env) -> Self {
        let mut key = [0; BLOCK];
        env.fill(&mut key);
        Self(key)
    }

    /// The tag of these texts and this number.
    pub(crate) fn tag(&self, texts: &[&str], number: i64) -> [u8; TAG] {
        let whole = self.mac(texts, number).finalize().into_bytes();
        std::array::from_fn(|at| whole[at])
    }

    /// Whether it is their tag.
    pub(crate) fn knows(&self, texts: &[&str], number: i64, tag: &[u8]) -> bool {
        tag.len() == TAG && self.mac(texts, number).verify_truncated_left(tag).is_ok()
    }

    fn mac(&self, texts: &[&str], number: i64) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new((&self.0).into());
        mac.update(&number.to_le_bytes());
        for text in texts {
            mac.update(&(text.len() as u64).to_le_bytes());
            mac.update(text.as_bytes());
        }
        mac
    }
}
