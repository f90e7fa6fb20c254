//! Tables over the plan of certificate requests.

use super::*;
use sampan_api::certificate::RequestedCertificate;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn node() -> RequestedCertificate {
    RequestedCertificate {
        common_name: "system:node:n1".into(),
        organizations: vec!["system:nodes".into()],
        ..RequestedCertificate::default()
    }
}

#[test]
fn each_signer_has_its_rules() {
    let check = |signer: Signer, change: &dyn Fn(&mut RequestedCertificate), usages: &[&str], expected: &str| {
        let mut asked = node();
        change(&mut asked);
        let told = judge(signer, &asked, usages).err().unwrap_or_default();
        assert_eq!(told, expected, "{signer:?} {asked:?} {usages:?}");
    };
    let same = |_: &mut RequestedCertificate| {};
    let client = ["digital signature", "client auth"];
    let rsa = ["key encipherment", "digital signature", "client auth"];
    check(Signer::Client, &same, &client, "");
    check(Signer::Client, &same, &["server auth"], "invalid usage for client certificate: server auth");
    check(Signer::Client, &same, &["digital signature"], "missing required usage for client certificate: client auth");
    check(Signer::Legacy, &same, &["any"], "");
    check(Signer::KubeletClient, &same, &client, "");
    check(Signer::KubeletClient, &same, &rsa, "");
    let all = "usages did not match [client auth digital signature key encipherment]";
    check(Signer::KubeletClient, &same, &["client auth"], all);
    check(Signer::KubeletClient, &same, &["digital signature", "client auth", "server auth"], all);
    let of = |group: &'static str| move |asked: &mut RequestedCertificate| asked.organizations.push(group.into());
    check(Signer::KubeletClient, &of("system:masters"), &client, "subject organization is not system:nodes");
    check(Signer::KubeletClient, &|asked| asked.dns_names = 1, &client, "DNS subjectAltNames are not allowed");
    check(
        Signer::KubeletClient,
        &|asked| asked.common_name = "alice".into(),
        &client,
        "subject common name does not begin with system:node:",
    );
    let serving = ["digital signature", "server auth"];
    check(Signer::KubeletServing, &same, &serving, "DNS or IP subjectAltName is required");
    check(Signer::KubeletServing, &|asked| asked.ip_addresses = 1, &serving, "");
    check(
        Signer::KubeletServing,
        &|asked| (asked.dns_names, asked.uris) = (1, 1),
        &serving,
        "URI subjectAltNames are not allowed",
    );
}

fn request(signer: &str, status: Value) -> CertificateSigningRequest {
    let spec = json!({
        "signerName": signer, "request": "", "usages": ["digital signature", "client auth"], "username": "system:node:n1",
    });
    let metadata = json!({"name": "r", "creationTimestamp": "2026-01-01T00:00:00Z"});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).expect("a request")
}

/// An authority that reads the same out of every request.
struct Fixed(RequestedCertificate);

impl CertificateAuthority for Fixed {
    fn read(&self, _: &[u8]) -> Result<RequestedCertificate, String> {
        Ok(self.0.clone())
    }
    fn sign(&self, _: &[u8], _: &[&str], _: Duration, _: SystemTime) -> Result<String, String> {
        Err("not asked".into())
    }
    fn not_after(&self, _: &[u8]) -> Option<SystemTime> {
        None
    }
}

#[test]
fn kubelets_are_approved_by_rights_and_only_once() {
    let check = |request: &CertificateSigningRequest, asked: RequestedCertificate, expected: &[&str]| {
        let rights: Vec<&str> = approval(request, &Fixed(asked)).into_iter().map(|(right, _)| right).collect();
        assert_eq!(rights, expected, "{request:?}");
    };
    let kubelet = "kubernetes.io/kube-apiserver-client-kubelet";
    check(&request(kubelet, json!({})), node(), &["selfnodeclient", "nodeclient"]);
    let other = RequestedCertificate { common_name: "system:node:n2".into(), ..node() };
    check(&request(kubelet, json!({})), other, &["nodeclient"]);
    check(&request(kubelet, json!({})), RequestedCertificate::default(), &[]);
    check(&request("kubernetes.io/kubelet-serving", json!({})), node(), &[]);
    for decided in ["Approved", "Denied"] {
        let conditions = json!({"conditions": [{"type": decided, "status": "True"}]});
        check(&request(kubelet, conditions), node(), &[]);
    }
}

#[test]
fn what_is_approved_is_signed_once() {
    let check = |conditions: &[&str], certificate: &str, expected: Option<Signer>| {
        let conditions: Vec<Value> = conditions.iter().map(|kind| json!({"type": kind, "status": "True"})).collect();
        let status = json!({"conditions": conditions, "certificate": certificate});
        assert_eq!(Signer::of(&request("kubernetes.io/kube-apiserver-client", status)), expected);
    };
    check(&[], "", None);
    check(&["Approved"], "", Some(Signer::Client));
    check(&["Approved"], "YQ==", None);
    check(&["Approved", "Failed"], "", None);
    check(&["Approved", "Denied"], "", None);
    let approved = json!({"conditions": [{"type": "Approved", "status": "True"}]});
    assert_eq!(Signer::of(&request("example.com/own", approved)), None);
    for status in ["False", "Unknown", "true", ""] {
        let told = json!({"conditions": [{"type": "Approved", "status": status}]});
        assert_eq!(Signer::of(&request("kubernetes.io/kube-apiserver-client", told)), None, "{status:?}");
    }
    assert_eq!(lifetime(None), Duration::from_secs(365 * 86_400));
    assert_eq!(lifetime(Some(5)), Duration::from_secs(600));
    assert_eq!(lifetime(Some(3_600)), Duration::from_secs(3_600));
    assert_eq!(lifetime(Some(i32::MAX)), Duration::from_secs(365 * 86_400));
}

#[test]
fn old_requests_go() {
    let made = sampan_api::time::parse("2026-01-01T00:00:00Z").expect("a time");
    let check = |status: Value, hours: u64, end: Option<u64>, gone: bool| {
        let now = made + Duration::from_secs(hours * 3_600 + 1);
        let ends = |_: &[u8]| end.map(|hours| made + Duration::from_secs(hours * 3_600));
        let found = clean(&request("x.io/y", status.clone()), now, ends);
        assert_eq!(found == Clean::Delete, gone, "{status} after {hours} h");
    };
    let with = |kind: &str, certificate: &str| {
        let at = "2026-01-01T00:00:00Z";
        json!({"conditions": [{"type": kind, "status": "True", "lastUpdateTime": at}], "certificate": certificate})
    };
    check(json!({}), 23, None, false);
    check(json!({}), 24, None, true);
    check(with("Denied", ""), 0, None, false);
    check(with("Denied", ""), 1, None, true);
    check(with("Failed", ""), 1, None, true);
    check(with("Approved", ""), 2, None, false);
    check(with("Approved", ""), 24, None, true);
    check(with("Approved", "YQ=="), 0, None, false);
    check(with("Approved", "YQ=="), 1, None, true);
    check(with("Approved", "YQ=="), 0, Some(0), true);
    assert!(UNIX_EPOCH < made);
}
