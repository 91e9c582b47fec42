/** ONNX files to graphs and back. */
export { modelBytes, readModelFile, readSelfContained, writeModelFile } from "./files.js";
export { type ReadOptions, readModel, readTensor } from "./read.js";
export type { ExternalReader } from "./tensorData.js";
export { writeModel } from "./write.js";
