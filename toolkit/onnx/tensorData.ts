/**
 * TensorProto <-> Tensor: raw, typed and external encodings. The length that `dims` asks for is checked against the
 * bytes that exist before anything is allocated.
 */
import { ModelError } from "../graph/errors.js";
import { type StoredBytes, storedTensor } from "../graph/stored.js";
import { allocate, type CarriedType, type ElemType, elemBytes, isOpaque, type Tensor } from "../graph/tensor.js";
import {
  DataLocation,
  DataType,
  make,
  revise,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProtoSchema,
} from "./proto.js";

/** Finds `length` bytes at `offset` of the file that a model calls `location`: the bytes, or a store to read them from later. */
export type ExternalReader = (location: string, offset: number, length: number) => Uint8Array | StoredBytes;

const isStore = (b: Uint8Array | StoredBytes): b is StoredBytes => !(b instanceof Uint8Array);

const elemTypes: Readonly<Record<number, ElemType>> = {
  [DataType.FLOAT]: "float32",
  [DataType.DOUBLE]: "float64",
  [DataType.FLOAT16]: "float16",
  [DataType.BFLOAT16]: "bfloat16",
  [DataType.INT8]: "int8",
  [DataType.INT16]: "int16",
  [DataType.INT32]: "int32",
  [DataType.INT64]: "int64",
  [DataType.UINT8]: "uint8",
  [DataType.UINT16]: "uint16",
  [DataType.UINT32]: "uint32",
  [DataType.UINT64]: "uint64",
  [DataType.BOOL]: "bool",
  [DataType.STRING]: "string",
  [DataType.COMPLEX64]: "complex64",
  [DataType.COMPLEX128]: "complex128",
  [DataType.FLOAT8E4M3FN]: "float8e4m3fn",
  [DataType.FLOAT8E4M3FNUZ]: "float8e4m3fnuz",
  [DataType.FLOAT8E5M2]: "float8e5m2",
  [DataType.FLOAT8E5M2FNUZ]: "float8e5m2fnuz",
  [DataType.FLOAT8E8M0]: "float8e8m0",
  [DataType.UINT4]: "uint4",
  [DataType.INT4]: "int4",
  [DataType.FLOAT4E2M1]: "float4e2m1",
  [DataType.UINT2]: "uint2",
  [DataType.INT2]: "int2",
};
const dataTypes = new Map(Object.entries(elemTypes).map(([code, t]) => [t, Number(code)]));

/** Bits per element of the types that edgefit carries without looking into them. */
const carriedBits: Readonly<Record<CarriedType, number>> = {
  complex64: 64,
  complex128: 128,
  float8e4m3fn: 8,
  float8e4m3fnuz: 8,
  float8e5m2: 8,
  float8e5m2fnuz: 8,
  float8e8m0: 8,
  uint4: 4,
  int4: 4,
  float4e2m1: 4,
  uint2: 2,
  int2: 2,
};

/** ONNX data type code to element type; "other" for codes that ONNX does not define. */
export const elemTypeOf = (dataType: number): ElemType => elemTypes[dataType] ?? "other";

/** Element type to ONNX data type code; 0 (undefined) for "other". */
export const dataTypeOf = (elemType: ElemType): number => dataTypes.get(elemType) ?? DataType.UNDEFINED;

/**
 * A constant of the file. One of a type that edgefit does not compute with has empty data, and the message itself travels
 * in `extras`. Throws ModelError when dims and data disagree.
 */
export function tensorFromProto(p: TensorProto, what: string, external?: ExternalReader): Tensor {
  const elemType = elemTypeOf(p.dataType);
  if (elemType === "other") {
    throw new ModelError("elem-type", `${what} has element type ${p.dataType}, which ONNX does not define`);
  }
  const dims = dimsOf(p.dims, what);
  const count = countOf(dims, what);
  const bits = isOpaque(elemType) ? carriedBits[elemType] : elemBytes(elemType) * 8;
  const bytes =
    p.dataLocation === DataLocation.EXTERNAL
      ? readExternal(p, Math.ceil((count * bits) / 8), what, external)
      : ownRawData(p);
  if (bytes && elemType === "string")
    throw new ModelError("tensor-data", `${what} holds strings as raw bytes, which ONNX does not allow`);
  if (bytes && bytes.byteLength !== Math.ceil((count * bits) / 8)) {
    throw sizeMismatch(what, dims, `${Math.ceil((count * bits) / 8)} bytes`, `${bytes.byteLength}`);
  }
  if (isOpaque(elemType)) {
    const raw = bytes && isStore(bytes) ? bytes.read(0, bytes.byteLength) : bytes;
    return { elemType, dims, data: new Uint8Array(0), extras: raw ? inlined(p, raw) : p };
  }
  const extras = inlined(p);
  const own = (field: keyof TensorProto) => Object.hasOwn(p, field);
  const carriesMore =
    own("name") || own("docString") || own("segment") || own("$unknown") || p.metadataProps.length > 0;
  if (bytes && isStore(bytes)) return storedTensor(elemType, dims, bytes, carriesMore ? extras : undefined);
  const tensor: Tensor = {
    elemType,
    dims,
    data: bytes ? viewAs(elemType, count, bytes) : typedData(p, elemType, dims, count, what),
  };
  return carriesMore ? { ...tensor, extras } : tensor;
}

/** Where a constant lies in a file beside the model. */
export interface Placement {
  location: string;
  offset: number;
  length: number;
}

/**
 * A constant as raw bytes (or as a reference to where they were placed), under a new name or the one it was read with.
 * Throws ModelError for one without numeric data that no file gave.
 */
export function tensorToProto(t: Tensor, newName?: string, placed?: Placement): TensorProto {
  const kept = t.extras as TensorProto | undefined;
  const name = newName ?? (kept?.$typeName === "onnx.TensorProto" ? kept.name : "");
  if (isOpaque(t.elemType)) {
    if (kept?.$typeName !== "onnx.TensorProto")
      throw new ModelError("elem-type", `constant "${name}" has an element type that cannot be written`);
    return revise(kept, { name });
  }
  const base = kept?.$typeName === "onnx.TensorProto" ? kept : make(TensorProtoSchema, {});
  const fields = { name, dims: t.dims.map(BigInt), dataType: dataTypeOf(t.elemType) };
  if (placed) {
    const entries = { location: placed.location, offset: String(placed.offset), length: String(placed.length) };
    const externalData = Object.entries(entries).map(([key, value]) =>
      make(StringStringEntryProtoSchema, { key, value }),
    );
    return revise(base, { ...fields, dataLocation: DataLocation.EXTERNAL, externalData });
  }
  const count = countOf(t.dims, `constant "${name}"`);
  if (t.data.length !== count)
    throw sizeMismatch(`constant "${name}"`, t.dims, `${count} elements`, `${t.data.length}`);
  if (Array.isArray(t.data))
    return revise(base, { ...fields, stringData: t.data.map((s) => new TextEncoder().encode(s)) });
  const { data } = t;
  return revise(base, {
    ...fields,
    rawData: new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength),
  });
}

/** The message without its data, or with all of it as `rawData`. */
function inlined(p: TensorProto, rawData?: Uint8Array): TensorProto {
  const bare = revise(p, {
    floatData: [],
    int32Data: [],
    stringData: [],
    int64Data: [],
    doubleData: [],
    uint64Data: [],
    externalData: [],
  });
  delete (bare as Partial<TensorProto>).dataLocation;
  delete (bare as Partial<TensorProto>).rawData;
  if (rawData) bare.rawData = rawData as Uint8Array<ArrayBuffer>;
  return bare;
}

function ownRawData(p: TensorProto): Uint8Array | undefined {
  return Object.hasOwn(p, "rawData") && (p.rawData.length > 0 || !hasTypedData(p)) ? p.rawData : undefined;
}

const hasTypedData = (p: TensorProto): boolean =>
  p.floatData.length +
    p.int32Data.length +
    p.stringData.length +
    p.int64Data.length +
    p.doubleData.length +
    p.uint64Data.length >
  0;

/** Dims as numbers. Throws ModelError for negative ones and those beyond 2^53. */
export function dimsOf(dims: readonly bigint[], what: string): number[] {
  return dims.map((d) => {
    if (d < 0n || d > BigInt(Number.MAX_SAFE_INTEGER))
      throw new ModelError("tensor-data", `${what} has a dimension of ${d}`);
    return Number(d);
  });
}

/** Number of elements. Throws ModelError where no memory holds them. */
export function countOf(dims: readonly number[], what: string): number {
  const count = dims.includes(0) ? 0 : dims.reduce((n, d) => n * d, 1);
  if (!(count <= Number.MAX_SAFE_INTEGER / 128))
    throw new ModelError("tensor-data", `${what} has dims [${dims.join(", ")}], more elements than any memory holds`);
  return count;
}

function sizeMismatch(what: string, dims: readonly number[], expected: string, got: string): ModelError {
  return new ModelError(
    "tensor-data",
    `${what} has dims [${dims.join(", ")}] and so needs ${expected}, but the model holds ${got}`,
    {
      hint: "the file may be damaged; export or download it again",
    },
  );
}

function readExternal(
  p: TensorProto,
  needed: number,
  what: string,
  external?: ExternalReader,
): Uint8Array | StoredBytes {
  const entries = new Map(p.externalData.map((e) => [e.key, e.value]));
  const location = entries.get("location");
  if (!location)
    throw new ModelError(
      "external-data",
      `${what} is stored outside the model, but the model does not say in which file`,
    );
  if (!external) {
    throw new ModelError(
      "external-data",
      `${what} is stored in the file "${location}" beside the model, which cannot be reached from here`,
      {
        hint: "read the model from its own folder",
      },
    );
  }
  const natural = (key: string, otherwise: number): number => {
    const text = entries.get(key);
    if (text === undefined || text === "") return otherwise;
    const v = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(v))
      throw new ModelError("external-data", `${what} gives "${text}" as the ${key} of its data in "${location}"`);
    return v;
  };
  const offset = natural("offset", 0);
  const length = natural("length", needed);
  if (length !== needed)
    throw new ModelError(
      "tensor-data",
      `${what} needs ${needed} bytes for its dims, but the model gives ${length} bytes of "${location}"`,
    );
  return external(location, offset, length);
}

/** Little-endian bytes as a typed array; shares memory where alignment allows. */
function viewAs(elemType: ElemType, count: number, bytes: Uint8Array): Tensor["data"] {
  const sample = allocate(elemType, 0);
  const View = sample.constructor as unknown as new (
    b: ArrayBufferLike,
    offset: number,
    length: number,
  ) => Exclude<Tensor["data"], string[]>;
  if (bytes.byteOffset % sample.BYTES_PER_ELEMENT === 0) return new View(bytes.buffer, bytes.byteOffset, count);
  return new View(new Uint8Array(bytes).buffer, 0, count);
}

function typedData(
  p: TensorProto,
  elemType: ElemType,
  dims: readonly number[],
  count: number,
  what: string,
): Tensor["data"] {
  if (elemType === "string") {
    if (p.stringData.length !== count) throw sizeMismatch(what, dims, `${count} elements`, `${p.stringData.length}`);
    return p.stringData.map((s) => new TextDecoder().decode(s));
  }
  // uint32 is stored as uint64; narrower integers, half floats and booleans as int32.
  const fields: Partial<Record<ElemType, number[] | bigint[]>> = {
    float32: p.floatData,
    float64: p.doubleData,
    int64: p.int64Data,
    uint64: p.uint64Data,
    uint32: p.uint64Data,
  };
  const source = fields[elemType] ?? p.int32Data;
  if (source.length !== count) throw sizeMismatch(what, dims, `${count} elements`, `${source.length}`);
  const data = allocate(elemType, count);
  const wide = data instanceof BigInt64Array || data instanceof BigUint64Array;
  for (let i = 0; i < count; i++) data[i] = wide ? source[i] : Number(source[i]);
  return data;
}
