//! What programs see of the server beside its objects: tags of discovery, the documents by which tokens are verified, what it
//! makes of certificates, and the addresses that it listens on.

use http::Method;
use sampan_client::Credentials;
use sampan_tests::exchange::{AGGREGATED, Asker};
use sampan_tests::{Sampan, eventually};
use serde_json::json;
use std::collections::BTreeSet;

/// A server of its own, whose configuration is this.
fn up(config: &str, components: &str) -> (tempfile::TempDir, Sampan) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, config).expect("written");
    let sampan = Sampan::up(folder.path(), &["--components", components, "--config", &file.to_string_lossy()]);
    (folder, sampan)
}

#[test]
fn discovery_is_tagged_until_it_changes() {
    let (_folder, sampan) = up("{}", "apiserver,controllers");
    let admin = Asker::admin(&sampan);
    for path in ["/api", "/apis"] {
        let first = admin.get(path, &[("accept", AGGREGATED)]);
        assert_eq!((first.code, first.header("content-type")), (200, AGGREGATED), "{path}");
        assert_eq!((first.header("vary"), first.header("cache-control")), ("Accept", "public"), "{path}");
        let tag = first.header("etag");
        assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2, "{path}: {tag}");
        let again = admin.get(path, &[("accept", AGGREGATED), ("if-none-match", tag)]);
        assert_eq!((again.code, again.header("etag"), again.body.len()), (304, tag, 0), "{path}");
        let other = admin.get(path, &[("accept", AGGREGATED), ("if-none-match", "\"other\"")]);
        assert_eq!(other.code, 200, "{path}");
    }
    let before = admin.get("/apis", &[("accept", AGGREGATED)]);
    let schema = json!({"openAPIV3Schema": {"type": "object"}});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "boats.tags.example.com"},
        "spec": {
            "group": "tags.example.com",
            "scope": "Cluster",
            "names": {"plural": "boats", "singular": "boat", "kind": "Boat"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
        },
    });
    assert_eq!(admin.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).code, 201);
    let changed = eventually("another tag", || {
        let answer = admin.get("/apis", &[("accept", AGGREGATED), ("if-none-match", before.header("etag"))]);
        (answer.code == 200).then_some(answer)
    });
    assert_ne!(changed.header("etag"), before.header("etag"));
}

const CONFIGURATION: &str = "/.well-known/openid-configuration";
const KEYS: &str = "/openid/v1/jwks";

#[test]
fn tokens_are_verified_by_published_documents() {
    let check = |anonymous: bool, refusal: u16| {
        let (_folder, sampan) = up(&format!("authentication: {{anonymous: {anonymous}}}\n"), "apiserver,controllers");
        sampan.kubectl("1.35", &["wait", "serviceaccount/default", "--for=create", "--timeout=60s"]);
        let token = sampan.kubectl("1.35", &["create", "token", "default"]).trim().to_owned();
        let account = Asker::with(&sampan, Credentials::Token(token.clone()));
        let of = |path: &str, content_type: &str| {
            let answer = account.get(path, &[]);
            assert_eq!((answer.code, answer.header("content-type")), (200, content_type), "{path}");
            assert_eq!(answer.header("cache-control"), "public, max-age=3600", "{path}");
            answer.json()
        };
        let configuration = of(CONFIGURATION, "application/json");
        let keys = of(KEYS, "application/jwk-set+json");
        assert_eq!(configuration["issuer"], "https://kubernetes.default.svc.cluster.local");
        assert_eq!(configuration["jwks_uri"], format!("{}{KEYS}", sampan.server));
        let key = &keys["keys"][0];
        assert_eq!(
            (&key["use"], &key["alg"]),
            (&json!("sig"), &configuration["id_token_signing_alg_values_supported"][0])
        );
        // The token names its key.
        let head = token.split('.').next().unwrap_or_default();
        let head = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, head).expect("base64");
        let head: serde_json::Value = serde_json::from_slice(&head).expect("JSON");
        assert_eq!((&head["kid"], &head["alg"]), (&key["kid"], &key["alg"]));
        let nobody = Asker::with(&sampan, Credentials::None);
        for path in [CONFIGURATION, KEYS] {
            let answer = nobody.get(path, &[]);
            assert_eq!(answer.code, refusal, "{path}: {}", answer.text());
            assert_eq!(answer.header("cache-control"), "no-cache, private", "{path}");
            let forbidden = if refusal == 403 { "nosniff" } else { "" };
            assert_eq!(answer.header("x-content-type-options"), forbidden, "{path}");
        }
    };
    check(true, 403);
    check(false, 401);
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_and_a_token_beside_it_counts() {
    let (_folder, sampan) = up("{}", "apiserver,controllers");
    sampan.kubectl("1.35", &["wait", "serviceaccount/default", "--for=create", "--timeout=60s"]);
    let token = sampan.kubectl("1.35", &["create", "token", "default"]);
    let shown = sampan_testing::tls::self_signed_client("x", "system:masters");
    let (cert_pem, key_pem) = (shown.certificate_pem.into_bytes(), shown.key_pem.into_bytes());
    let client = Asker::with(&sampan, Credentials::ClientCertificate { cert_pem, key_pem });
    let bearer = format!("Bearer {}", token.trim());
    let check = |headers: &[(&str, &str)], code: u16| {
        let answer = client.get("/apis", headers);
        assert_eq!(answer.code, code, "{}", answer.text());
    };
    check(&[], 401);
    check(&[("authorization", &bearer)], 200);
    // What the token is good for is good for its own request alone.
    check(&[], 401);
    check(&[("authorization", "Bearer wrong")], 401);
}

/// Local addresses, as the kernel writes them, of a process' sockets that listen.
fn listeners(pid: u32) -> Vec<String> {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its files");
    let links = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let own: BTreeSet<String> =
        links.filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())).collect();
    let mut found = Vec::new();
    // TCP sockets that listen are in state 0A; of UDP every socket hears.
    for (table, state) in [("tcp", Some("0A")), ("tcp6", Some("0A")), ("udp", None), ("udp6", None)] {
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        let rows = text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mine = rows.filter(|row| state.is_none_or(|state| row[3] == state) && own.contains(row[9]));
        found.extend(mine.map(|row| format!("{table} {}", row[1])));
    }
    found
}

#[test]
fn nothing_listens_but_the_api() {
    let (_folder, sampan) = up("{}", "apiserver,controllers,scheduler,node");
    let port: u16 = sampan.port().parse().expect("a port");
    // 127.0.0.1, as a number of the host's order of bytes.
    let host = u32::from_ne_bytes([127, 0, 0, 1]);
    let of = |protocol: &str| -> Vec<String> {
        listeners(sampan.pid()).into_iter().filter(|one| one.starts_with(protocol)).collect()
    };
    assert_eq!(of("tcp"), [format!("tcp {host:08X}:{port:04X}")]);
    // Who asks for a name's address has a socket until it is answered.
    eventually("no socket of UDP is left", || of("udp").is_empty().then_some(()));
}

/// The store of roles is asked on behalf of the request, and names what that is about. As v1.35 answers.
#[test]
fn a_binding_to_a_role_that_is_missing_names_the_binding() {
    let (_folder, sampan) = up("{}", "apiserver,controllers");
    let admin = Asker::admin(&sampan);
    let group = "rbac.authorization.k8s.io";
    let at = |resource: &str| format!("/apis/{group}/v1/namespaces/default/{resource}");
    let binding = |name: &str, role: &str| {
        json!({
            "metadata": {"name": name},
            "subjects": [{"kind": "User", "apiGroup": group, "name": "joe"}],
            "roleRef": {"kind": "Role", "apiGroup": group, "name": role},
        })
    };
    let rules = json!([{"apiGroups": [group], "resources": ["rolebindings"], "verbs": ["create"]}]);
    let role = json!({"metadata": {"name": "binders"}, "rules": rules});
    assert_eq!(admin.post(&at("roles"), &role).code, 201);
    assert_eq!(admin.post(&at("rolebindings"), &binding("joe", "binders")).code, 201);
    // Roles come into force a moment after they are written.
    let headers = [("content-type", "application/json"), ("impersonate-user", "joe")];
    let refused = eventually("joe may create bindings", || {
        let sent = binding("other", "nope").to_string();
        let answer = admin.send(Method::POST, &at("rolebindings"), &headers, sent);
        (answer.code != 403).then_some(answer)
    });
    let found = refused.json();
    let message = json!("rolebindings.rbac.authorization.k8s.io \"nope\" not found");
    assert_eq!((refused.code, &found["message"]), (404, &message));
    assert_eq!(found["details"], json!({"group": group, "kind": "rolebindings", "name": "nope"}));
}
