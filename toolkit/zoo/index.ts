/** Untrained nets from code, as plain ONNX graphs. */
export { type EfficientNetOptions, efficientNet, type MbconvStage } from "./efficientNet.js";
export type { ZooOptions } from "./layers.js";
export { type InvertedResidualStage, type MobileNetV2Options, mobileNetV2 } from "./mobileNetV2.js";
export { type ResnetCifarOptions, resnetCifar } from "./resnetCifar.js";
