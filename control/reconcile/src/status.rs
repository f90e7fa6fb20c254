//! Writing a status that others write too.

use crate::{Error, limits, owner};
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sampan_api::k8s::{Metadata, Resource};
use sampan_client::Api;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The treatment of a status write when somebody else has written the object first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// The write fails: the status was computed from an older object and must not stand beside a newer one's. The key
    /// comes again by itself.
    Fail,
    /// The object is read again, the change made to what is there now, and written: [`limits::STATUS_ATTEMPTS`] times.
    Reread,
}

/// Writes the status of `object` after `change` was made to it. `change` answers whether there is anything to write, and is
/// called again for each newer form of the object that is read after a conflict.
///
/// Returns the object as it was stored; `None` when nothing was written: nothing changed, the object is gone, or another
/// object has its name by now.
///
/// # Errors
/// Errors of the API; a conflict as `conflict` says.
pub async fn update_status<K>(
    api: &Api<K>,
    object: &K,
    conflict: Conflict,
    mut change: impl FnMut(&mut K) -> bool,
) -> Result<Option<K>, Error>
where
    K: Resource + Metadata<Ty = ObjectMeta> + Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let name = owner::name(object.metadata());
    let failed = |error| Error::of(format!("status of {} {name}", K::KIND))(error);
    let mut current = object.clone();
    for attempt in 1.. {
        if !change(&mut current) {
            return Ok(None);
        }
        match api.update_status(name, &current).await {
            Ok(stored) => return Ok(Some(stored)),
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) if error.is_conflict() && conflict == Conflict::Reread && attempt < limits::STATUS_ATTEMPTS => {
                match api.get_opt(name).await.map_err(failed)? {
                    Some(newer) if newer.metadata().uid == object.metadata().uid => current = newer,
                    _ => return Ok(None),
                }
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(None)
}
