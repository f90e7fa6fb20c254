// The JavaScript client lists, then watches from the list's revision; one line an event. It goes on through restarts of the
// server from the last resourceVersion that it has seen.
import { setTimeout as pause } from "node:timers/promises";
import { configured, k8s } from "./modules.mjs";

const config = configured();
const namespace = process.argv[4];
const listed = await config.makeApiClient(k8s.CoreV1Api).listNamespacedConfigMap({ namespace });
console.log("SYNCED", listed.items.length);
let version = listed.metadata.resourceVersion;
const watch = new k8s.Watch(config);
// The test ends this program; the limit is for when it cannot.
const end = Date.now() + 300_000;
while (Date.now() < end) {
  await new Promise((done) => {
    const seen = (type, { metadata }) => {
      version = metadata.resourceVersion;
      console.log(type, metadata.name, version);
    };
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    watch.watch(path, { resourceVersion: version, timeoutSeconds: 60 }, seen, done).catch(done);
  });
  // The server is away: asked again.
  await pause(100);
}
