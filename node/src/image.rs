//! The image of a container: the pull policy, in a kubelet's order and words.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::runtime::{ImageError, PodRuntime, PulledImage};
use sampan_client::EventType;
use sampan_env::Env;
use std::time::Duration;

/// A kubelet's reasons for an image that is not to be had: it could not be fetched,
pub const ERR_IMAGE_PULL: &str = "ErrImagePull";
/// it is not on this machine and may not be fetched,
pub const ERR_IMAGE_NEVER_PULL: &str = "ErrImageNeverPull";
/// it could not be fetched and is waited after,
pub const IMAGE_PULL_BACK_OFF: &str = "ImagePullBackOff";
/// or its name is none.
pub const INVALID_IMAGE_NAME: &str = "InvalidImageName";

/// The image as the policy (`Always`, `IfNotPresent`, `Never`) has it, with the events that a kubelet records on the way.
pub async fn ensure(
    runtime: &dyn PodRuntime,
    env: &Env,
    image: &str,
    policy: &str,
    event: &(dyn Fn(EventType, &str, String) + Send + Sync),
) -> Result<PulledImage, ImageError> {
    let made = obtain(runtime, env, image, policy, event).await;
    if let Err(error) = &made {
        let (reason, text) = match error.reason {
            INVALID_IMAGE_NAME => {
                ("InspectFailed", format!("Failed to apply default image tag {image:?}: {}", error.message))
            }
            ERR_IMAGE_NEVER_PULL => (ERR_IMAGE_NEVER_PULL, error.message.clone()),
            _ => ("Failed", format!("Failed to pull image {image:?}: {}", error.message)),
        };
        event(EventType::Warning, reason, text);
        event(EventType::Warning, "Failed", format!("Error: {}", error.reason));
    }
    made
}

async fn obtain(
    runtime: &dyn PodRuntime,
    env: &Env,
    image: &str,
    policy: &str,
    event: &(dyn Fn(EventType, &str, String) + Send + Sync),
) -> Result<PulledImage, ImageError> {
    if policy != "Always" {
        if let Some(found) = runtime.image_status(image).await? {
            let text = format!("Container image {image:?} already present on machine and can be accessed by the pod");
            event(EventType::Normal, "Pulled", text);
            return Ok(found);
        }
        if policy == "Never" {
            let message = format!("Container image {image:?} is not present with pull policy of Never");
            return Err(ImageError { reason: ERR_IMAGE_NEVER_PULL, message });
        }
    }
    event(EventType::Normal, "Pulling", format!("Pulling image {image:?}"));
    let start = env.instant();
    let pulled = runtime.pull_image(image).await?;
    // Pulls do not wait for each other here.
    let took = Duration::from_millis(
        u64::try_from(env.instant().saturating_duration_since(start).as_millis()).unwrap_or(u64::MAX),
    );
    let text = format!(
        "Successfully pulled image {image:?} in {took:?} ({took:?} including waiting). Image size: {} bytes.",
        pulled.size
    );
    event(EventType::Normal, "Pulled", text);
    Ok(pulled)
}
