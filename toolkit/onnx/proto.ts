/**
 * The protobuf messages of ONNX, and the only file that imports the protobuf library. Decoding keeps unknown fields;
 * nothing here knows what a message means.
 */
import {
  create,
  type DescField,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { type ModelProto, ModelProtoSchema, type TensorProto, TensorProtoSchema } from "onnx-buf";
import { ModelError } from "../graph/errors.js";
import { refuseLookalikes } from "./lookalikes.js";

export {
  type AttributeProto,
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  type FunctionProto,
  type GraphProto,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  type SparseTensorProto,
  type StringStringEntryProto,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  TensorProtoSchema,
  type TypeProto,
  TypeProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "onnx-buf";

/** Protobuf cannot encode a message of 2 GiB or more. */
export const MAX_PROTO_BYTES = 2 ** 31 - 1;

/** Bytes to a ModelProto. Throws ModelError `not-onnx` or `truncated`, naming byte counts; never allocates beyond what the bytes justify. */
export function decodeModel(bytes: Uint8Array): ModelProto {
  if (bytes.length === 0) throw new ModelError("not-onnx", "the file is empty (0 bytes)");
  if (bytes.length > MAX_PROTO_BYTES) throw tooLarge(bytes.length);
  refuseLookalikes(bytes);
  checkOutline(bytes);
  checkMemory(bytes);
  try {
    return fromBinary(ModelProtoSchema, bytes);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ModelError("not-onnx", `the ${bytes.length} bytes are not a valid ONNX protobuf (${reason})`, {
      hint: "the file may be damaged; export or download it again",
      cause,
    });
  }
}

/** Bytes to a TensorProto. Throws ModelError `not-onnx`. */
export function decodeTensor(bytes: Uint8Array): TensorProto {
  try {
    return fromBinary(TensorProtoSchema, bytes);
  } catch (cause) {
    throw new ModelError("not-onnx", `the ${bytes.length} bytes are not a valid ONNX tensor`, { cause });
  }
}

/** Walks the outermost fields, so that a cut file is told from a foreign one and both with numbers. */
function checkOutline(bytes: Uint8Array): void {
  const known = new Map(ModelProtoSchema.fields.map((f) => [f.number, f.name]));
  const reader = new BinaryReader(bytes);
  let recognised = 0;
  while (reader.pos < reader.len) {
    const start = reader.pos;
    let field = "field";
    try {
      const [number, wireType] = reader.tag();
      field = known.get(number) ?? `field ${number}`;
      if (wireType === WireType.LengthDelimited) {
        const length = reader.uint32();
        const left = reader.len - reader.pos;
        if (length > left) {
          if (recognised === 0 || !known.has(number)) throw notOnnx(bytes.length);
          throw new ModelError(
            "truncated",
            `the file is truncated: its "${field}" should be ${length} bytes long, but only ${left} of the file's ${bytes.length} bytes are left`,
            {
              hint: "copy or download the file again",
            },
          );
        }
        reader.pos += length;
      } else reader.skip(wireType, number);
      if (known.has(number)) recognised++;
    } catch (cause) {
      if (cause instanceof ModelError) throw cause;
      if (recognised === 0) throw notOnnx(bytes.length, cause);
      throw new ModelError(
        "truncated",
        `the file is truncated or damaged: its "${field}" at byte ${start} of ${bytes.length} cannot be read`,
        {
          hint: "copy or download the file again",
          cause,
        },
      );
    }
  }
  if (recognised === 0) throw notOnnx(bytes.length);
}

/**
 * What decoded structure may take by the rough sizes below; the graph made of it takes as much again. Weights in raw form are
 * not counted: they stay where they are in the file. Large files may take more: old exporters write every weight as a field.
 */
const maxStructureBytes = (fileBytes: number): number => Math.max(2 ** 29, 3 * fileBytes);
/** Rough sizes in memory of an empty message, an element of a 64-bit list, of another list of numbers, of a list of texts. */
const structureBytes = { message: 400, wide: 32, number: 8, text: 64 };

const wideTypes: ReadonlySet<ScalarType> = new Set([ScalarType.INT64, ScalarType.UINT64]);
const lengthPrefixed: ReadonlySet<ScalarType> = new Set([ScalarType.STRING, ScalarType.BYTES]);

/**
 * Two bytes of a file can ask for a message of hundreds, so what decoding would take is added up before it is done. Walks
 * exactly as the decoder does; where the bytes make no sense it stops, and the decoder will say so.
 */
function checkMemory(bytes: Uint8Array): void {
  const reader = new BinaryReader(bytes);
  const limit = maxStructureBytes(bytes.length);
  let total = 0;
  const spend = (amount: number): void => {
    total += amount;
    if (total <= limit) return;
    throw new ModelError(
      "too-large",
      `the ${bytes.length} bytes hold more fields than edgefit reads (over ${Math.round(limit / 2 ** 20)} MiB of memory besides the weights)`,
      {
        hint: "store weights as raw data; a model never needs millions of nodes",
      },
    );
  };
  const scalar = (type: ScalarType): void => {
    if (lengthPrefixed.has(type)) {
      spend(structureBytes.text);
      const length = reader.uint32(); // first: `+=` would add it to the position before it was read
      reader.pos += length;
    } else if (type === ScalarType.FLOAT) reader.pos += 4;
    else if (type === ScalarType.DOUBLE) reader.pos += 8;
    else reader.skip(WireType.Varint);
  };
  const list = (type: ScalarType, wireType: WireType): void => {
    const each = wideTypes.has(type)
      ? structureBytes.wide
      : lengthPrefixed.has(type)
        ? structureBytes.text
        : structureBytes.number;
    if (wireType !== WireType.LengthDelimited || lengthPrefixed.has(type)) {
      spend(each);
      scalar(type);
      return;
    }
    const length = reader.uint32();
    const shortest = type === ScalarType.FLOAT ? 4 : type === ScalarType.DOUBLE ? 8 : 1;
    spend((length / shortest) * each);
    reader.pos += length;
  };
  const walk = (desc: DescMessage, end: number, depth: number): void => {
    if (depth > 100) return;
    while (reader.pos < end && reader.pos < reader.len) {
      const [number, wireType] = reader.tag();
      const field = fieldOf(desc, number);
      if (!field) {
        spend(structureBytes.text);
        reader.skip(wireType, number);
      } else if (field.message) {
        spend(structureBytes.message);
        const length = reader.uint32();
        walk(field.message, reader.pos + length, depth + 1);
      } else if (field.fieldKind === "list") list(field.scalar ?? ScalarType.INT32, wireType);
      else scalar(field.fieldKind === "scalar" ? field.scalar : ScalarType.INT32);
    }
  };
  try {
    walk(ModelProtoSchema, bytes.length, 0);
  } catch (cause) {
    if (cause instanceof ModelError) throw cause;
  }
}

const fieldsByNumber = new Map<DescMessage, Map<number, DescField>>();

function fieldOf(desc: DescMessage, number: number): DescField | undefined {
  let fields = fieldsByNumber.get(desc);
  if (!fields) fieldsByNumber.set(desc, (fields = new Map(desc.fields.map((f) => [f.number, f]))));
  return fields.get(number);
}

const notOnnx = (size: number, cause?: unknown) =>
  new ModelError("not-onnx", `the ${size} bytes are not an ONNX model`, { cause });

/** The error for models that protobuf cannot hold. */
export function tooLarge(sizeBytes: number): ModelError {
  return new ModelError(
    "too-large",
    `the model needs ${sizeBytes} bytes in one file; ONNX files end at ${MAX_PROTO_BYTES} bytes (2 GiB)`,
    {
      hint: "weights beyond that size must be stored as external data",
    },
  );
}

/** A ModelProto to bytes. Throws ModelError when a value does not fit its field. */
export function encodeModel(model: ModelProto): Uint8Array {
  try {
    return toBinary(ModelProtoSchema, model);
  } catch (cause) {
    throw new ModelError(
      "unwritable",
      `the model cannot be written as ONNX: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}

/** A new message. */
export function make<D extends DescMessage>(schema: D, fields: MessageInitShape<D>): MessageShape<D> {
  return create(schema, fields);
}

/**
 * A copy of `message` with some fields replaced; what it carries beside them (unknown fields too) stays. A field whose
 * value already reads the same is left as it was, so that "absent" does not become "present and empty".
 */
export function revise<M extends object>(message: M, fields: Partial<M>): M {
  const copy: M = Object.assign(Object.create(Object.getPrototypeOf(message)), message);
  for (const key of Object.keys(fields) as (keyof M)[])
    if (copy[key] !== fields[key]) copy[key] = fields[key] as M[keyof M];
  return copy;
}
