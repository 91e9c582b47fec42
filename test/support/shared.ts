/** Third-party models and data for tests: not part of the repository, found through EDGEFIT_SHARED. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(process.env.EDGEFIT_SHARED ?? join(import.meta.dirname, "../../../shared"));

/** Whether the folder of third-party models is there; tests that need it are skipped, by name, where it is not. */
export const hasShared = existsSync(join(root, "models"));

/** Path of a file under that folder, e.g. `sharedPath("models/resnet-cifar10/resnet20-cifar10.onnx")`. */
export const sharedPath = (relative: string): string => join(root, relative);
