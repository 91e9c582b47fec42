import { create, toBinary } from "@bufbuild/protobuf";
import { TensorProto_DataType as DataType, type TensorProto, TensorProtoSchema } from "onnx-buf";
import { expect, test } from "vitest";
import type { ElemType, Tensor } from "../../toolkit/graph/tensor.js";
import { toNumberArray } from "../../toolkit/graph/tensor.js";
import { readModel, readTensor, writeModel } from "../../toolkit/onnx/index.js";
import { addModel, decode, type GraphInit } from "../support/protos.js";

type TensorInit = Partial<Omit<TensorProto, "$typeName">>;

/** Reads a model whose constant `w` is stored as given. */
const read = (w: TensorInit): Tensor => readModel(modelWith(w)).initializers.get("w")!;
const modelWith = (w: TensorInit): Uint8Array => addModel({ initializer: [{ name: "w", ...w }] } as GraphInit);
const bytesOf = (data: ArrayBufferView): Uint8Array<ArrayBuffer> =>
  new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);

const cases: { elemType: ElemType; dataType: DataType; typed: TensorInit; raw: ArrayBufferView; values: number[] }[] = [
  {
    elemType: "float32",
    dataType: DataType.FLOAT,
    typed: { floatData: [1.5, -2] },
    raw: Float32Array.of(1.5, -2),
    values: [1.5, -2],
  },
  {
    elemType: "float64",
    dataType: DataType.DOUBLE,
    typed: { doubleData: [0.1, -2] },
    raw: Float64Array.of(0.1, -2),
    values: [0.1, -2],
  },
  {
    elemType: "float16",
    dataType: DataType.FLOAT16,
    typed: { int32Data: [0x3c00, 0xc000] },
    raw: Uint16Array.of(0x3c00, 0xc000),
    values: [1, -2],
  },
  {
    elemType: "bfloat16",
    dataType: DataType.BFLOAT16,
    typed: { int32Data: [0x3f80, 0xc000] },
    raw: Uint16Array.of(0x3f80, 0xc000),
    values: [1, -2],
  },
  {
    elemType: "int8",
    dataType: DataType.INT8,
    typed: { int32Data: [-128, 127] },
    raw: Int8Array.of(-128, 127),
    values: [-128, 127],
  },
  {
    elemType: "uint8",
    dataType: DataType.UINT8,
    typed: { int32Data: [0, 255] },
    raw: Uint8Array.of(0, 255),
    values: [0, 255],
  },
  {
    elemType: "int16",
    dataType: DataType.INT16,
    typed: { int32Data: [-32768, 7] },
    raw: Int16Array.of(-32768, 7),
    values: [-32768, 7],
  },
  {
    elemType: "uint16",
    dataType: DataType.UINT16,
    typed: { int32Data: [65535, 7] },
    raw: Uint16Array.of(65535, 7),
    values: [65535, 7],
  },
  {
    elemType: "int32",
    dataType: DataType.INT32,
    typed: { int32Data: [-5, 2147483647] },
    raw: Int32Array.of(-5, 2147483647),
    values: [-5, 2147483647],
  },
  {
    elemType: "uint32",
    dataType: DataType.UINT32,
    typed: { uint64Data: [4294967295n, 1n] },
    raw: Uint32Array.of(4294967295, 1),
    values: [4294967295, 1],
  },
  {
    elemType: "int64",
    dataType: DataType.INT64,
    typed: { int64Data: [-1n, 5n] },
    raw: BigInt64Array.of(-1n, 5n),
    values: [-1, 5],
  },
  {
    elemType: "uint64",
    dataType: DataType.UINT64,
    typed: { uint64Data: [1n, 9007199254740991n] },
    raw: BigUint64Array.of(1n, 9007199254740991n),
    values: [1, 9007199254740991],
  },
  { elemType: "bool", dataType: DataType.BOOL, typed: { int32Data: [1, 0] }, raw: Uint8Array.of(1, 0), values: [1, 0] },
];

test.each(cases)(
  "$elemType reads the same from typed fields and from raw bytes",
  ({ elemType, dataType, typed, raw, values }) => {
    const fromTyped = read({ dims: [2n], dataType, ...typed });
    const fromRaw = read({ dims: [2n], dataType, rawData: bytesOf(raw) });
    expect(fromTyped).toEqual(fromRaw);
    expect(fromRaw.elemType).toBe(elemType);
    expect(toNumberArray(fromRaw)).toEqual(values);
  },
);

test.each(cases)("$elemType is written as raw bytes", ({ dataType, typed, raw }) => {
  const w = decode(writeModel(readModel(modelWith({ dims: [2n], dataType, ...typed })))).graph!.initializer[0];
  expect(w.dataType).toBe(dataType);
  expect([...w.rawData]).toEqual([...bytesOf(raw)]);
  expect([w.floatData, w.int32Data, w.int64Data, w.doubleData, w.uint64Data].flat()).toEqual([]);
});

test("a scalar has no dims and one element; an axis of length 0 has none", () => {
  expect(read({ dims: [], dataType: DataType.FLOAT, floatData: [3] })).toMatchObject({
    dims: [],
    data: Float32Array.of(3),
  });
  expect(read({ dims: [0n, 4n], dataType: DataType.FLOAT })).toMatchObject({ dims: [0, 4], data: new Float32Array(0) });
});

test("a view into the file at an odd offset is read exactly", () => {
  const raw = bytesOf(Float64Array.of(Math.PI, -Math.E));
  for (let pad = 0; pad < 8; pad++) {
    const file = modelWith({
      name: "w".padEnd(1),
      docString: "x".repeat(pad),
      dims: [2n],
      dataType: DataType.DOUBLE,
      rawData: raw,
    });
    const shifted = new Uint8Array(file.length + 3).subarray(3);
    shifted.set(file);
    expect(toNumberArray(readModel(shifted).initializers.get("w")!)).toEqual([Math.PI, -Math.E]);
  }
});

test("four-bit and sparse constants are carried, and refuse to be read as numbers", () => {
  const t = read({ dims: [3n], dataType: DataType.INT4, rawData: new Uint8Array([0x21, 3]) });
  expect(t).toMatchObject({ elemType: "int4", dims: [3] });
  expect(() => toNumberArray(t)).toThrow(/type int4 cannot be read as numbers/);
});

test("a tensor in a file of its own is read as constants are", () => {
  const message = { name: "x", dims: [2n], dataType: DataType.INT64, int64Data: [3n, -1n] };
  const { name, tensor } = readTensor(toBinary(TensorProtoSchema, create(TensorProtoSchema, message)));
  expect([name, tensor.elemType, tensor.dims, toNumberArray(tensor)]).toEqual(["x", "int64", [2], [3, -1]]);
  expect(() => readTensor(Uint8Array.of(0xff, 0xff))).toThrow(/2 bytes are not a valid ONNX tensor/);
});

const hostile: [string, TensorInit, RegExp][] = [
  [
    "too few raw bytes",
    { dims: [4n], dataType: DataType.FLOAT, rawData: new Uint8Array(15) },
    /constant "w" has dims \[4\] and so needs 16 bytes, but the model holds 15/,
  ],
  [
    "too many raw bytes",
    { dims: [2n], dataType: DataType.FLOAT, rawData: new Uint8Array(12) },
    /needs 8 bytes, but the model holds 12/,
  ],
  [
    "too few typed values",
    { dims: [2n, 2n], dataType: DataType.INT64, int64Data: [1n] },
    /dims \[2, 2\] and so needs 4 elements, but the model holds 1/,
  ],
  [
    "values in the wrong field",
    { dims: [1n], dataType: DataType.INT64, floatData: [1] },
    /needs 1 elements, but the model holds 0/,
  ],
  [
    "a huge product of dims",
    { dims: [2n ** 40n, 2n ** 40n], dataType: DataType.FLOAT, floatData: [1] },
    /more elements than any memory holds/,
  ],
  [
    "a large count without data",
    { dims: [2n ** 32n], dataType: DataType.FLOAT },
    /needs 4294967296 elements, but the model holds 0/,
  ],
  ["a negative dimension", { dims: [-1n], dataType: DataType.FLOAT, floatData: [1] }, /a dimension of -1/],
  [
    "a dimension beyond 2^53",
    { dims: [2n ** 60n], dataType: DataType.FLOAT, floatData: [1] },
    /a dimension of 1152921504606846976/,
  ],
  [
    "an unknown element type",
    { dims: [1n], dataType: 99, floatData: [1] },
    /element type 99, which ONNX does not define/,
  ],
  ["no element type", { dims: [1n], floatData: [1] }, /element type 0/],
  [
    "strings as raw bytes",
    { dims: [1n], dataType: DataType.STRING, rawData: new Uint8Array(8) },
    /strings as raw bytes/,
  ],
  [
    "too few four-bit bytes",
    { dims: [5n], dataType: DataType.UINT4, rawData: new Uint8Array(2) },
    /needs 3 bytes, but the model holds 2/,
  ],
];

test.each(hostile)("%s: refused with both numbers", (_, w, message) => {
  expect(() => read(w)).toThrow(message);
  expect(() => read(w)).toThrow(expect.objectContaining({ name: "ModelError" }));
});
