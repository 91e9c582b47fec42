/** Where this package lies and which version it is, both in the source tree and as installed. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** The package's own folder: the nearest one above this file with a package.json. */
export function packageRoot(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

/** Version of edgefit, as in its package.json. */
export function toolVersion(): string {
  return manifest().version;
}

/** Version of a package that this one depends on, all of which are pinned; undefined for others. */
export const dependencyVersion = (name: string): string | undefined => manifest().dependencies[name];

const manifest = () =>
  JSON.parse(readFileSync(join(packageRoot(), "package.json"), "utf8")) as {
    version: string;
    dependencies: Record<string, string>;
  };
