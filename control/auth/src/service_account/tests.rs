//! Tokens against a server in this process: whose they are, and when they hold no more.

use super::*;
use crate::union::BearerTokens;
use sampan_api::UserInfo;
use sampan_api::k8s::api::core::v1::{Secret, ServiceAccount};
use sampan_client::DeleteParams;
use sampan_testing::server::{Parts, Server};
use serde_json::{Value, json};

const ISSUER: &str = "https://issuer";

struct World {
    server: Server,
    tokens: Arc<ServiceAccountTokens>,
    /// The issuer with a key by which it signed before, and which is still known.
    former: ServiceAccountTokens,
    bearers: BearerTokens,
}

impl World {
    async fn new() -> Self {
        let env = Env::system();
        let server = Parts::new(env.clone()).start().await;
        let former = rcgen::KeyPair::generate().expect("a key");
        let known = PublicKey::all_from_pem(former.public_key_pem().as_bytes()).expect("a public key");
        let issuer = |pair: &rcgen::KeyPair| {
            let key = SigningKey::from_pem(pair.serialize_pem().as_bytes()).expect("a key");
            ServiceAccountTokens::new(ISSUER.into(), key, env.clone())
        };
        let tokens = Arc::new(issuer(&rcgen::KeyPair::generate().expect("a key")).verified_by(known));
        let former = issuer(&former);
        let own = server.client(UserInfo::apiserver());
        let informers = Informers::new(own.clone(), &env, &server.tasks);
        tokens.look_up(own, &informers).expect("informers");
        informers.wait_synced().await.expect("read");
        let bearers = BearerTokens::new(vec![tokens.clone()], vec![ISSUER.into()]);
        Self { server, tokens, former, bearers }
    }

    async fn make(&self, value: Value) -> Ref {
        let client = self.server.client(UserInfo::apiserver());
        let object = sampan_api::Object::from_value(value).expect("an object");
        let served = client.discover().await.expect("discovery");
        let resource = served.by_kind(&object.gvk().expect("a kind")).expect("served");
        let namespace = resource.namespaced.then_some("default");
        let made = client.dynamic(&resource.resource, namespace).create(&object).await.expect("made");
        Ref { name: made.name().into(), uid: made.uid().into() }
    }

    async fn account(&self, name: &str) -> Ref {
        self.make(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})).await
    }

    fn order(&self, serviceaccount: &Ref) -> TokenOrder {
        let bound = Bound { namespace: "default".into(), serviceaccount: serviceaccount.clone(), ..Bound::default() };
        TokenOrder { bound, audiences: vec![ISSUER.into(), "vault".into()], lifetime_seconds: 3600 }
    }

    /// The user and the audiences of a token, or why it does not hold.
    async fn review(&self, token: &str, audiences: &[&str]) -> Result<(UserInfo, Vec<String>), String> {
        let audiences: Vec<String> = audiences.iter().map(|one| (*one).to_owned()).collect();
        let reviewed = self.bearers.review(token, &audiences).await;
        reviewed.map(|found| ((*found.user).clone(), found.audiences)).map_err(|refused| refused.0)
    }
}

#[tokio::test]
async fn a_token_proves_its_account_to_those_whom_it_names() {
    let world = World::new().await;
    let account = world.account("bot").await;
    let token = world.tokens.issue(world.order(&account)).expect("a token");
    for _ in 0..2 {
        // The second time it is known.
        let (user, audiences) = world.review(&token, &[]).await.expect("it holds");
        assert_eq!(user.name, "system:serviceaccount:default:bot");
        assert_eq!(user.uid, account.uid);
        let groups = ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"];
        assert_eq!(user.groups, groups);
        assert!(user.extra["authentication.kubernetes.io/credential-id"][0].starts_with("JTI="));
        assert_eq!(audiences, [ISSUER]);
    }
    assert_eq!(world.review(&token, &["vault", "other"]).await.expect("it holds").1, ["vault"]);
    let refused = world.review(&token, &["other"]).await.expect_err("another audience");
    assert_eq!(
        refused,
        "token audiences [\"https://issuer\" \"vault\"] is invalid for the target audiences [\"other\"]"
    );
    assert_eq!(world.review("nope", &[]).await.expect_err("no token"), "invalid bearer token");
    let stranger = World::new().await;
    let of_another_key = stranger.tokens.issue(world.order(&account)).expect("a token");
    assert_eq!(world.review(&of_another_key, &[]).await.expect_err("its key"), "invalid signature, no keys found");
    let (head, tail) = token.split_at(token.len() - 4);
    let forged = format!("{head}{}", if tail == "AAAA" { "BBBB" } else { "AAAA" });
    assert!(world.review(&forged, &[]).await.is_err());
}

#[tokio::test]
async fn tokens_of_further_keys_hold() {
    let world = World::new().await;
    let account = world.account("bot").await;
    let token = world.former.issue(world.order(&account)).expect("a token");
    assert_eq!(world.review(&token, &[]).await.expect("its key is known").0.uid, account.uid);
    let unknown = World::new().await.tokens.issue(world.order(&account)).expect("a token");
    assert_eq!(world.review(&unknown, &[]).await.expect_err("its key is not"), "invalid signature, no keys found");
    let keys = world.tokens.documents("https://server").pop().expect("the key set").json;
    let keys: Value = serde_json::from_str(&keys).expect("JSON");
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(2), "relying parties find both: {keys}");
}

#[tokio::test]
async fn a_token_ends_with_what_it_is_bound_to() {
    let world = World::new().await;
    let account = world.account("bot").await;
    let node = world.make(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})).await;
    let secret = world.make(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}})).await;
    let with = |change: &dyn Fn(&mut TokenOrder)| {
        let mut order = world.order(&account);
        change(&mut order);
        world.tokens.issue(order).expect("a token")
    };
    let lasts = with(&|_| {});
    let of_node = with(&|order| order.bound.node = Some(node.clone()));
    let of_secret = with(&|order| order.bound.secret = Some(secret.clone()));
    let of_pod = with(&|order| order.bound.pod = Some(Ref { name: "gone".into(), uid: "1".into() }));
    let of_other = with(&|order| order.bound.serviceaccount.uid = "2".into());
    let (expired, early) = (with(&|order| order.lifetime_seconds = -61), with(&|order| order.lifetime_seconds = -50));
    for token in [&lasts, &of_node, &of_secret, &early] {
        world.review(token, &[]).await.expect("it holds");
    }
    assert_eq!(
        world.review(&of_node, &[]).await.expect("it holds").0.extra["authentication.kubernetes.io/node-name"],
        ["n"]
    );
    let check = async |token: &str, why: &str| {
        assert_eq!(world.review(token, &[]).await.expect_err(why), why);
    };
    check(&expired, "service account token has expired").await;
    check(&of_pod, "service account token has been invalidated").await;
    check(&of_other, &format!("service account UID ({}) does not match claim (2)", account.uid)).await;
    let client = world.server.client(UserInfo::apiserver());
    client.namespaced::<Secret>("default").delete("s", &DeleteParams::default()).await.expect("deleted");
    eventually(async || world.review(&of_secret, &[]).await.is_err()).await;
    check(&of_secret, "service account token has been invalidated").await;
    client.namespaced::<ServiceAccount>("default").delete("bot", &DeleteParams::default()).await.expect("deleted");
    eventually(async || world.review(&lasts, &[]).await.is_err()).await;
    check(&lasts, "serviceaccounts \"bot\" not found").await;
}

#[tokio::test]
async fn a_token_in_a_secret_holds_while_it_stands_there() {
    let world = World::new().await;
    let account = world.account("bot").await;
    let token = world.tokens.issue_for_secret("default", &account, "s").expect("a token");
    assert_eq!(world.review(&token, &[]).await.expect_err("no Secret"), "Token has been invalidated");
    world
        .make(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"token": token},
        }))
        .await;
    let (user, audiences) = world.review(&token, &[]).await.expect("it holds");
    assert_eq!((user.name.as_str(), user.uid), ("system:serviceaccount:default:bot", account.uid.clone()));
    assert_eq!(audiences, [ISSUER]);
    let client = world.server.client(UserInfo::apiserver());
    let secrets = client.namespaced::<Secret>("default");
    let warned = async || world.bearers.review(&token, &[]).await.expect("it holds").warning.is_some();
    assert!(!warned().await);
    let named = sampan_client::Patch::Merge(json!({"secrets": [{"name": "s"}]}));
    client.namespaced::<ServiceAccount>("default").patch("bot", &named).await.expect("changed");
    eventually(warned).await;
    let labels = secrets.get("s").await.expect("there").metadata.labels.expect("it was used");
    assert!(labels[LAST_USED].starts_with("20"), "{labels:?}");
    let other = sampan_client::Patch::Merge(json!({"stringData": {"token": "x"}}));
    secrets.patch("s", &other).await.expect("changed");
    eventually(async || world.review(&token, &[]).await.is_err()).await;
    assert_eq!(world.review(&token, &[]).await.expect_err("another"), "Token does not match server's copy");
    let of_nobody = world.tokens.issue_for_secret("", &account, "s").expect("a token");
    assert_eq!(world.review(&of_nobody, &[]).await.expect_err("a fault"), "namespace claim is missing");
}

/// Informers hear of a change soon, and not at once.
async fn eventually(mut is: impl AsyncFnMut() -> bool) {
    for _ in 0..1_000 {
        if is().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("not within five seconds");
}

#[tokio::test]
async fn relying_parties_find_the_issuer_and_its_key() {
    let world = World::new().await;
    let documents = world.tokens.documents("https://127.0.0.1:6443");
    let [configuration, keys] = documents.as_slice() else { panic!("two documents") };
    let parsed: Value = serde_json::from_str(&configuration.json).expect("JSON");
    assert_eq!(parsed["issuer"], ISSUER);
    assert_eq!(parsed["jwks_uri"], "https://127.0.0.1:6443/openid/v1/jwks");
    assert_eq!(parsed["id_token_signing_alg_values_supported"], json!(["ES256"]));
    let keys: Value = serde_json::from_str(&keys.json).expect("JSON");
    assert_eq!((&keys["keys"][0]["kty"], &keys["keys"][0]["use"]), (&json!("EC"), &json!("sig")));
    let key = SigningKey::from_pem(rcgen::KeyPair::generate().expect("a key").serialize_pem().as_bytes());
    let plain = ServiceAccountTokens::new("kubernetes".into(), key.expect("a key"), Env::system());
    assert!(plain.documents("https://127.0.0.1:6443").is_empty());
}
