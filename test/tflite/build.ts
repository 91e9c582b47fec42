/** Writes small TFLite files for tests, from plain lists, with the FlatBuffers builder. */
import { Builder, type Offset } from "flatbuffers";
import { operatorNames, tensorTypes } from "../../toolkit/tflite/schema.js";

export interface TensorSpec {
  name: string;
  type: string;
  dims: readonly number[];
  /** Elements of a constant. */
  data?: ArrayLike<number>;
  scales?: readonly number[];
  zeroPoints?: readonly number[];
  /** Axis of several scales. */
  axis?: number;
  signature?: readonly number[];
  isVariable?: boolean;
  /** Raw bytes of a constant, in place of `data`. */
  bytes?: Uint8Array;
}

/** Field number -> value of an operator's options: a number of the given kind, a flag, or a vector of 32-bit numbers. */
export type OptionSpec = Readonly<
  Record<number, { i8: number } | { i32: number } | { f32: number } | { i32s: number[] }>
>;

export interface OperatorSpec {
  /** Name in the schema, or `CUSTOM name`. */
  type: string;
  inputs: readonly number[];
  outputs: readonly number[];
  options?: OptionSpec;
}

export interface ModelSpec {
  tensors: readonly TensorSpec[];
  operators: readonly OperatorSpec[];
  inputs: readonly number[];
  outputs: readonly number[];
  version?: number;
  identifier?: string;
}

const arrays: Record<string, (d: ArrayLike<number>) => ArrayBufferView> = {
  FLOAT32: (d) => Float32Array.from(d),
  FLOAT16: (d) => Uint16Array.from(d),
  INT32: (d) => Int32Array.from(d),
  INT64: (d) => BigInt64Array.from(Array.from(d), BigInt),
  INT16: (d) => Int16Array.from(d),
  INT8: (d) => Int8Array.from(d),
  UINT8: (d) => Uint8Array.from(d),
  BOOL: (d) => Uint8Array.from(d),
};

const bytesOf = (t: TensorSpec): Uint8Array | undefined => {
  if (t.bytes) return t.bytes;
  if (!t.data) return undefined;
  const v = arrays[t.type](t.data);
  return new Uint8Array(v.buffer, v.byteOffset, v.byteLength);
};

/** The file's bytes. */
export function tflite(m: ModelSpec): Uint8Array {
  const b = new Builder(1024);
  const vector = (size: number, values: readonly number[], add: (v: number) => void): Offset => {
    b.startVector(size, values.length, size);
    for (const v of [...values].reverse()) add(v);
    return b.endVector();
  };
  const i32s = (values: readonly number[]) => vector(4, values, (v) => b.addInt32(v));
  const f32s = (values: readonly number[]) => vector(4, values, (v) => b.addFloat32(v));
  const i64s = (values: readonly number[]) => vector(8, values, (v) => b.addInt64(BigInt(v)));
  const offsets = (values: readonly Offset[]) => vector(4, values, (v) => b.addOffset(v));
  const table = (fields: number, fill: () => void): Offset => {
    b.startObject(fields);
    fill();
    return b.endObject();
  };

  const types = [...new Set(m.operators.map((o) => o.type))];
  const codes = types.map((type) => {
    const custom = type.startsWith("CUSTOM ") ? b.createString(type.slice(7)) : 0;
    const code = custom ? operatorNames.indexOf("CUSTOM") : operatorNames.indexOf(type);
    return table(4, () => {
      b.addFieldInt8(0, Math.min(code, 127), 0);
      if (custom) b.addFieldOffset(1, custom, 0);
      b.addFieldInt32(3, code, 0);
    });
  });

  const contents = m.tensors.map(bytesOf);
  const buffers = [undefined, ...contents.filter((c) => c !== undefined)].map((c) => {
    const data = c ? b.createByteVector(c) : 0;
    return table(1, () => data && b.addFieldOffset(0, data, 0));
  });
  let used = 0;
  const tensors = m.tensors.map((t, i) => {
    const buffer = contents[i] === undefined ? 0 : ++used;
    const name = b.createString(t.name);
    const dims = i32s(t.dims);
    const signature = t.signature ? i32s(t.signature) : 0;
    let quantization = 0;
    if (t.scales) {
      const scale = f32s(t.scales);
      const zero = i64s(t.zeroPoints ?? t.scales.map(() => 0));
      quantization = table(7, () => {
        b.addFieldOffset(2, scale, 0);
        b.addFieldOffset(3, zero, 0);
        b.addFieldInt32(6, t.axis ?? 0, 0);
      });
    }
    return table(8, () => {
      b.addFieldOffset(0, dims, 0);
      b.addFieldInt8(
        1,
        tensorTypes.findIndex(([type]) => type === t.type),
        0,
      );
      b.addFieldInt32(2, buffer, 0);
      b.addFieldOffset(3, name, 0);
      if (quantization) b.addFieldOffset(4, quantization, 0);
      b.addFieldInt8(5, t.isVariable ? 1 : 0, 0);
      if (signature) b.addFieldOffset(7, signature, 0);
    });
  });

  const operators = m.operators.map((o) => {
    const [inputs, outputs] = [i32s(o.inputs), i32s(o.outputs)];
    const fields = Object.entries(o.options ?? {}).map(([k, v]) => [Number(k), v] as const);
    const vectors = new Map(fields.flatMap(([k, v]) => ("i32s" in v ? [[k, i32s(v.i32s)] as const] : [])));
    const options = table(16, () => {
      for (const [k, v] of fields) {
        if ("i8" in v) b.addFieldInt8(k, v.i8, 0);
        else if ("i32" in v) b.addFieldInt32(k, v.i32, 0);
        else if ("f32" in v) b.addFieldFloat32(k, v.f32, 0);
        else b.addFieldOffset(k, vectors.get(k)!, 0);
      }
    });
    return table(5, () => {
      b.addFieldInt32(0, types.indexOf(o.type), 0);
      b.addFieldOffset(1, inputs, 0);
      b.addFieldOffset(2, outputs, 0);
      b.addFieldInt8(3, 1, 0);
      b.addFieldOffset(4, options, 0);
    });
  });

  const lists = [offsets(tensors), i32s(m.inputs), i32s(m.outputs), offsets(operators)];
  const graph = table(5, () => {
    for (const [k, v] of lists.entries()) b.addFieldOffset(k, v, 0);
  });
  const [allCodes, graphs, allBuffers] = [offsets(codes), offsets([graph]), offsets(buffers)];
  const description = b.createString("made by a test");
  const model = table(5, () => {
    b.addFieldInt32(0, m.version ?? 3, 0);
    b.addFieldOffset(1, allCodes, 0);
    b.addFieldOffset(2, graphs, 0);
    b.addFieldOffset(3, description, 0);
    b.addFieldOffset(4, allBuffers, 0);
  });
  b.finish(model, m.identifier ?? "TFL3");
  return b.asUint8Array();
}

/** A model of one operator: its inputs first, constants among them have data. */
export function oneOperator(
  type: string,
  inputs: readonly TensorSpec[],
  outputs: readonly TensorSpec[],
  options?: OptionSpec,
): Uint8Array {
  const open = inputs.map((_, i) => i).filter((i) => !inputs[i].data && !inputs[i].bytes);
  return tflite({
    tensors: [...inputs, ...outputs],
    operators: [{ type, inputs: inputs.map((_, i) => i), outputs: outputs.map((_, i) => inputs.length + i), options }],
    inputs: open,
    outputs: outputs.map((_, i) => inputs.length + i),
  });
}
