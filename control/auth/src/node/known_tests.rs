use super::*;
use parking_lot::Mutex;
use std::sync::Arc;

/// Pods of the namespace `ns` as a server has them, and who asks for them.
#[derive(Clone, Default)]
struct Pods(Arc<Mutex<Vec<Value>>>);

impl Pods {
    fn authorizer(&self) -> NodeAuthorizer {
        let pods = self.clone();
        client_of(move |path, query| {
            if path != "/api/v1/namespaces/ns/pods" {
                return answer("/missing", "");
            }
            let node = node_of(query);
            let items: Vec<Value> =
                pods.0.lock().iter().filter(|pod| pod["spec"]["nodeName"] == node).cloned().collect();
            (200, json!({"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "1"}, "items": items}))
        })
    }

    fn set(&self, name: &str, node: &str, uid: &str, revision: u64, secrets: &[&str]) {
        let volumes: Vec<Value> =
            secrets.iter().map(|secret| json!({"name": "v", "secret": {"secretName": secret}})).collect();
        let mut pod = pod(name, node, json!({"volumes": volumes}));
        pod["metadata"]["uid"] = uid.into();
        pod["metadata"]["resourceVersion"] = revision.to_string().into();
        let mut pods = self.0.lock();
        pods.retain(|one| one["metadata"]["name"] != name);
        pods.push(pod);
    }

    fn remove(&self, name: &str) {
        self.0.lock().retain(|one| one["metadata"]["name"] != name);
    }
}

async fn may_get(authorizer: &NodeAuthorizer, node: &str, secret: &str) -> bool {
    let a = attributes(UserInfo::node(node), &format!("get secrets ns:{secret}"));
    authorizer.authorize(&a).await.allowed()
}

#[tokio::test]
async fn a_pod_is_read_once_a_revision() {
    let pods = Pods::default();
    let authorizer = pods.authorizer();
    for n in 0..20 {
        pods.set(&format!("p{n}"), "n1", &format!("u{n}"), 1, &[&format!("s{n}"), "shared"]);
    }
    for _ in 0..10 {
        assert!(may_get(&authorizer, "n1", "s7").await && may_get(&authorizer, "n1", "shared").await);
        assert!(!may_get(&authorizer, "n1", "other").await && !may_get(&authorizer, "n2", "s7").await);
    }
    assert_eq!(authorizer.relations.known().read(), 20, "each pod once");
    pods.set("p3", "n1", "u3", 2, &["s3"]);
    for _ in 0..10 {
        assert!(may_get(&authorizer, "n1", "s3").await);
    }
    assert_eq!(authorizer.relations.known().read(), 21, "the one that changed");
}

#[tokio::test]
async fn a_reference_that_is_gone_counts_no_more() {
    let pods = Pods::default();
    let authorizer = pods.authorizer();
    let check = async |secret: &str, expected: bool, what: &str| {
        assert_eq!(may_get(&authorizer, "n1", secret).await, expected, "{what}");
    };
    pods.set("p", "n1", "u", 1, &["a"]);
    pods.set("other", "n1", "x", 1, &["x"]);
    check("a", true, "at first").await;
    pods.set("p", "n1", "u", 2, &["b"]);
    check("a", false, "a later revision").await;
    check("b", true, "a later revision").await;
    pods.set("p", "n1", "u2", 2, &["c"]);
    check("b", false, "another pod of the name").await;
    check("c", true, "another pod of the name").await;
    pods.set("p", "n2", "u2", 3, &["c"]);
    check("c", false, "on another node").await;
    pods.set("p", "n1", "u2", 4, &["c"]);
    check("c", true, "back").await;
    pods.remove("p");
    check("c", false, "gone").await;
    check("x", true, "the other pod").await;
}

#[tokio::test]
async fn what_is_kept_is_counted() {
    let pods = Pods::default();
    let authorizer = pods.authorizer();
    let names: Vec<String> = (0..2_000).map(|n| format!("{n:060}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let text: usize = names.iter().map(|name| name.len()).sum();
    for n in 1..4 {
        pods.set("p", &format!("n{n}"), "u", n, &names);
        assert!(may_get(&authorizer, &format!("n{n}"), names[7]).await);
        let bytes = authorizer.relations.known().bytes();
        assert!((text..3 * text).contains(&(bytes / n as usize)), "{bytes} bytes of {n} pods");
    }
}
