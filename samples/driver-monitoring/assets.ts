/** Where the sample's committed files lie, from the sources as well as from the compiled tree in dist/. */
import { join } from "node:path";
import { packageRoot } from "../../toolkit/version.js";

/** Path of one of the sample's committed files, e.g. `eye-state.onnx`. They are not copied to dist/. */
export const samplePath = (name: string): string => join(packageRoot(), "samples", "driver-monitoring", name);

/** The committed eye-state classifier; its preprocessor_config.json lies beside it. */
export const eyeStateModelPath = (): string => samplePath("eye-state.onnx");
