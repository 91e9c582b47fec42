/** TensorFlow Lite models (.tflite) as ONNX graphs. */
export { DEQUANTIZED, importTflite, type TfliteOptions } from "./import.js";
export { isTflite } from "./model.js";
export { supportedOperators } from "./operators/index.js";
