// What the JavaScript client offers over the API, each step in the words of its own interface. A step that does not go as it
// does with a kube-apiserver throws.
import assert from "node:assert/strict";
import { configured, k8s } from "./modules.mjs";

const config = configured();
const core = config.makeApiClient(k8s.CoreV1Api);
const objects = k8s.KubernetesObjectApi.makeApiClient(config);
const namespace = "javascript";
const map = (name, data, labels) => ({ metadata: { name, labels }, data });
const as = (type) => k8s.setHeaderOptions("Content-Type", type);

async function refused(code, reason, call) {
  const error = await call.then(() => assert.fail("it was not refused"), (error) => error);
  assert.equal(error.code, code, `${error}`);
  const status = typeof error.body === "string" ? JSON.parse(error.body) : error.body;
  assert.equal(status.reason, reason);
}

async function eventually(what, ask) {
  for (let end = Date.now() + 30_000; Date.now() < end; ) {
    if (await ask()) return;
    await new Promise((later) => setTimeout(later, 50));
  }
  assert.fail(`not in 30 s: ${what}`);
}

const steps = {
  async version() {
    const code = await config.makeApiClient(k8s.VersionApi).getCode();
    assert.equal(`${code.major}.${code.minor}`, "1.35");
    assert.equal(await new k8s.Health(config).readyz({}), true);
  },

  async discovery() {
    const groups = await config.makeApiClient(k8s.ApisApi).getAPIVersions();
    assert.ok(groups.groups.some((group) => group.name === "apps"));
    const apps = await config.makeApiClient(k8s.AppsV1Api).getAPIResources();
    assert.ok(apps.resources.some((one) => one.name === "deployments/scale"));
  },

  async objects() {
    await core.createNamespace({ body: { metadata: { name: namespace } } });
    for (const name of ["a", "b", "c"]) {
      await core.createNamespacedConfigMap({ namespace, body: map(name, { name }, { own: "yes" }) });
    }
    await refused(409, "AlreadyExists", core.createNamespacedConfigMap({ namespace, body: map("a", {}) }));
    await refused(404, "NotFound", core.readNamespacedConfigMap({ namespace, name: "none" }));
    await refused(422, "Invalid", core.createNamespacedConfigMap({ namespace, body: map("A B", {}) }));
    const old = await core.readNamespacedConfigMap({ namespace, name: "a" });
    assert.ok(old.metadata.creationTimestamp instanceof Date);
    await core.replaceNamespacedConfigMap({ namespace, name: "a", body: { ...old, data: { name: "A" } } });
    await refused(409, "Conflict", core.replaceNamespacedConfigMap({ namespace, name: "a", body: old }));
  },

  async lists() {
    const first = await core.listNamespacedConfigMap({ namespace, labelSelector: "own", limit: 2 });
    assert.deepEqual(first.items.map((one) => one.metadata.name), ["a", "b"]);
    assert.equal(first.metadata.remainingItemCount, undefined);
    const rest = { namespace, labelSelector: "own", limit: 2, _continue: first.metadata._continue };
    const last = await core.listNamespacedConfigMap(rest);
    assert.deepEqual(last.items.map((one) => one.metadata.name), ["c"]);
    const one = await core.listConfigMapForAllNamespaces({ fieldSelector: "metadata.name=b" });
    assert.deepEqual(one.items.map((one) => one.data), [{ name: "b" }]);
  },

  async patches() {
    const patch = (body, type) => core.patchNamespacedConfigMap({ namespace, name: "b", body }, as(type));
    const json = await patch([{ op: "add", path: "/data/json", value: "1" }], k8s.PatchStrategy.JsonPatch);
    assert.equal(json.data.json, "1");
    const merged = await patch({ data: { json: null, merge: "2" } }, k8s.PatchStrategy.MergePatch);
    assert.deepEqual(merged.data, { name: "b", merge: "2" });
    const strategic = await patch({ metadata: { labels: { more: "3" } } }, k8s.PatchStrategy.StrategicMergePatch);
    assert.deepEqual(strategic.metadata.labels, { own: "yes", more: "3" });
    const test = [{ op: "test", path: "/data/name", value: "c" }];
    await refused(422, "Invalid", patch(test, k8s.PatchStrategy.JsonPatch));
  },

  async apply() {
    const spec = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "applied", namespace }, data: { of: "one" } };
    const apply = (body, manager, force) =>
      objects.patch(body, undefined, undefined, manager, force, k8s.PatchStrategy.ServerSideApply);
    assert.deepEqual((await apply(spec, "one")).data, { of: "one" });
    const other = { ...spec, data: { of: "two" } };
    await refused(409, "Conflict", apply(other, "two", false));
    const taken = await apply(other, "two", true);
    assert.deepEqual(taken.metadata.managedFields.map((one) => one.manager), ["two"]);
    const dry = await objects.patch(spec, undefined, "All", "three", true, k8s.PatchStrategy.ServerSideApply);
    assert.deepEqual(dry.data, { of: "one" });
    assert.deepEqual((await objects.read(spec)).data, { of: "two" });
  },

  async workloads() {
    const apps = config.makeApiClient(k8s.AppsV1Api);
    const labels = { app: "web" };
    const containers = [{ name: "web", image: "example.com/web:v1", ports: [{ containerPort: 80 }] }];
    const spec = { replicas: 0, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers } } };
    const made = await apps.createNamespacedDeployment({ namespace, body: { metadata: { name: "web" }, spec } });
    assert.equal(made.spec.strategy.rollingUpdate.maxSurge, "25%");
    const scaled = { spec: { replicas: 2 } };
    const scale = await apps.patchNamespacedDeploymentScale(
      { namespace, name: "web", body: scaled }, as(k8s.PatchStrategy.MergePatch));
    assert.equal(scale.spec.replicas, 2);
    const image = [{ op: "replace", path: "/spec/template/spec/containers/0/image", value: "example.com/web:v2" }];
    await apps.patchNamespacedDeployment({ namespace, name: "web", body: image });
    const read = await apps.readNamespacedDeployment({ namespace, name: "web" });
    assert.equal(read.spec.template.spec.containers[0].image, "example.com/web:v2");
    const secret = { metadata: { name: "s" }, stringData: { key: "value" } };
    const kept = await core.createNamespacedSecret({ namespace, body: secret });
    assert.equal(kept.data.key, "dmFsdWU=");
    const ports = [{ port: 80, targetPort: "web" }];
    const service = await core.createNamespacedService({ namespace, body: { metadata: { name: "web" }, spec: { ports, selector: labels } } });
    assert.match(service.spec.clusterIP, /^[0-9.]+$/);
  },

  async customObjects() {
    const definitions = config.makeApiClient(k8s.ApiextensionsV1Api);
    const custom = config.makeApiClient(k8s.CustomObjectsApi);
    const properties = { size: { type: "integer", minimum: 1, _default: 3 } };
    const schema = { openAPIV3Schema: { type: "object", properties: { spec: { type: "object", properties } } } };
    const version = { name: "v1", served: true, storage: true, schema, subresources: { status: {} } };
    const names = { plural: "gadgets", singular: "gadget", kind: "Gadget", listKind: "GadgetList" };
    const spec = { group: "example.com", scope: "Namespaced", names, versions: [version] };
    await definitions.createCustomResourceDefinition({ body: { metadata: { name: "gadgets.example.com" }, spec } });
    await eventually("the definition is established", async () => {
      const made = await definitions.readCustomResourceDefinition({ name: "gadgets.example.com" });
      return made.status?.conditions?.some((one) => one.type === "Established" && one.status === "True");
    });
    const at = { group: "example.com", version: "v1", namespace, plural: "gadgets" };
    const gadget = (spec) => ({ apiVersion: "example.com/v1", kind: "Gadget", metadata: { name: "g" }, spec });
    await refused(422, "Invalid", custom.createNamespacedCustomObject({ ...at, body: gadget({ size: 0 }) }));
    const made = await custom.createNamespacedCustomObject({ ...at, body: gadget({}) });
    assert.equal(made.spec.size, 3);
    const patch = { ...at, name: "g", body: { spec: { size: 5 } } };
    assert.equal((await custom.patchNamespacedCustomObject(patch, as(k8s.PatchStrategy.MergePatch))).spec.size, 5);
    assert.equal((await custom.listNamespacedCustomObject(at)).items.length, 1);
    await custom.deleteNamespacedCustomObject({ ...at, name: "g" });
    await definitions.deleteCustomResourceDefinition({ name: "gadgets.example.com" });
  },

  async informer() {
    const list = () => core.listNamespacedConfigMap({ namespace, labelSelector: "own" });
    const informer = k8s.makeInformer(config, `/api/v1/namespaces/${namespace}/configmaps`, list, "own");
    const seen = [];
    for (const verb of ["add", "update", "delete"]) {
      informer.on(verb, (one) => seen.push(`${verb} ${one.metadata.name}`));
    }
    informer.on("error", (error) => seen.push(`error ${error}`));
    await informer.start();
    assert.deepEqual(seen.splice(0).sort(), ["add a", "add b", "add c"]);
    await core.createNamespacedConfigMap({ namespace, body: map("d", {}, { own: "yes" }) });
    await core.patchNamespacedConfigMap({ namespace, name: "d", body: { data: { new: "1" } } }, as(k8s.PatchStrategy.MergePatch));
    await core.deleteNamespacedConfigMap({ namespace, name: "d" });
    await eventually("three events", () => seen.length >= 3);
    assert.deepEqual(seen, ["add d", "update d", "delete d"]);
    assert.equal(informer.list(namespace).length, 3);
    await informer.stop();
  },

  async identity() {
    const reviews = config.makeApiClient(k8s.AuthorizationV1Api);
    const attributes = { verb: "delete", resource: "nodes" };
    const may = await reviews.createSelfSubjectAccessReview({ body: { spec: { resourceAttributes: attributes } } });
    assert.equal(may.status.allowed, true);
    await core.createNamespacedServiceAccount({ namespace, body: { metadata: { name: "robot" } } });
    const token = await core.createNamespacedServiceAccountToken(
      { namespace, name: "robot", body: { spec: { audiences: [], expirationSeconds: 600 } } });
    const robot = configured();
    robot.users = [{ name: "robot", token: token.status.token }];
    robot.contexts = [{ name: "robot", cluster: robot.getCurrentCluster().name, user: "robot" }];
    robot.setCurrentContext("robot");
    const self = await robot.makeApiClient(k8s.AuthenticationV1Api).createSelfSubjectReview({ body: {} });
    assert.equal(self.status.userInfo.username, `system:serviceaccount:${namespace}:robot`);
    const own = robot.makeApiClient(k8s.CoreV1Api);
    await refused(403, "Forbidden", own.listNamespacedSecret({ namespace }));
    const subjects = [{ kind: "ServiceAccount", name: "robot", namespace }];
    const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "view" };
    const binding = { metadata: { name: "robot" }, roleRef, subjects };
    await config.makeApiClient(k8s.RbacAuthorizationV1Api).createNamespacedRoleBinding({ namespace, body: binding });
    await eventually("the binding acts", () => own.listNamespacedConfigMap({ namespace }).then(() => true, () => false));
  },

  async deletions() {
    const listed = await core.deleteCollectionNamespacedConfigMap({ namespace, labelSelector: "own" });
    assert.equal((await core.listNamespacedConfigMap({ namespace, labelSelector: "own" })).items.length, 0);
    assert.ok(listed);
    const gone = await core.deleteNamespacedSecret({ namespace, name: "s", body: { propagationPolicy: "Background" } });
    assert.equal(gone.status, "Success");
    await refused(404, "NotFound", core.deleteNamespacedSecret({ namespace, name: "s" }));
    const going = await core.deleteNamespace({ name: namespace });
    assert.ok(going);
  },
};

for (const [name, step] of Object.entries(steps)) {
  await step().catch((error) => {
    throw new Error(`${name}: ${error.message}`, { cause: error });
  });
  console.log(name);
}
