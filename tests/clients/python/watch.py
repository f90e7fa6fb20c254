"""The Python client lists, then watches from the list's revision; one line an event. It goes on through restarts of the
server as the client's own Watch does: from the last resourceVersion it has seen."""
import sys
import time

from kubernetes import client, config, watch

config.load_kube_config(config_file=sys.argv[1])
namespace = sys.argv[2]
api = client.CoreV1Api()
listed = api.list_namespaced_config_map(namespace)
for item in listed.items:
    print("LISTED", item.metadata.name, item.metadata.resource_version, flush=True)
print("SYNCED", len(listed.items), flush=True)
version = listed.metadata.resource_version
end = time.monotonic() + 300
while time.monotonic() < end:
    try:
        for event in watch.Watch().stream(
            api.list_namespaced_config_map, namespace, resource_version=version, timeout_seconds=60
        ):
            metadata = event["object"].metadata
            version = metadata.resource_version
            print(event["type"], metadata.name, version, flush=True)
    except Exception:  # the server is away: asked again
        time.sleep(0.1)
