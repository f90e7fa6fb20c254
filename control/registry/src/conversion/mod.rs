//! Conversion of objects by a webhook (`spec.conversion.strategy: Webhook` of a definition).

mod asked;
mod review;

pub use asked::Conversions;
pub(crate) use review::go_type;

use crate::limits::{CONVERSION_TIMEOUT, CONVERSIONS_MAX, CONVERSIONS_WAITING_MAX};
use review::{Review, ReviewVersion};
use sampan_api::field::FieldErrors;
use sampan_api::meta::GroupVersionKind;
use sampan_api::object::Object;
use sampan_api::status::Status;
use sampan_api::webhook::{CallError, WebhookCaller};
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;

/// The webhook that converts the objects of one definition, and the turns of those who ask it.
pub struct Conversion {
    client_config: Value,
    /// `None`: it knows no version of ConversionReview that is spoken here.
    version: Option<ReviewVersion>,
    calls: Semaphore,
    /// Those who ask, or wait to.
    asking: AtomicUsize,
}

impl std::fmt::Debug for Conversion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conversion").field("version", &self.version).finish_non_exhaustive()
    }
}

/// Somebody who asks a webhook, counted as long as it does.
struct Asking<'a>(&'a AtomicUsize);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Conversion {
    /// Of a definition's `spec.conversion.webhook`.
    pub(crate) fn new(webhook: &Value) -> Self {
        Self {
            client_config: webhook["clientConfig"].clone(),
            version: ReviewVersion::of(&webhook["conversionReviewVersions"]),
            calls: Semaphore::new(CONVERSIONS_MAX),
            asking: AtomicUsize::new(0),
        }
    }

    /// The objects, which are few, in the version of `wanted`. `check` says what is wrong with labels or annotations.
    pub(crate) async fn convert(
        &self,
        caller: &dyn WebhookCaller,
        uid: &str,
        objects: &[Object],
        wanted: &GroupVersionKind,
        check: &(dyn Fn(&str, &Value) -> FieldErrors + Sync),
    ) -> Result<Vec<Object>, Failed> {
        let failed = |why: &str| Failed::Told(review::failed(objects, why));
        let Some(version) = self.version else {
            return Err(Failed::Told("no supported conversion review versions".to_owned()));
        };
        let before = self.asking.fetch_add(1, Ordering::Relaxed);
        let _asking = Asking(&self.asking);
        if before >= CONVERSIONS_WAITING_MAX {
            return Err(Failed::Busy);
        }
        let review = Review { version, uid, objects, wanted, check };
        let body = review.body().map_err(|error| failed(&error.to_string()))?;
        let mut answer = None;
        let wait = async {
            let call = async {
                let _turn = self.calls.acquire().await;
                caller.call(&self.client_config, body, CONVERSION_TIMEOUT).await
            };
            // The wait for a turn is a part of the time.
            answer = tokio::time::timeout(CONVERSION_TIMEOUT, call).await.ok();
        };
        caller.aside(Box::pin(wait)).await.map_err(Failed::Refused)?;
        match answer {
            Some(Ok(answer)) => review.read(&answer).map_err(Failed::Told),
            Some(Err(CallError(why))) => Err(failed(&why)),
            None => Err(failed("context deadline exceeded")),
        }
    }
}

/// The reason why objects were not converted.
#[derive(Debug)]
pub(crate) enum Failed {
    /// In Kubernetes' words.
    Told(String),
    /// The request that waited cannot go on.
    Refused(Box<Status>),
    /// Too many wait for the webhook.
    Busy,
}
