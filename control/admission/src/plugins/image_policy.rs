//! Has a webhook say whether a pod's images may run (plugin/pkg/admission/imagepolicy).

use crate::chain::Plugin;
use crate::limits::{IMAGE_REVIEW_ANSWER_MAX, IMAGE_REVIEW_ATTEMPTS_MAX, IMAGE_REVIEW_TIME_MAX, IMAGE_REVIEWS_MAX};
use crate::lru::Lru;
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request, StatusCode, Uri};
use parking_lot::Mutex;
use sampan_api::admission::{Attributes, Operation};
use sampan_api::{Object, Status};
use sampan_client::{Client, Error, Kubeconfig, RemoteConfig, Result as ClientResult, collect};
use sampan_env::Tasks;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The plugin's configuration, with the server out of the kubeconfig that it names.
#[derive(Clone)]
pub(crate) struct ImagePolicyConfiguration {
    remote: RemoteConfig,
    /// The path of its URL.
    path: String,
    /// Time for which an answer holds.
    allow: Duration,
    deny: Duration,
    /// Before the second question, where the first was not answered.
    back_off: Duration,
    /// Whether pods may run where it does not answer.
    default_allow: bool,
}

impl std::fmt::Debug for ImagePolicyConfiguration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImagePolicyConfiguration").field("server", &self.remote.server).finish_non_exhaustive()
    }
}

/// The configuration as the file has it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ImagePolicyFile {
    image_policy: FilePolicy,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FilePolicy {
    kube_config_file: PathBuf,
    /// Seconds; 0 the default, -1 none.
    #[serde(default, rename = "allowTTL")]
    allow_ttl: i64,
    #[serde(default, rename = "denyTTL")]
    deny_ttl: i64,
    /// Milliseconds.
    #[serde(default)]
    retry_backoff: i64,
    #[serde(default)]
    default_allow: bool,
}

/// A time as the file has it: -1 turns it off, 0 is the default, what is beyond the bounds is refused.
fn time(
    value: i64,
    unit: Duration,
    (least, most): (Duration, Duration),
    default: Duration,
) -> Result<Duration, String> {
    let wanted = match value {
        -1 => return Ok(Duration::ZERO),
        0 => return Ok(default),
        value => u32::try_from(value).ok().and_then(|value| unit.checked_mul(value)),
    };
    let valid = wanted.filter(|wanted| (least..=most).contains(wanted));
    valid.ok_or_else(|| format!("valid value is between {least:?} and {most:?}, got {value}"))
}

impl ImagePolicyConfiguration {
    /// Reads the kubeconfig that the file names.
    pub(crate) fn read(ImagePolicyFile { image_policy: file }: ImagePolicyFile) -> Result<Self, String> {
        const SECOND: Duration = Duration::from_secs(1);
        const CACHED: (Duration, Duration) = (SECOND, Duration::from_secs(30 * 60));
        let mut remote = Kubeconfig::load_file(&file.kube_config_file)
            .and_then(|kubeconfig| kubeconfig.remote_config(None))
            .map_err(|error| format!("{}: {error}", file.kube_config_file.display()))?;
        let uri: Uri = remote.server.parse().map_err(|error| format!("{}: {error}", remote.server))?;
        let (scheme, authority) = uri
            .scheme_str()
            .zip(uri.authority())
            .filter(|(scheme, _)| *scheme == "https")
            .ok_or_else(|| format!("{}: it is no https URL", remote.server))?;
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
        remote.server = format!("{scheme}://{authority}");
        let back_off = (Duration::from_nanos(1), Duration::from_secs(5 * 60));
        Ok(Self {
            path,
            allow: time(file.allow_ttl, SECOND, CACHED, Duration::from_secs(5 * 60))?,
            deny: time(file.deny_ttl, SECOND, CACHED, Duration::from_secs(30))?,
            back_off: time(file.retry_backoff, Duration::from_millis(1), back_off, Duration::from_millis(500))?,
            default_allow: file.default_allow,
            remote,
        })
    }
}

/// The plugin.
pub struct ImagePolicyWebhook {
    /// `None`: nobody told it whom to ask, and it refuses all pods.
    configuration: Option<(ImagePolicyConfiguration, Client)>,
    answers: Mutex<Lru<Option<Answer>>>,
}

/// What the webhook said of a pod.
#[derive(Clone)]
struct Answer {
    allowed: bool,
    reason: String,
    until: Instant,
}

/// Why there is no answer, and whether another try may bring one.
struct Unanswered {
    why: String,
    again: bool,
}

impl ImagePolicyWebhook {
    /// `client` gives the clock, `tasks` own the connections.
    pub(crate) fn new(
        configuration: Option<&ImagePolicyConfiguration>,
        client: &Client,
        tasks: &Tasks,
    ) -> ClientResult<Self> {
        let connected = configuration.map(|configuration| {
            let remote = Client::remote(configuration.remote.clone(), "kube-apiserver", client.env(), tasks)?;
            Ok::<_, Error>((configuration.clone(), remote))
        });
        Ok(Self { configuration: connected.transpose()?, answers: Mutex::new(Lru::new(IMAGE_REVIEWS_MAX)) })
    }

    /// The webhook's answer, or the one that it gave to the same question not long ago.
    async fn review(&self, spec: Value) -> Result<Answer, String> {
        let Some((configuration, remote)) = &self.configuration else { return Err("no config specified".to_owned()) };
        let key = spec.to_string();
        let now = remote.env().instant().into_std();
        let known = self.answers.lock().entry(&key, || None).clone();
        if let Some(known) = known.filter(|known| known.until > now) {
            return Ok(known);
        }
        let review = json!({"apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview",
            "metadata": {}, "spec": spec, "status": {"allowed": false}});
        let body = Bytes::from(review.to_string());
        let mut wait = configuration.back_off;
        let mut attempt = 1;
        let status = loop {
            let asked = ask(remote, &configuration.path, body.clone());
            let answered = tokio::time::timeout(IMAGE_REVIEW_TIME_MAX, asked).await;
            match answered.unwrap_or_else(|_| Err(Unanswered { why: "context deadline exceeded".into(), again: false }))
            {
                Ok(status) => break status,
                Err(Unanswered { again: true, .. }) if attempt < IMAGE_REVIEW_ATTEMPTS_MAX => {
                    remote.env().sleep(wait).await;
                    wait = wait.mul_f64(1.5);
                    attempt += 1;
                }
                Err(Unanswered { why, .. }) => return Err(why),
            }
        };
        let allowed = status["allowed"] == true;
        let holds = if allowed { configuration.allow } else { configuration.deny };
        let reason = status["reason"].as_str().unwrap_or_default().to_owned();
        let answer = Answer { allowed, reason, until: remote.env().instant().into_std() + holds };
        *self.answers.lock().entry(&key, || None) = Some(answer.clone());
        Ok(answer)
    }
}

/// Asks once, and gives the answer's status.
async fn ask(remote: &Client, path: &str, body: Bytes) -> Result<Value, Unanswered> {
    let broken = |why: String| Unanswered { why, again: true };
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json")
        .body(body)
        .map_err(|error| Unanswered { why: error.to_string(), again: false })?;
    let response = remote.send(request).await.map_err(|error| broken(error.to_string()))?;
    let code = response.status();
    let body =
        collect(response.into_body(), IMAGE_REVIEW_ANSWER_MAX).await.map_err(|error| broken(error.to_string()))?;
    if !code.is_success() {
        let again = code.is_server_error() || code == StatusCode::TOO_MANY_REQUESTS;
        return Err(Unanswered { why: format!("Error contacting webhook: {}", code.as_u16()), again });
    }
    let read: Value =
        serde_json::from_slice(&body).map_err(|error| Unanswered { why: error.to_string(), again: false })?;
    match read.get("status") {
        Some(status) if read["kind"] == "ImageReview" => Ok(status.clone()),
        _ => Err(Unanswered { why: "the webhook's answer is no ImageReview".to_owned(), again: false }),
    }
}

/// The images of the containers that the request is about, and the annotations that are meant for the webhook.
fn spec(attributes: &Attributes<'_>, pod: &Object) -> Value {
    let lists: &[&str] =
        if attributes.subresource.is_empty() { &["containers", "initContainers"] } else { &["ephemeralContainers"] };
    let containers = lists.iter().filter_map(|list| pod.get(&["spec", list])?.as_array()).flatten();
    let containers: Vec<Value> =
        containers.map(|container| json!({"image": container["image"].as_str().unwrap_or_default()})).collect();
    let annotations = pod.annotations().filter(|(name, _)| name.contains(".image-policy.k8s.io/"));
    let annotations: Map<String, Value> = annotations.map(|(name, value)| (name.to_owned(), value.into())).collect();
    json!({"containers": containers, "annotations": annotations, "namespace": attributes.namespace})
}

#[async_trait]
impl Plugin for ImagePolicyWebhook {
    fn name(&self) -> &'static str {
        "ImagePolicyWebhook"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        let pods = attributes.resource.group.is_empty() && attributes.resource.resource == "pods";
        let written = matches!(attributes.operation, Operation::Create | Operation::Update);
        pods && written && matches!(attributes.subresource, "" | "ephemeralcontainers")
    }

    async fn validate(&self, attributes: &Attributes<'_>, pod: Option<&Object>) -> Result<(), Status> {
        let Some(pod) = pod else { return Ok(()) };
        match self.review(spec(attributes, pod)).await {
            Ok(Answer { allowed: true, .. }) => Ok(()),
            Ok(Answer { reason, .. }) if reason.is_empty() => {
                Err(attributes.forbidden("one or more images rejected by webhook backend"))
            }
            Ok(Answer { reason, .. }) => {
                Err(attributes.forbidden(&format!("image policy webhook backend denied one or more images: {reason}")))
            }
            Err(why) => {
                tracing::warn!(%why, "the image policy's webhook gives no answer");
                match &self.configuration {
                    Some((configuration, _)) if configuration.default_allow => Ok(()),
                    _ => Err(attributes.forbidden(&why)),
                }
            }
        }
    }
}
