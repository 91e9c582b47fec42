/** ONNX files to graphs and back. */
export { readModelFile, writeModelFile } from "./files.js";
export { type ReadOptions, readModel } from "./read.js";
export type { ExternalReader } from "./tensorData.js";
export { writeModel } from "./write.js";
