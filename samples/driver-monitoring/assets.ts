/** Where the sample's committed files lie, from the sources as well as from the compiled tree in dist/. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { EdgefitError } from "../../toolkit/graph/errors.js";

const isPackageRoot = (folder: string): boolean => {
  const manifest = join(folder, "package.json");
  return existsSync(manifest) && JSON.parse(readFileSync(manifest, "utf8")).name === "edgefit";
};

/** The nearest folder at or above this file whose package.json is edgefit's. Throws EdgefitError `sample-assets`. */
export function packageRoot(): string {
  const start = dirname(fileURLToPath(import.meta.url));
  for (let folder = start; ; folder = dirname(folder)) {
    if (isPackageRoot(folder)) return folder;
    if (dirname(folder) === folder) {
      throw new EdgefitError("sample-assets", "no folder above this file holds edgefit's package.json", {
        where: start,
        hint: "install edgefit as a package, or run it from a clone of its repository",
      });
    }
  }
}

/** Path of one of the sample's committed files, e.g. `eye-state.onnx`. */
export const samplePath = (name: string): string => join(packageRoot(), "samples", "driver-monitoring", name);

/** The committed eye-state classifier; its preprocessor_config.json lies beside it. */
export const eyeStateModelPath = (): string => samplePath("eye-state.onnx");
