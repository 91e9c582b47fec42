/** A small residual net with batch norms and seeded random parameters, for the passes that repair and rank. */
import { GraphBuilder, type Ref } from "../../toolkit/graph/builder.js";
import { attr, type Graph } from "../../toolkit/graph/graph.js";
import { floats, type Tensor } from "../../toolkit/graph/tensor.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { gaussian } from "../support/random.js";

const WIDTH = 6;

/** Stem, one residual block, pooling and a dense layer: groups `stem` (the stream) and `inner`. */
export function residualNet(seed: number): Graph {
  const normal = gaussian(seed);
  const b = new GraphBuilder();
  const random = (name: string, dims: number[], scale: number, shift = 0): Ref =>
    b.initializer(
      name,
      floats(
        Float32Array.from({ length: dims.reduce((x, y) => x * y, 1) }, () => shift + scale * normal()),
        dims,
      ),
    );
  const conv = (x: Ref, name: string, inputs: number, outputs: number): Ref =>
    b.conv(x, random(`${name}.weight`, [outputs, inputs, 3, 3], 0.4), "", { pads: [1, 1, 1, 1] }, { name });
  const norm = (x: Ref, name: string): Ref =>
    b.emit(
      "BatchNormalization",
      [
        x,
        random(`${name}.scale`, [WIDTH], 0.3, 1),
        random(`${name}.bias`, [WIDTH], 0.3),
        random(`${name}.mean`, [WIDTH], 0.2),
        b.initializer(`${name}.var`, floats(Float32Array.from({ length: WIDTH }, () => 0.5 + Math.abs(normal())))),
      ],
      { epsilon: attr.float(1e-5) },
      { name },
    );
  const x = b.input("x", ["N", 3, 8, 8]);
  const stem = b.relu(norm(conv(x, "stem", 3, WIDTH), "stem.bn"));
  const inner = b.relu(norm(conv(stem, "inner", WIDTH, WIDTH), "inner.bn"));
  const branch = norm(conv(inner, "outer", WIDTH, WIDTH), "outer.bn");
  const sum = b.relu(b.add(stem, branch));
  const pooled = b.emit("Flatten", [b.emit("GlobalAveragePool", [sum])]);
  const logits = b.emit(
    "Gemm",
    [pooled, random("fc.weight", [4, WIDTH], 0.5), random("fc.bias", [4], 0.1)],
    { transB: attr.int(1) },
    { name: "fc", out: "logits" },
  );
  b.output(logits, { elemType: "float32", dims: ["N", 4] });
  return inferShapes(tidy(b.graph));
}

/** Batches of smooth random images. */
export function imageBatches(seed: number, batches: number, size: number): Tensor[] {
  const normal = gaussian(seed);
  return Array.from({ length: batches }, () =>
    floats(Float32Array.from({ length: size * 3 * 64 }, normal), [size, 3, 8, 8]),
  );
}
