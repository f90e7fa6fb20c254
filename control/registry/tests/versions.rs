//! Beta and alpha versions, which a configuration has served: conversions between versions, and the rules of kinds that have no
//! other.

use sampan_api::admission::{AdmitAll, Warnings};
use sampan_api::object::Object;
use sampan_api::user::UserInfo;
use sampan_env::{Env, Tasks};
use sampan_registry::{Caller, Config, GetOptions, Registry, ResourceTable, RuntimeConfig, UpdateOptions};
use sampan_schema::Schema;
use sampan_schema::gates::Gates;
use sampan_store::memory::MemoryStore;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const GATES: [&str; 4] = ["ClusterTrustBundle", "GenericWorkload", "PodCertificateRequest", "StorageVersionMigrator"];

/// All that there is.
fn table() -> Arc<ResourceTable> {
    let all = BTreeMap::from([("api/all".to_owned(), true)]);
    let gates = GATES.iter().map(|name| ((*name).to_owned(), true)).collect();
    let (runtime, gates) = (RuntimeConfig::new(&all).expect("known"), Gates::with(&gates).expect("known"));
    Arc::new(runtime.table(&gates).expect("the rows make a table"))
}

struct World {
    registry: Registry,
    user: UserInfo,
    warnings: Warnings,
}

async fn world() -> World {
    let env = Env::simulated(1, SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600));
    let store = Arc::new(MemoryStore::new(env.clone(), &Tasks::new("test")));
    let registry = Registry::open(Config::new(store, env, table())).await.expect("opens");
    World { registry, user: UserInfo::new("ann", ["people"]), warnings: Warnings::default() }
}

impl World {
    fn caller(&self) -> Caller<'_> {
        Caller {
            user: &self.user,
            verb: "test",
            user_agent: "test/1",
            request_id: "r",
            field_manager: "test",
            dry_run: false,
            options: &Value::Null,
            admission: &AdmitAll,
            warnings: &self.warnings,
        }
    }

    /// Creates an object of `apiVersion` and `kind`, decoded and defaulted as a request's.
    async fn create(&self, value: &Value) -> Result<Value, String> {
        let object = decode(value);
        let table = self.registry.table();
        let row = table.of_kind(&object.gvk().expect("a kind")).expect("a row");
        let namespace = if row.namespaced { "default" } else { "" };
        let made = self.registry.create(&self.caller(), row, namespace, object).await;
        made.map(|record| record.object().to_value()).map_err(|error| error.status().message)
    }

    async fn get(&self, group: &str, version: &str, resource: &str, name: &str) -> Value {
        let table = self.registry.table();
        let row = table.lookup(group, version, resource).expect("a row");
        let namespace = if row.namespaced { "default" } else { "" };
        let found = self.registry.get(row, namespace, name, &GetOptions::default()).await.expect("there");
        found.object().to_value()
    }

    /// Writes a view of what was created, and says what is wrong with it.
    async fn update(&self, value: &Value, view: &str, path: &[&str], new: Value) -> Result<Value, String> {
        let object = decode(value);
        let table = self.registry.table();
        let row = table.of_kind(&object.gvk().expect("a kind")).expect("a row");
        let namespace = if row.namespaced { "default" } else { "" };
        let transform = |current: Option<&Object>| {
            let mut object = current.expect("there").clone();
            object.set(path, new.clone());
            Ok(object)
        };
        let options = UpdateOptions { subresource: view.to_owned(), ..UpdateOptions::default() };
        let written = self.registry.update(&self.caller(), row, namespace, object.name(), &options, &transform).await;
        written.map(|done| done.record.object().to_value()).map_err(|error| error.status().message)
    }
}

fn decode(value: &Value) -> Object {
    let text = |name: &str| value[name].as_str().expect("a text");
    let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
    let schema = Schema::builtin();
    let id = schema.find(group, version, text("kind")).expect("a kind of the schema");
    let decoded = sampan_schema::json::from_value(schema, id, value).expect("decodes");
    assert!(decoded.problems.is_empty(), "{:?}", decoded.problems);
    Object::from_value(decoded.value).expect("an object")
}

#[test]
fn each_version_of_each_kind_has_its_schema() {
    let table = table();
    for row in table.iter() {
        assert!(row.ty.is_some(), "{row:?}");
    }
    let unstable = table.iter().filter(|row| row.version.contains("beta") || row.version.contains("alpha"));
    let found: Vec<String> = unstable
        .filter(|row| !row.group.ends_with(".sampan.dev"))
        .map(|row| format!("{}/{}/{}", row.group, row.version, row.resource))
        .collect();
    // Those of pkg/controlplane's storage providers of v1.35 that are not gone by then.
    let expected = [
        "admissionregistration.k8s.io/v1alpha1/mutatingadmissionpolicies",
        "admissionregistration.k8s.io/v1alpha1/mutatingadmissionpolicybindings",
        "admissionregistration.k8s.io/v1beta1/mutatingadmissionpolicies",
        "admissionregistration.k8s.io/v1beta1/mutatingadmissionpolicybindings",
        "certificates.k8s.io/v1alpha1/clustertrustbundles",
        "certificates.k8s.io/v1beta1/clustertrustbundles",
        "certificates.k8s.io/v1beta1/podcertificaterequests",
        "coordination.k8s.io/v1alpha2/leasecandidates",
        "coordination.k8s.io/v1beta1/leasecandidates",
        "internal.apiserver.k8s.io/v1alpha1/storageversions",
        "networking.k8s.io/v1beta1/ipaddresses",
        "networking.k8s.io/v1beta1/servicecidrs",
        "resource.k8s.io/v1alpha3/devicetaintrules",
        "resource.k8s.io/v1beta1/deviceclasses",
        "resource.k8s.io/v1beta1/resourceclaims",
        "resource.k8s.io/v1beta1/resourceclaimtemplates",
        "resource.k8s.io/v1beta1/resourceslices",
        "resource.k8s.io/v1beta2/deviceclasses",
        "resource.k8s.io/v1beta2/resourceclaims",
        "resource.k8s.io/v1beta2/resourceclaimtemplates",
        "resource.k8s.io/v1beta2/resourceslices",
        "scheduling.k8s.io/v1alpha1/workloads",
        "storage.k8s.io/v1beta1/volumeattributesclasses",
        "storagemigration.k8s.io/v1beta1/storageversionmigrations",
    ];
    for version in table.group_versions() {
        let names: Vec<&str> =
            table.of_group_version(&version.group, &version.version).map(|row| row.resource.as_ref()).collect();
        assert!(names.is_sorted() || version.group.ends_with(".sampan.dev"), "{version}: {names:?}");
    }
    let mut found: Vec<&str> = found.iter().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn an_object_is_the_same_in_all_versions() {
    let world = world().await;
    let check = async |made: Value, at: [&str; 3], part: &str, expected: Value| {
        let [group, version, resource] = at;
        let name = made["metadata"]["name"].as_str().expect("a name").to_owned();
        if world.create(&made).await.is_err_and(|told| !told.contains("already exists")) {
            panic!("{made} is refused");
        }
        let found = world.get(group, version, resource, &name).await;
        assert_eq!(found["apiVersion"], format!("{group}/{version}"));
        assert_eq!(found.pointer(part), Some(&expected), "{found}");
    };
    let class = json!({"apiVersion": "storage.k8s.io/v1beta1", "kind": "VolumeAttributesClass",
        "metadata": {"name": "fast"}, "driverName": "d.example.com", "parameters": {"a": "b"}});
    check(class, ["storage.k8s.io", "v1", "volumeattributesclasses"], "/parameters/a", json!("b")).await;

    let claim = json!({"apiVersion": "resource.k8s.io/v1beta1", "kind": "ResourceClaim", "metadata": {"name": "c"},
        "spec": {"devices": {"requests": [{"name": "r", "deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}]}}});
    let exactly = json!({"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1});
    let request = "/spec/devices/requests/0";
    for version in ["v1", "v1beta2"] {
        let expected = json!({"name": "r", "exactly": exactly});
        check(claim.clone(), ["resource.k8s.io", version, "resourceclaims"], request, expected).await;
    }
    let expected = json!({"name": "r", "deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1});
    check(claim, ["resource.k8s.io", "v1beta1", "resourceclaims"], request, expected).await;

    let candidate = json!({"apiVersion": "coordination.k8s.io/v1alpha2", "kind": "LeaseCandidate",
        "metadata": {"name": "c", "namespace": "default"}, "spec": {"leaseName": "l", "binaryVersion": "1.35.0",
        "emulationVersion": "1.35.0", "strategy": "OldestEmulationVersion"}});
    check(candidate, ["coordination.k8s.io", "v1beta1", "leasecandidates"], "/spec/leaseName", json!("l")).await;
}

#[tokio::test]
async fn kinds_without_a_stable_version_are_checked_in_kubernetes_words() {
    let world = world().await;
    let check = async |api: &str, kind: &str, name: &str, spec: Value, expected: &[&str]| {
        let object = json!({"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": spec});
        let told = world.create(&object).await.err().unwrap_or_default();
        assert_eq!(told.is_empty(), expected.is_empty(), "{told}");
        for part in expected {
            assert!(told.contains(part), "{told}\n{part}");
        }
    };
    let api = "coordination.k8s.io/v1beta1";
    check(
        api,
        "LeaseCandidate",
        "a",
        json!({"leaseName": "", "binaryVersion": "1.2", "emulationVersion": "1.3.0", "strategy": "Newest"}),
        &[
            "spec.leaseName: Required value",
            "spec.binaryVersion: Invalid value: \"1.2\": must be a valid semantic version",
            "spec.binaryVersion: Invalid value: \"1.2\": must be greater than or equal to `emulationVersion`",
            "spec.strategy.strategy: Unsupported value: \"Newest\": supported values: \"OldestEmulationVersion\"",
        ],
    )
    .await;
    let api = "resource.k8s.io/v1alpha3";
    let taint = |effect: &str| json!({"taint": {"key": "example.com/a", "effect": effect}});
    check(api, "DeviceTaintRule", "good", taint("NoSchedule"), &[]).await;
    check(
        api,
        "DeviceTaintRule",
        "bad",
        taint("Never"),
        &["spec.taint.effect: Unsupported value: \"Never\": supported values: \"NoExecute\", \"NoSchedule\", \"None\""],
    )
    .await;
    let api = "scheduling.k8s.io/v1alpha1";
    check(
        api,
        "Workload",
        "none",
        json!({"podGroups": []}),
        &["spec.podGroups: Required value: must have at least one item"],
    )
    .await;
    let groups = json!({"podGroups": [{"name": "a", "policy": {"gang": {"minCount": 0}}},
        {"name": "a", "policy": {"basic": {}, "gang": {"minCount": 1}}}]});
    check(
        api,
        "Workload",
        "groups",
        groups,
        &[
            "spec.podGroups[0].policy.gang.minCount: Invalid value: 0: must be greater than zero",
            "spec.podGroups[1].name: Duplicate value: \"a\"",
            "spec.podGroups[1].policy: Invalid value: \"{`basic`, `gang`}\": exactly one of `basic`, `gang` is required, but multiple fields are set",
        ],
    )
    .await;
    let api = "certificates.k8s.io/v1beta1";
    check(
        api,
        "ClusterTrustBundle",
        "a:b",
        json!({"trustBundle": ""}),
        &[
            "metadata.name: Invalid value: \"a:b\": ClusterTrustBundle without signer name must not have \":\" in its name",
            "spec.trustBundle: Invalid value: \"<value omitted>\": at least one trust anchor must be provided",
        ],
    )
    .await;
    check(
        api,
        "ClusterTrustBundle",
        "plain",
        json!({"signerName": "example.com/s", "trustBundle": "-----BEGIN KEY-----\nAAAA\n-----END KEY-----\n"}),
        &[
            "ClusterTrustBundle for signerName example.com/s must be named with prefix example.com:s:",
            "spec.trustBundle: Invalid value: \"<value omitted>\": entry 0 has bad block type: KEY",
        ],
    )
    .await;
    let api = "admissionregistration.k8s.io/v1beta1";
    let rules = json!([{"operations": ["DELETE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]);
    check(
        api,
        "MutatingAdmissionPolicy",
        "m",
        json!({"matchConstraints": {"resourceRules": rules}, "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "JSONPatch"}, {"patchType": "Merge"}]}),
        &[
            "spec.matchConstraints.resourceRules.operations: Unsupported value: \"DELETE\": supported values: \"CREATE\", \"UPDATE\"",
            "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch",
            "spec.mutations[1].patchType: Unsupported value: \"Merge\": supported values: \"ApplyConfiguration\", \"JSONPatch\"",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_migration_ends_once() {
    let world = world().await;
    let migration = json!({"apiVersion": "storagemigration.k8s.io/v1beta1", "kind": "StorageVersionMigration",
        "metadata": {"name": "m"}, "spec": {"resource": {"group": "apps", "resource": "deployments"}}});
    world.create(&migration).await.expect("made");
    let condition = |type_: &str, status: &str| {
        json!({"type": type_, "status": status, "reason": "R", "message": "m",
            "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let status = |conditions: &[Value]| json!({"resourceVersion": "12", "conditions": conditions});
    let update = async |new: Value| world.update(&migration, "status", &["status"], new).await;
    let told = update(status(&[condition("Succeeded", "True"), condition("Running", "True")])).await.expect_err("both");
    assert!(told.contains("Running condition cannot be true when success condition is true"), "{told}");
    let told = update(status(&[condition("no type", "Maybe")])).await.expect_err("no condition");
    assert!(told.contains("status.conditions[0].status: Unsupported value: \"Maybe\""), "{told}");
    update(status(&[condition("Succeeded", "True")])).await.expect("it ended");
    let told = update(status(&[condition("Succeeded", "False")])).await.expect_err("it stays so");
    assert!(told.contains("Success condition cannot be set to false once it is true"), "{told}");
    let told = world.update(&migration, "", &["spec", "resource", "group"], json!("batch")).await.expect_err("fixed");
    assert!(told.contains("field is immutable"), "{told}");
}
