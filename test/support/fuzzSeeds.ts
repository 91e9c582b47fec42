/** Sound models that a fuzzer starts from: every kind of field that edgefit reads occurs in one of them. */
import { existsSync, readFileSync } from "node:fs";
import { AttributeProto_AttributeType as AttributeType, TensorProto_DataType as DataType } from "onnx-buf";
import { GraphBuilder } from "../../toolkit/graph/builder.js";
import { attr, type Graph } from "../../toolkit/graph/graph.js";
import { fromNumbers, ints, type Tensor } from "../../toolkit/graph/tensor.js";
import { writeModel } from "../../toolkit/onnx/index.js";
import { modelOf } from "../ops/case.js";
import { families } from "../ops/cases/index.js";
import { cutPass, surrounded } from "../ops/passes/cut.js";
import { netWithBranches, smallNet, waves } from "./models.js";
import { addModel, vector } from "./protos.js";
import { sharedPath } from "./shared.js";
import { thirdPartyModels } from "./thirdParty.js";

export interface Seed {
  name: string;
  bytes: Uint8Array;
}

/** Size in bytes of the file `w.bin` that the seed with external data wants beside it. */
export const EXTERNAL_BYTES = 300_000;

/** Channels that are split, joined, shuffled, gated and flattened. */
function channelNet(): Graph {
  const b = new GraphBuilder();
  const w = (name: string, ...dims: number[]) => b.initializer(name, waves(dims, 0.3));
  const x = b.input("x", [1, 4, 8, 8]);
  const same = { pads: [1, 1, 1, 1] };
  const a = b.relu(b.conv(x, w("a", 8, 4, 3, 3), w("a.bias", 8), same));
  const d = b.conv(a, w("d", 8, 1, 3, 3), "", { ...same, group: 8 });
  const bn = b.emit(
    "BatchNormalization",
    [d, w("g", 8), w("h", 8), w("m", 8), b.initializer("v", fromNumbers("float32", [1, 1, 1, 1, 1, 1, 1, 1], [8]))],
    { epsilon: attr.float(1e-3) },
  );
  const [left, right] = b.emitMany("Split", [bn, b.ints([4, 4])], { axis: attr.int(1) }, { outputs: 2 });
  const joined = b.concat([b.emit("PRelu", [left, w("slope", 4, 1, 1)]), b.clip(right, 0, 6)], 1);
  const shuffled = b.reshape(b.transpose(b.reshape(joined, [1, 2, 4, 8, 8]), [0, 2, 1, 3, 4]), [1, 8, 8, 8]);
  const squeezed = b.emit("GlobalAveragePool", [shuffled]);
  const gate = b.emit("Sigmoid", [b.conv(squeezed, w("s", 8, 8, 1, 1), "")]);
  const gated = b.mul(shuffled, gate);
  const pooled = b.emit("MaxPool", [gated], { kernel_shape: attr.ints([2, 2]), strides: attr.ints([2, 2]) });
  const padded = b.emit("Pad", [pooled, b.ints([0, 0, 1, 1, 0, 0, 1, 1])]);
  const sliced = b.emit("Slice", [padded, b.ints([1, 1]), b.ints([5, 5]), b.ints([2, 3])]);
  const up = b.emit("Resize", [sliced, "", b.const([1, 1, 2, 2])], { mode: attr.string("nearest") });
  const deep = b.emit("DepthToSpace", [up], { blocksize: attr.int(2) });
  const flat = b.emit("Flatten", [b.reduceMean(deep, [2], false)], { axis: attr.int(1) });
  const fc = b.emit("Gemm", [flat, w("fc", 5, 32), w("fc.bias", 5)], { transB: attr.int(1) });
  b.output(b.emit("Softmax", [fc], { axis: attr.int(1) }, { out: "y" }));
  return b.graph;
}

/** A dynamic batch and shapes that are computed, as exporters write them. */
function shapeNet(): Graph {
  const b = new GraphBuilder();
  const x = b.input("x", ["N", 3, 6, 6]);
  const y = b.conv(x, b.initializer("w", waves([6, 3, 3, 3])), "", { strides: [2, 2] });
  const n = b.emit("Gather", [b.emit("Shape", [y]), b.ints(0)], { axis: attr.int(0) });
  const shape = b.concat([b.emit("Unsqueeze", [n, b.ints([0])]), b.ints([-1])], 0);
  const flat = b.emit("Reshape", [y, shape]);
  const zeros = b.emit("ConstantOfShape", [b.ints([4])], { value: attr.tensor(fromNumbers("float32", [0], [1])) });
  const cast = b.emit("Cast", [b.emit("Range", [b.ints(0), b.ints(4), b.ints(1)])], { to: attr.int(1) });
  const weight = b.transpose(b.initializer("fc", waves([4, 24])), [1, 0]);
  const tiled = b.emit("Tile", [b.emit("Expand", [b.add(zeros, cast), b.ints([1, 4])]), b.ints([1, 1])]);
  b.output(b.add(b.matmul(flat, weight), tiled, { out: "y" }), { elemType: "float32", dims: ["N", 4] });
  return b.graph;
}

/** Half floats and quantised values. */
function narrowNet(): Graph {
  const b = new GraphBuilder();
  const x = b.input("x", [1, 4, 4, 4], "float16");
  const half = (name: string, dims: number[]): string =>
    b.initializer(name, fromNumbers("float16", Array.from(waves(dims).data as Float32Array), dims));
  const y = b.emit("Cast", [b.conv(x, half("w", [4, 4, 1, 1]), half("b", [4]))], { to: attr.int(1) });
  const scale = b.const(0.1);
  const byte = (name: string, values: number[], dims: number[]): string =>
    b.initializer(name, fromNumbers("int8", values, dims));
  const q = b.emit("QuantizeLinear", [y, scale, byte("zero", [0], [])]);
  const weights = b.emit(
    "DequantizeLinear",
    [
      byte(
        "qw",
        Array.from({ length: 32 }, (_, i) => i - 16),
        [8, 4, 1, 1],
      ),
      b.initializer("scales", waves([8])),
      byte("zeros", Array(8).fill(0), [8]),
    ],
    { axis: attr.int(0) },
  );
  b.output(b.conv(b.emit("DequantizeLinear", [q, scale, "zero"]), weights, ""), { elemType: "float32" });
  return b.graph;
}

const raw = (t: Tensor): Uint8Array<ArrayBuffer> =>
  new Uint8Array((t.data as Float32Array).slice().buffer as ArrayBuffer);

/** Functions, sparse and four-bit constants, typed fields, opaque attributes, unnamed nodes. */
function oddModel(): Uint8Array {
  return addModel(
    {
      node: [
        {
          opType: "twice",
          domain: "local",
          input: ["x"],
          output: ["t"],
          attribute: [{ name: "slope", type: AttributeType.FLOAT, f: 0.5 }],
        },
        { opType: "Add", input: ["t", "s"], output: ["a"] },
        {
          name: "odd",
          opType: "Odd",
          domain: "other",
          input: ["a", "", "n"],
          output: ["o", ""],
          attribute: [{ name: "t", type: AttributeType.TYPE_PROTO, tp: vector(2) }],
        },
        {
          opType: "Constant",
          output: ["c"],
          attribute: [{ name: "value_floats", type: AttributeType.FLOATS, floats: [1, 2, 3] }],
        },
        { opType: "Mul", input: ["o", "c"], output: ["y"] },
      ],
      valueInfo: [{ name: "o", type: vector(3) }],
      initializer: [
        { name: "n", dims: [3n], dataType: DataType.INT4, rawData: new Uint8Array([0x21, 3]) },
        { name: "typed", dims: [2n], dataType: DataType.INT64, int64Data: [1n, 2n] },
        {
          name: "words",
          dims: [2n],
          dataType: DataType.STRING,
          stringData: [new Uint8Array([65]), new Uint8Array([0xc3, 0x9f])],
        },
      ],
      sparseInitializer: [
        {
          dims: [3n],
          values: { name: "s", dims: [2n], dataType: DataType.FLOAT, rawData: raw(waves([2])) },
          indices: { dims: [2n], dataType: DataType.INT64, rawData: raw(ints([0, 2])) },
        },
      ],
    },
    {
      opsetImport: [{ version: 17n }, { domain: "local", version: 1n }, { domain: "other", version: 1n }],
      functions: [
        {
          domain: "local",
          name: "twice",
          input: ["x"],
          output: ["y"],
          attribute: ["slope"],
          opsetImport: [{ version: 17n }],
          node: [
            {
              opType: "LeakyRelu",
              input: ["x"],
              output: ["h"],
              attribute: [{ name: "alpha", refAttrName: "slope", type: AttributeType.FLOAT }],
            },
            { opType: "Add", input: ["h", "h"], output: ["y"] },
          ],
        },
      ],
      metadataProps: [{ key: "k", value: "v" }],
    },
  );
}

/** Weights in `w.bin`: one that is read at once and one that is read later. */
function externalModel(): Uint8Array {
  const external = (name: string, dims: bigint[], offset: number) => ({
    name,
    dims,
    dataType: DataType.FLOAT,
    dataLocation: 1 as const,
    externalData: Object.entries({
      location: "w.bin",
      offset: String(offset),
      length: String(4 * Number(dims[0] * dims[1])),
    }).map(([key, value]) => ({ key, value })),
  });
  return addModel({
    input: [
      {
        name: "x",
        type: {
          value: {
            case: "tensorType",
            value: {
              elemType: 1,
              shape: { dim: [1n, 100n].map((value) => ({ value: { case: "dimValue" as const, value } })) },
            },
          },
        },
      },
    ],
    initializer: [external("a", [100n, 400n], 4096), external("b", [400n, 3n], 200_000)],
    node: [
      { name: "first", opType: "MatMul", input: ["x", "a"], output: ["h"] },
      { name: "relu", opType: "Relu", input: ["h"], output: ["r"] },
      { name: "second", opType: "MatMul", input: ["r", "b"], output: ["y"] },
    ],
    output: [{ name: "y" }],
  });
}

/** Seeds made in code. */
export const builtSeeds: readonly Seed[] = [
  { name: "small", bytes: writeModel(smallNet()) },
  { name: "branches", bytes: writeModel(netWithBranches()) },
  { name: "channels", bytes: writeModel(channelNet()) },
  { name: "shapes", bytes: writeModel(shapeNet()) },
  { name: "narrow", bytes: writeModel(narrowNet()) },
  { name: "odd", bytes: oddModel() },
  { name: "external", bytes: externalModel() },
];

/** One model per case of the operators' tests, between layers where channels go through it. */
export const operatorSeeds: readonly Seed[] = Object.values(families).flatMap((cases) =>
  Object.entries(cases).flatMap(([opType, list]) =>
    list.map((c, i) => ({
      name: `${opType} ${c.name ?? i}`,
      bytes: writeModel((cutPass.skip?.(opType, c) === undefined ? surrounded : modelOf)(opType, c)),
    })),
  ),
);

/** Third-party models, where they are. */
export const sharedSeeds = (): Seed[] =>
  thirdPartyModels
    .filter((name) => existsSync(sharedPath(name)))
    .map((name) => ({ name, bytes: new Uint8Array(readFileSync(sharedPath(name))) }));
