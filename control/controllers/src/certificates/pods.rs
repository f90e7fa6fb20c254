//! PodCertificateRequests go after a quarter of an hour, whatever became of them: who waits for one has it by then
//! (pkg/controller/certificates/cleaner/pcrcleaner.go).

use super::written;
use crate::{Context, Error, limits, owner};
use sampan_api::k8s::api::certificates::v1beta1::PodCertificateRequest;
use sampan_api::{RecordKey, UserInfo};
use sampan_client::{Client, DeleteParams, Lister};
use sampan_env::Env;
use sampan_reconcile::{Reconcile, Requeue, Runtime, time};
use std::time::{Duration, SystemTime};

const NAME: &str = "podcertificaterequestcleaner";

pub(super) fn start(context: &Context) -> Result<(), Error> {
    let (env, tasks) = (&context.config.env, &context.config.tasks);
    let requests = context.informers.of::<PodCertificateRequest>()?;
    let client = context.client(UserInfo::service_account("kube-system", NAME), NAME)?;
    let mut runtime: Runtime = Runtime::new(NAME, env, tasks);
    runtime.watch(&requests);
    runtime.start(Cleaner { requests: requests.lister(), client, env: env.clone() }, limits::WORKERS);
    Ok(())
}

struct Cleaner {
    requests: Lister<PodCertificateRequest>,
    client: Client,
    env: Env,
}

impl Reconcile for Cleaner {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let Some(request) = self.requests.get(&key.namespace, &key.name) else { return Ok(Requeue::Never) };
        let left = left(&request, self.env.now());
        if !left.is_zero() {
            return Ok(Requeue::After(left));
        }
        let api = self.client.namespaced::<PodCertificateRequest>(&key.namespace);
        written(api.delete(&key.name, &DeleteParams::uid(owner::uid(&request.metadata))).await.map(drop))
    }
}

/// The time for which a request stays.
pub(super) fn left(request: &PodCertificateRequest, now: SystemTime) -> Duration {
    let age = request.metadata.creation_timestamp.as_ref().map_or(Duration::MAX, |made| time::since(now, made));
    limits::POD_REQUEST_STAYS.saturating_sub(age)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_request_stays_for_a_quarter_of_an_hour() {
        let check = |now: &str, seconds: u64| {
            let request = json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": {
                "signerName": "", "podName": "", "podUID": "", "serviceAccountName": "", "serviceAccountUID": "",
                "nodeName": "", "nodeUID": "", "pkixPublicKey": "", "proofOfPossession": "",
            }});
            let request = serde_json::from_value(request).expect("a request");
            let now = sampan_api::time::parse(now).expect("a time");
            assert_eq!(left(&request, now), Duration::from_secs(seconds), "{now:?}");
        };
        check("2026-01-01T00:00:00Z", 900);
        check("2026-01-01T00:14:59Z", 1);
        check("2026-01-01T00:15:00Z", 0);
        check("2026-01-02T00:00:00Z", 0);
    }
}
