/** A .tflite file as plain values: tensors, operators, and the raw bytes of constants. Knows no operator's meaning. */
import { ModelError } from "../graph/errors.js";
import { allocate, type ElemType, elemBytes, sizeOf, type Tensor } from "../graph/tensor.js";
import { FlatBuffer, type Table } from "./flatBuffer.js";
import { field, IDENTIFIER, operatorNames, SCHEMA_VERSION, tensorTypes } from "./schema.js";

/** Affine quantisation: real = scale * (stored - zeroPoint), per tensor or along one axis. */
export interface Quantization {
  scales: readonly number[];
  zeroPoints: readonly number[];
  /** Set where there are several scales. */
  axis?: number;
}

export interface TfliteTensor {
  index: number;
  name: string;
  elemType: ElemType;
  dims: readonly number[];
  /** As `dims`, with -1 where the size is open; empty when nothing is. */
  signature: readonly number[];
  quantization?: Quantization;
  constant?: Tensor;
}

export interface TfliteOperator {
  /** Position in the file. */
  index: number;
  /** Name in the schema, or `CUSTOM name`. */
  type: string;
  /** Indices of tensors; -1 where an optional one is absent. */
  inputs: readonly number[];
  outputs: readonly number[];
  options?: Table;
}

export interface TfliteModel {
  description: string;
  tensors: readonly TfliteTensor[];
  operators: readonly TfliteOperator[];
  inputs: readonly number[];
  outputs: readonly number[];
}

const MAX_RANK = 8;
/** Elements of the largest tensor: TFLite counts bytes in 32 bits where it can. */
const MAX_ELEMENTS = 2 ** 31;

const refuse = (code: string, message: string, hint?: string): ModelError =>
  new ModelError(code, message, hint ? { hint } : {});

/** Whether the bytes say of themselves that they are a TFLite model. */
export const isTflite = (bytes: Uint8Array): boolean => new FlatBuffer(bytes).identifier === IDENTIFIER;

/**
 * Reads the first subgraph of a model. Throws ModelError `not-tflite` for other files, `truncated` or `damaged` for
 * files that contradict themselves, and `tflite-feature` for what has no counterpart in ONNX.
 */
export function readTflite(bytes: Uint8Array): TfliteModel {
  const file = new FlatBuffer(bytes);
  if (file.identifier !== IDENTIFIER)
    throw refuse(
      "not-tflite",
      `this is not a TFLite file: the identifier "${IDENTIFIER}" is missing`,
      "an ONNX model needs no import",
    );
  const model = file.root();
  const version = model.u32(field.model.version);
  if (version !== SCHEMA_VERSION)
    throw refuse("tflite-feature", `the file has version ${version} of the TFLite schema, expected ${SCHEMA_VERSION}`);
  const [main] = model.tables(field.model.subgraphs);
  if (!main) throw refuse("damaged", "the file holds no graph");
  const buffers = model.tables(field.model.buffers);
  const names = operatorTypes(model);
  const read = new Map<number, Uint8Array>();
  const tensors = main.tables(field.subgraph.tensors).map((t, i) => readTensor(t, i, buffers, read));
  const checked = (list: readonly number[], least: number): readonly number[] => {
    for (const i of list)
      if (i < least || i >= tensors.length)
        throw refuse("damaged", `tensor ${i} is used, but the file has ${tensors.length} tensors`);
    return list;
  };
  const operators = main.tables(field.subgraph.operators).map((o, index): TfliteOperator => {
    const code = o.u32(field.operator.opcodeIndex);
    if (code >= names.length)
      throw refuse("damaged", `operator ${index} has code ${code}, but the file lists ${names.length} codes`);
    return {
      index,
      type: names[code],
      inputs: checked(o.i32s(field.operator.inputs), -1),
      outputs: checked(o.i32s(field.operator.outputs), 0),
      options: o.table(field.operator.builtinOptions),
    };
  });
  return {
    description: model.string(field.model.description),
    tensors,
    operators,
    inputs: checked(main.i32s(field.subgraph.inputs), 0),
    outputs: checked(main.i32s(field.subgraph.outputs), 0),
  };
}

/** The deprecated code is a byte; a newer, larger code stands beside it, and the greater of the two counts. */
function operatorTypes(model: Table): string[] {
  return model.tables(field.model.operatorCodes).map((c) => {
    const f = field.operatorCode;
    const code = Math.max(c.i8(f.deprecatedBuiltinCode), c.i32(f.builtinCode));
    const name = operatorNames[code] ?? `operator ${code}`;
    return name === "CUSTOM" ? `CUSTOM ${c.string(f.customCode)}` : name;
  });
}

function readTensor(t: Table, index: number, buffers: readonly Table[], read: Map<number, Uint8Array>): TfliteTensor {
  const f = field.tensor;
  const name = t.string(f.name) || `tensor_${index}`;
  const code = t.i8(f.type);
  const [typeName, elemType] = tensorTypes[code] ?? [`type ${code}`];
  const where = `tensor "${name}"`;
  if (!elemType) throw new ModelError("tflite-feature", `elements of type ${typeName} are not supported`, { where });
  if (t.bool(f.isVariable))
    throw new ModelError("tflite-feature", "the tensor keeps its value from call to call, which ONNX graphs cannot", {
      where,
    });
  if (t.table(f.sparsity))
    throw new ModelError("tflite-feature", "sparse tensors are not supported", {
      where,
      hint: "convert the model without sparsity",
    });
  const dims = t.i32s(f.shape);
  const elements = sizeOf(dims);
  if (dims.length > MAX_RANK || dims.some((d) => d < 0) || elements > MAX_ELEMENTS)
    throw new ModelError("damaged", `its shape is [${dims.slice(0, MAX_RANK + 1)}]`, { where });
  const buffer = t.u32(f.buffer);
  const bytes = read.get(buffer) ?? contentOf(t, buffers, buffer, where);
  read.set(buffer, bytes);
  const tensor: TfliteTensor = {
    index,
    name,
    elemType,
    dims,
    signature: t.i32s(f.shapeSignature),
    quantization: readQuantization(t, dims, where),
  };
  if (bytes.length > 0 && elements > 0) tensor.constant = constantOf(t.file, bytes, typeName, tensor, where);
  return tensor;
}

/** The bytes of a buffer: inside its table, or at an offset from the start of the file in models beyond 2 GB. */
function contentOf(t: Table, buffers: readonly Table[], index: number, where: string): Uint8Array {
  if (t.u32(field.tensor.externalBuffer) > 0)
    throw new ModelError("tflite-feature", "its value lies in another file, which is not supported", { where });
  if (index === 0 && buffers.length === 0) return new Uint8Array();
  const buffer = buffers[index];
  if (!buffer)
    throw new ModelError("damaged", `it has buffer ${index}, but the file has ${buffers.length} buffers`, { where });
  const offset = buffer.i64(field.buffer.offset);
  if (offset > 1) {
    const size = buffer.i64(field.buffer.size);
    t.file.check(offset, size);
    return t.file.bytes.subarray(offset, offset + size);
  }
  return buffer.bytes(field.buffer.data) ?? new Uint8Array();
}

/** Copies the bytes, since the file aligns its vectors as it likes. */
function constantOf(file: FlatBuffer, bytes: Uint8Array, typeName: string, t: TfliteTensor, where: string): Tensor {
  const { elemType, dims } = t;
  const elements = sizeOf(dims);
  const packed = typeName === "INT4";
  const expected = packed ? Math.ceil(elements / 2) : elements * elemBytes(elemType);
  if (bytes.length !== expected)
    throw new ModelError("damaged", `its shape [${dims}] needs ${expected} bytes, and it has ${bytes.length}`, {
      where,
    });
  file.spend(bytes.length);
  const data = allocate(elemType, elements);
  if (packed) {
    // The low half of a byte comes first; both are signed.
    for (let i = 0; i < elements; i++) data[i] = (i % 2 === 0 ? bytes[i >> 1] << 28 : bytes[i >> 1] << 24) >> 28;
  } else {
    new Uint8Array(data.buffer).set(bytes);
  }
  return { elemType, dims, data };
}

function readQuantization(t: Table, dims: readonly number[], where: string): Quantization | undefined {
  const q = t.table(field.tensor.quantization);
  const scales = q?.f32s(field.quantization.scale) ?? [];
  if (!q || scales.length === 0) return undefined;
  if (q.table(field.quantization.details))
    throw new ModelError("tflite-feature", "it is quantised by a custom or blockwise scheme, which is not supported", {
      where,
    });
  const zeros = q.i64s(field.quantization.zeroPoint);
  const zeroPoints = zeros.length === 0 ? scales.map(() => 0) : zeros;
  const axis = scales.length > 1 ? q.i32(field.quantization.axis) : undefined;
  const fits =
    zeroPoints.length === scales.length &&
    (axis === undefined || dims[axis] === scales.length) &&
    scales.every((s) => s > 0 && Number.isFinite(s)) &&
    zeroPoints.every(Number.isSafeInteger);
  if (!fits)
    throw new ModelError(
      "damaged",
      `its quantisation (${scales.length} scales, ${zeroPoints.length} zero points, axis ${axis ?? "none"}) does not fit its shape [${dims}]`,
      { where },
    );
  return { scales, zeroPoints, ...(axis === undefined ? {} : { axis }) };
}
