/** ONNX messages made with the protobuf library directly: what files of other tools look like. */
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { TensorProto_DataType as DataType, type ModelProto, ModelProtoSchema } from "onnx-buf";

type ModelInit = MessageInitShape<typeof ModelProtoSchema>;
export type GraphInit = Extract<ModelInit["graph"], { $typeName?: never }>;

/** A float vector type. */
export const vector = (length: number) => ({
  value: {
    case: "tensorType" as const,
    value: {
      elemType: DataType.FLOAT,
      shape: { dim: [{ value: { case: "dimValue" as const, value: BigInt(length) } }] },
    },
  },
});

/** x -> Add(x, w) -> y on vectors of 3, with parts replaced. */
export function addModel(graph: GraphInit = {}, model: Omit<ModelInit, "graph"> = {}): Uint8Array {
  const message = create(ModelProtoSchema, {
    irVersion: 8n,
    opsetImport: [{ domain: "", version: 13n }],
    ...model,
    graph: {
      name: "add",
      input: [{ name: "x", type: vector(3) }],
      output: [{ name: "y", type: vector(3) }],
      initializer: [
        {
          name: "w",
          dims: [3n],
          dataType: DataType.FLOAT,
          rawData: new Uint8Array(new Float32Array([1, 2, 3]).buffer),
        },
      ],
      node: [{ name: "add", opType: "Add", input: ["x", "w"], output: ["y"] }],
      ...graph,
    },
  } as ModelInit);
  return toBinary(ModelProtoSchema, message);
}

export const decode = (bytes: Uint8Array): ModelProto => fromBinary(ModelProtoSchema, bytes);
