/**
 * What edgefit needs of TFLite's schema: numbers of fields, names of operators and of element types. From schema.fbs, version 3 of
 * the format, as LiteRT 2.3 and TensorFlow 2.21 have it (tensorflow/compiler/mlir/lite/schema/schema.fbs).
 */
import type { ElemType } from "../graph/tensor.js";

/** File identifier of the schema. */
export const IDENTIFIER = "TFL3";

/** The only version of the schema that is in use. */
export const SCHEMA_VERSION = 3;

export const field = {
  model: { version: 0, operatorCodes: 1, subgraphs: 2, description: 3, buffers: 4 },
  operatorCode: { deprecatedBuiltinCode: 0, customCode: 1, builtinCode: 3 },
  subgraph: { tensors: 0, inputs: 1, outputs: 2, operators: 3, name: 4 },
  buffer: { data: 0, offset: 1, size: 2 },
  tensor: {
    shape: 0,
    type: 1,
    buffer: 2,
    name: 3,
    quantization: 4,
    isVariable: 5,
    sparsity: 6,
    shapeSignature: 7,
    externalBuffer: 10,
  },
  quantization: { scale: 2, zeroPoint: 3, details: 5, axis: 6 },
  operator: { opcodeIndex: 0, inputs: 1, outputs: 2, builtinOptions: 4 },
} as const;

/** Fields of the operators' options. */
export const option = {
  conv: { padding: 0, strideW: 1, strideH: 2, activation: 3, dilationW: 4, dilationH: 5 },
  depthwise: { padding: 0, strideW: 1, strideH: 2, activation: 4, dilationW: 5, dilationH: 6 },
  transposeConv: { padding: 0, strideW: 1, strideH: 2, activation: 3 },
  pool: { padding: 0, strideW: 1, strideH: 2, filterW: 3, filterH: 4, activation: 5 },
  fullyConnected: { activation: 0, weightsFormat: 1, keepDims: 2 },
  /** ADD, SUB, MUL, DIV. */
  arithmetic: { activation: 0 },
  concatenation: { axis: 0, activation: 1 },
  softmax: { beta: 0 },
  reshape: { newShape: 0 },
  squeeze: { axes: 0 },
  reducer: { keepDims: 0 },
  resizeBilinear: { alignCorners: 2, halfPixelCenters: 3 },
  resizeNearest: { alignCorners: 0, halfPixelCenters: 1 },
  blocks: { size: 0 },
  gather: { axis: 0, batchDims: 1 },
  stridedSlice: { begin: 0, end: 1, ellipsis: 2, newAxis: 3, shrink: 4, offset: 5 },
  split: { count: 0 },
  pack: { axis: 1 },
  unpack: { axis: 1 },
  leakyRelu: { alpha: 0 },
  gelu: { approximate: 0 },
  mirrorPad: { mode: 0 },
  batchMatMul: { adjointX: 0, adjointY: 1 },
} as const;

/** Values of `Padding`. */
export const padding = ["SAME", "VALID"] as const;

/** Values of `ActivationFunctionType`. */
export const activations = ["NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT"] as const;
export type Activation = (typeof activations)[number];

/** `TensorType`: its name, and the element type of the same layout in memory where there is one. */
export const tensorTypes: readonly (readonly [name: string, elemType?: ElemType])[] = [
  ["FLOAT32", "float32"],
  ["FLOAT16", "float16"],
  ["INT32", "int32"],
  ["UINT8", "uint8"],
  ["INT64", "int64"],
  ["STRING"],
  ["BOOL", "bool"],
  ["INT16", "int16"],
  ["COMPLEX64"],
  ["INT8", "int8"],
  ["FLOAT64", "float64"],
  ["COMPLEX128"],
  ["UINT64", "uint64"],
  ["RESOURCE"],
  ["VARIANT"],
  ["UINT32", "uint32"],
  ["UINT16", "uint16"],
  // Two to a byte; unpacked when read.
  ["INT4", "int8"],
  ["BFLOAT16", "bfloat16"],
  ["INT2"],
  ["UINT4"],
  ["FLOAT8_E4M3FN"],
  ["FLOAT8_E5M2"],
];

/** `BuiltinOperator`, in the order of their codes. */
export const operatorNames: readonly string[] = `
  ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR
  FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION
  LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH
  CONCAT_EMBEDDINGS SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER
  BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE
  BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM
  ARG_MAX MINIMUM LESS NEG PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE
  EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR
  ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE
  RESIZE_NEAREST_NEIGHBOR LEAKY_RELU SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND
  COS WHERE RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE
  NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM BATCH_MATMUL
  PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO RFFT2D CONV_3D IMAG REAL COMPLEX_ABS HASHTABLE
  HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE
  BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE RANDOM_UNIFORM MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE RELU_0_TO_1
  UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM ATAN2 UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR
  RIGHT_SHIFT STABLEHLO_LOGISTIC STABLEHLO_ADD STABLEHLO_DIVIDE STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM STABLEHLO_RESHAPE
  STABLEHLO_CLAMP STABLEHLO_CONCATENATE STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION STABLEHLO_SLICE
  STABLEHLO_CUSTOM_CALL STABLEHLO_REDUCE STABLEHLO_ABS STABLEHLO_AND STABLEHLO_COSINE STABLEHLO_EXPONENTIAL
  STABLEHLO_FLOOR STABLEHLO_LOG STABLEHLO_MINIMUM STABLEHLO_NEGATE STABLEHLO_OR STABLEHLO_POWER STABLEHLO_REMAINDER
  STABLEHLO_RSQRT STABLEHLO_SELECT STABLEHLO_SUBTRACT STABLEHLO_TANH STABLEHLO_SCATTER STABLEHLO_COMPARE
  STABLEHLO_CONVERT STABLEHLO_DYNAMIC_SLICE STABLEHLO_DYNAMIC_UPDATE_SLICE STABLEHLO_PAD STABLEHLO_IOTA
  STABLEHLO_DOT_GENERAL STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT STABLEHLO_WHILE STABLEHLO_GATHER STABLEHLO_TRANSPOSE
  DILATE STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW STABLEHLO_COMPOSITE STABLEHLO_SHIFT_LEFT STABLEHLO_CBRT
  STABLEHLO_CASE
`
  .trim()
  .split(/\s+/);
