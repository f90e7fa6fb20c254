// The client, out of the folder of packages that the first argument names.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

export const k8s = await import(pathToFileURL(createRequire(`${process.argv[2]}/`).resolve("@kubernetes/client-node")));

export function configured() {
  const config = new k8s.KubeConfig();
  config.loadFromFile(process.argv[3]);
  return config;
}
