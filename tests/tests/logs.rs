//! What a server logs that logs everything: none of the secrets that pass through it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Method;
use sampan_client::{Credentials, Kubeconfig};
use sampan_tests::exchange::Asker;
use sampan_tests::{Sampan, eventually};
use serde_json::{Value, json};
use std::path::Path;

const ADMIN: &str = "a-static-token-of-admin-7f3a9c";
const WRONG: &str = "a-token-of-another-cluster-51be";
const BOOTSTRAP: &str = "qz81kd.m4x0v7t2n9w3r6y5";
const IN_SECRET: &str = "the-word-of-a-secret-8842";
const IN_PATCH: &str = "the-word-of-a-patch-1907";
const IN_APPLY: &str = "the-word-of-an-apply-3391";
const NO_BASE64: &str = "a-word-that-is-no-base64-!-6623";
const PASSWORD: &str = "user:a-password-5510";

const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const JSON: (&str, &str) = ("content-type", "application/json");

/// What must not stand in a log, and what it is.
struct Secret {
    what: String,
    text: String,
}

fn secret(what: impl Into<String>, text: impl Into<String>) -> Secret {
    Secret { what: what.into(), text: text.into() }
}

impl Secret {
    /// As it is, as Kubernetes, tokens and headers encode it, and as a list of bytes is shown.
    fn forms(&self) -> [String; 4] {
        let bytes: Vec<String> = self.text.bytes().take(12).map(|byte| byte.to_string()).collect();
        [self.text.clone(), STANDARD.encode(&self.text), URL_SAFE_NO_PAD.encode(&self.text), bytes.join(", ")]
    }
}

/// Parts of the private keys in a folder and those below it, each a line of PEM that is the key's own.
fn keys(folder: &Path) -> Vec<Secret> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(keys(&path));
        } else if path.extension().is_some_and(|extension| extension == "key") {
            let pem = std::fs::read_to_string(&path).expect("PEM");
            let line = pem.lines().nth(2).expect("a third line, which no two keys share");
            found.push(secret(path.display().to_string(), line));
        }
    }
    found
}

fn made(admin: &Asker, path: &str, object: &Value) -> Value {
    let answer = admin.post(path, object);
    assert_eq!(answer.code, 201, "{path}: {}", answer.text());
    answer.json()
}

/// Everything that is secret on its way through the server; what of it was made by the server.
fn pass(sampan: &Sampan, admin: &Asker) -> Vec<Secret> {
    let with = |token: &str| Asker::with(sampan, Credentials::Token(token.to_owned()));
    assert_eq!(with(WRONG).get("/api", &[]).code, 401);
    let basic = format!("Basic {}", STANDARD.encode(PASSWORD));
    assert_eq!(Asker::with(sampan, Credentials::None).get("/api", &[("authorization", &basic)]).code, 401);
    let protocol = format!("base64url.bearer.authorization.k8s.io.{}", URL_SAFE_NO_PAD.encode(WRONG));
    admin.get("/api", &[("sec-websocket-protocol", &protocol)]);
    assert_eq!(admin.get("/api/v1/nodes", &[("impersonate-user", "somebody")]).code, 403);

    let object = |name: &str, data: &str| json!({"metadata": {"name": name}, "data": {"word": data}});
    made(admin, SECRETS, &object("s", &STANDARD.encode(IN_SECRET)));
    assert_eq!(admin.post(SECRETS, &object("t", NO_BASE64)).code, 400);
    let one = format!("{SECRETS}/s");
    let patch = json!({"stringData": {"more": IN_PATCH}}).to_string();
    for content_type in ["application/merge-patch+json", "application/strategic-merge-patch+json"] {
        let answer = admin.send(Method::PATCH, &one, &[("content-type", content_type)], patch.clone());
        assert_eq!(answer.code, 200, "{}", answer.text());
    }
    let apply = format!("{{apiVersion: v1, kind: Secret, metadata: {{name: s}}, stringData: {{most: {IN_APPLY}}}}}");
    let yaml = [("content-type", "application/apply-patch+yaml")];
    let answer = admin.send(Method::PATCH, &format!("{one}?fieldManager=m&force=true"), &yaml, apply);
    assert_eq!(answer.code, 200, "{}", answer.text());
    assert_eq!(admin.send(Method::PUT, &one, &[JSON], object("s", NO_BASE64).to_string()).code, 400);
    for path in [&one, SECRETS, &format!("{SECRETS}?watch=1&timeoutSeconds=1"), &format!("{one}?history=true")] {
        let answer = admin.get(path, &[]);
        assert_eq!(answer.code, 200, "{path}: {}", answer.text());
    }

    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    let review = |token: &str| json!({"spec": {"token": token}});
    made(admin, reviews, &review(WRONG));
    let account = "/api/v1/namespaces/default/serviceaccounts/default";
    eventually("its account", || (admin.get(account, &[]).code == 200).then_some(()));
    let token = made(admin, &format!("{account}/token"), &json!({"spec": {}}))["status"]["token"].clone();
    let token = token.as_str().expect("a token").to_owned();
    assert_eq!(with(&token).get("/api", &[]).code, 200);
    assert_eq!(made(admin, reviews, &review(&token))["status"]["authenticated"], true);

    let (id, word) = BOOTSTRAP.split_once('.').expect("two parts");
    let bootstrap = json!({"metadata": {"name": format!("bootstrap-token-{id}")}, "type": "bootstrap.kubernetes.io/token",
        "stringData": {"token-id": id, "token-secret": word, "usage-bootstrap-authentication": "true"}});
    made(admin, "/api/v1/namespaces/kube-system/secrets", &bootstrap);
    eventually("a bootstrap token counts", || (with(BOOTSTRAP).get("/api", &[]).code == 200).then_some(()));
    assert_eq!(admin.delete(&one).code, 200);
    let signature = token.rsplit('.').next().expect("a signature");
    vec![secret("a token of an account", signature), secret("the word of a bootstrap token", word)]
}

#[test]
fn nothing_secret_is_logged_however_much_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = folder.path().join("tokens.csv");
    std::fs::write(&tokens, format!("{ADMIN},admin,1,\"system:masters\"\n")).expect("written");
    let config = folder.path().join("config.yaml");
    let authentication = json!({"authentication": {"staticTokenFile": tokens}});
    std::fs::write(&config, authentication.to_string()).expect("written");
    let config = config.display().to_string();
    let arguments = ["--log", "trace", "--components", "apiserver,controllers", "--config", &config];
    let sampan = Sampan::up(folder.path(), &arguments);
    let admin = Asker::with(&sampan, Credentials::Token(ADMIN.to_owned()));
    let mut secrets = pass(&sampan, &admin);
    // The certificate of the kubeconfig is shown, and its key is not.
    assert_eq!(Asker::admin(&sampan).get("/api", &[]).code, 200);
    let kubeconfig = Kubeconfig::load_file(&sampan.kubeconfig).and_then(|file| file.remote_config(None));
    let Credentials::ClientCertificate { key_pem, .. } = kubeconfig.expect("a kubeconfig").credentials else {
        panic!("the kubeconfig has a key")
    };
    let key = String::from_utf8(key_pem).expect("PEM");
    secrets.push(secret("the key of the kubeconfig", key.lines().nth(2).expect("a third line")));
    let own = keys(&folder.path().join("data"));
    assert!(!own.is_empty(), "the cluster has keys");
    secrets.extend(own);
    let words = [ADMIN, WRONG, IN_SECRET, IN_PATCH, IN_APPLY, NO_BASE64, PASSWORD];
    secrets.extend(words.map(|word| secret(word, word)));
    let log = sampan.log();
    for part in ["DEBUG", "credentials do not hold", "received"] {
        assert!(log.contains(part), "everything is logged: {part}, {} bytes", log.len());
    }
    let lines = log.lines().filter_map(|line| {
        let found = secrets.iter().find(|secret| secret.forms().iter().any(|form| line.contains(form.as_str())))?;
        Some(format!("{}: {line:.300}", found.what))
    });
    let told: Vec<String> = lines.collect();
    assert!(told.is_empty(), "{} lines:\n{}", told.len(), told.join("\n"));
}
