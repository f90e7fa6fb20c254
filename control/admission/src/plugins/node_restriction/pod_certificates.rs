//! Requests for certificates of pods: a node asks for those of its own pods, as they are.

use super::Write;
use sampan_api::admission::Operation;
use sampan_api::field::go_quote;
use sampan_api::k8s::api::core::v1::{Node, Pod, ServiceAccount};
use sampan_api::{Object, Reason, Status};
use sampan_auth::node::MIRROR_POD;
use sampan_client::{Client, Error};

pub(super) async fn request(write: &Write<'_>, client: &Client) -> Result<(), Status> {
    if write.operation() != Operation::Create {
        return Err(write.forbidden(&format!("unexpected operation {}", write.operation())));
    }
    if !write.attributes.subresource.is_empty() {
        return Err(write.forbidden(&format!("unexpected subresource {}", write.attributes.subresource)));
    }
    let asked = Asked { write, request: write.sent()? };
    asked.node(client).await?;
    let pod = asked.pod(client).await?;
    asked.account(client, &pod).await
}

/// What a node asks for.
struct Asked<'a> {
    write: &'a Write<'a>,
    request: &'a Object,
}

impl Asked<'_> {
    fn of(&self, field: &str) -> &str {
        self.request.get_str(&["spec", field]).unwrap_or_default()
    }

    /// A name in the request's namespace, quoted.
    fn within(&self, name: &str) -> String {
        go_quote(&format!("{}/{name}", self.write.attributes.namespace))
    }

    /// An object that was read, or why it could not be. `what`: its kind in words; `shown`: its name.
    fn read<T>(&self, what: &str, shown: &str, name: &str, found: Result<T, Error>) -> Result<T, Status> {
        let why =
            |error: String| format!("while retrieving {what} {shown} named in the PodCertificateRequest: {error}");
        found.map_err(|error| match error.is_not_found() {
            true => not_yet(why(format!("{} {} not found", what.replace(' ', ""), go_quote(name)))),
            false => self.write.forbidden(&why(error.to_string())),
        })
    }

    async fn node(&self, client: &Client) -> Result<(), Status> {
        let (name, uid) = (self.of("nodeName"), self.of("nodeUID"));
        if name != self.write.node {
            let why = format!(
                "PodCertificateRequest.Spec.NodeName={}, which is not the requesting node {}",
                go_quote(name),
                go_quote(self.write.node)
            );
            return Err(self.write.forbidden(&why));
        }
        let node = self.read("node", &go_quote(name), name, client.all::<Node>().get_record(name).await)?;
        if *node.uid == *uid {
            return Ok(());
        }
        Err(not_yet(format!(
            "PodCertificateRequest for pod {} names node UID {}, inconsistent with the running node ({})",
            self.within(self.of("podName")),
            go_quote(uid),
            go_quote(&node.uid)
        )))
    }

    async fn pod(&self, client: &Client) -> Result<Object, Status> {
        let (name, uid) = (self.of("podName"), self.of("podUID"));
        let shown = self.within(name);
        let pods = client.namespaced::<Pod>(self.write.attributes.namespace);
        let pod = self.read("pod", &shown, name, pods.get_record(name).await)?.object();
        if pod.uid() != uid {
            return Err(not_yet(format!(
                "PodCertificateRequest for pod {shown} contains pod UID ({}) which differs from running pod {}",
                go_quote(uid),
                go_quote(pod.uid())
            )));
        }
        if pod.get_str(&["spec", "nodeName"]) != Some(self.write.node) {
            let node = go_quote(self.write.node);
            let why = format!("pod {shown} is not running on node {node} named in the PodCertificateRequest");
            return Err(self.write.forbidden(&why));
        }
        if pod.annotation(MIRROR_POD).is_some() {
            return Err(self.write.forbidden(&format!("pod {shown} is a mirror pod")));
        }
        Ok(pod)
    }

    async fn account(&self, client: &Client, pod: &Object) -> Result<(), Status> {
        let (name, uid) = (self.of("serviceAccountName"), self.of("serviceAccountUID"));
        let shown = self.within(self.of("podName"));
        let running = pod.get_str(&["spec", "serviceAccountName"]).unwrap_or_default();
        if running != name {
            let (name, running) = (go_quote(name), go_quote(running));
            let why = format!(
                "PodCertificateRequest for pod {shown} contains serviceAccountName ({name}) that differs from running pod ({running})"
            );
            return Err(self.write.forbidden(&why));
        }
        let accounts = client.namespaced::<ServiceAccount>(self.write.attributes.namespace);
        let account = self.read("service account", &self.within(name), name, accounts.get_record(name).await)?;
        if *account.uid == *uid {
            return Ok(());
        }
        let (uid, running) = (go_quote(uid), go_quote(&account.uid));
        Err(not_yet(format!(
            "PodCertificateRequest for pod {shown} names service account UID {uid}, which differs from the running service account ({running})"
        )))
    }
}

/// A refusal that another try may not meet: what was read may be older than what the node knows.
fn not_yet(why: String) -> Status {
    Status::failure(Reason::Unknown, why)
}
