/**
 * The protobuf messages of ONNX, and the only file that imports the protobuf library. Decoding keeps unknown fields;
 * nothing here knows what a message means.
 */
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { type ModelProto, ModelProtoSchema } from "onnx-buf";
import { ModelError } from "../graph/errors.js";

export {
  type AttributeProto,
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
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

/** First bytes of files that people take for ONNX models. */
const lookalikes: readonly { name: string; test: (b: Uint8Array, text: string) => boolean; hint?: string }[] = [
  { name: "a PNG image", test: (_, t) => t.startsWith("\x89PNG") },
  { name: "a JPEG image", test: (b) => b[0] === 0xff && b[1] === 0xd8 && b[2] === 0xff },
  {
    name: "a TensorFlow Lite model",
    test: (_, t) => t.slice(4, 8) === "TFL3",
    hint: "convert it to ONNX first, for example with tf2onnx",
  },
  {
    name: "a model in ONNX Runtime's own ORT format",
    test: (_, t) => t.slice(4, 8) === "ORTM",
    hint: "give the .onnx file that it was made from",
  },
  {
    name: "a ZIP archive, such as a PyTorch checkpoint",
    test: (_, t) => t.startsWith("PK\x03\x04"),
    hint: "export the model to ONNX, for example with torch.onnx.export",
  },
  {
    name: "a pickle, such as an old PyTorch checkpoint",
    test: (b) => b[0] === 0x80 && b[1] >= 2 && b[1] <= 5 && b[2] !== 0x08,
    hint: "export the model to ONNX",
  },
  { name: "a gzip archive", test: (b) => b[0] === 0x1f && b[1] === 0x8b, hint: "decompress it first" },
  {
    name: "an HDF5 file, such as a Keras model",
    test: (_, t) => t.startsWith("\x89HDF"),
    hint: "convert it to ONNX first, for example with tf2onnx",
  },
  { name: "a GGUF model", test: (_, t) => t.startsWith("GGUF") },
  {
    name: "a Git LFS pointer, not the model itself",
    test: (_, t) => t.startsWith("version https://git-lfs"),
    hint: "run `git lfs pull`",
  },
];

/** Bytes to a ModelProto. Throws ModelError `not-onnx` or `truncated`, naming byte counts; never allocates beyond what the bytes justify. */
export function decodeModel(bytes: Uint8Array): ModelProto {
  if (bytes.length === 0) throw new ModelError("not-onnx", "the file is empty (0 bytes)");
  if (bytes.length > MAX_PROTO_BYTES) throw tooLarge(bytes.length);
  const head = Array.from(bytes.subarray(0, 64), (b) => String.fromCharCode(b)).join("");
  const other = lookalikes.find((k) => k.test(bytes, head));
  if (other) throw new ModelError("not-onnx", `this is ${other.name}, not an ONNX model`, { hint: other.hint });
  if (/^[\t\n\r\x20-\x7e]+$/.test(head))
    throw new ModelError(
      "not-onnx",
      `this is a text file, not an ONNX model (it starts with ${JSON.stringify(head.slice(0, 16))})`,
    );
  checkOutline(bytes);
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
