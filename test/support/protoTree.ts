/**
 * ONNX files as trees of protobuf fields that can be changed and written again with lengths that fit: what a fuzzer needs to
 * get past the outermost check.
 */
import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { ModelProtoSchema } from "onnx-buf";

/** One field of a message; `children` where the schema says that it is a message. */
export interface FieldNode {
  no: number;
  wireType: WireType;
  field?: DescField;
  /** Varints. */
  value?: bigint;
  /** Everything else that is no message. */
  bytes?: Uint8Array;
  children?: FieldNode[];
  message?: DescMessage;
}

/** The fields of a model, at all depths. */
export function treeOf(bytes: Uint8Array): FieldNode[] {
  return fieldsOf(new BinaryReader(bytes), bytes.length, ModelProtoSchema);
}

function fieldsOf(reader: BinaryReader, end: number, message: DescMessage): FieldNode[] {
  const out: FieldNode[] = [];
  while (reader.pos < end) {
    const [no, wireType] = reader.tag();
    const field = message.fields.find((f) => f.number === no);
    const node: FieldNode = { no, wireType, ...(field ? { field } : {}) };
    out.push(node);
    if (wireType === WireType.Varint) node.value = BigInt(reader.int64());
    else if (wireType === WireType.LengthDelimited && field?.message) {
      const length = reader.uint32();
      node.message = field.message;
      node.children = fieldsOf(reader, reader.pos + length, field.message);
    } else if (wireType === WireType.LengthDelimited) node.bytes = reader.bytes();
    else node.bytes = reader.skip(wireType, no);
  }
  return out;
}

/** The tree as a file. Shared subtrees are written wherever they stand. */
export function bytesOfTree(fields: readonly FieldNode[]): Uint8Array<ArrayBuffer> {
  const writer = new BinaryWriter();
  write(writer, fields);
  return writer.finish();
}

function write(w: BinaryWriter, fields: readonly FieldNode[]): void {
  for (const f of fields) {
    w.tag(f.no, f.wireType);
    if (f.children) {
      w.fork();
      write(w, f.children);
      w.join();
    } else if (f.wireType === WireType.Varint) w.int64(BigInt.asIntN(64, f.value ?? 0n));
    else if (f.wireType === WireType.LengthDelimited) w.bytes(f.bytes ?? new Uint8Array(0));
    else w.raw(f.bytes ?? new Uint8Array(0));
  }
}

/** Every field of a tree with the list that it stands in. */
export function placesOf(fields: FieldNode[], out: { list: FieldNode[]; index: number }[] = []) {
  fields.forEach((f, index) => {
    out.push({ list: fields, index });
    if (f.children) placesOf(f.children, out);
  });
  return out;
}

/** A copy that can be changed without changing the original; bytes are shared until replaced. */
export const copyTree = (fields: readonly FieldNode[]): FieldNode[] =>
  fields.map((f) => (f.children ? { ...f, children: copyTree(f.children) } : { ...f }));
