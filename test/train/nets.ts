/** Little nets and a synthetic data set for training tests: stripes along one axis or the other, under noise. */

import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { Batch, Split } from "../../toolkit/data/dataset.js";
import { emptyGraph, GraphBuilder, type Ref } from "../../toolkit/graph/builder.js";
import { attr, type Graph } from "../../toolkit/graph/graph.js";
import { floats, sizeOf, toFloat32 } from "../../toolkit/graph/tensor.js";
import { openSession } from "../../toolkit/runtime/session.js";
import { gaussian } from "../support/random.js";

export const SIDE = 8;

/** Two classes of noisy 8x8 images: class 0 varies along the rows, class 1 along the columns. */
export function stripes(count: number, seed: number): Split {
  const noise = gaussian(seed);
  const uniform = xoroshiro128plus(seed);
  const data = new Float32Array(count * SIDE * SIDE);
  const labels = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    labels[i] = i % 2;
    const phase = uniformFloat64(uniform) * 2 * Math.PI;
    for (let y = 0; y < SIDE; y++) {
      for (let x = 0; x < SIDE; x++) {
        data[(i * SIDE + y) * SIDE + x] = Math.sin((labels[i] ? x : y) * 1.6 + phase) + 0.4 * noise();
      }
    }
  }
  return splitOf(data, [1, SIDE, SIDE], labels);
}

/** A split over items laid end to end. */
export function splitOf(data: Float32Array, dims: readonly number[], labels?: Int32Array): Split {
  const size = sizeOf(dims);
  return {
    count: data.length / size,
    labelled: labels !== undefined,
    async batch(indices): Promise<Batch> {
      const list = Array.from(indices);
      const out = new Float32Array(list.length * size);
      list.forEach((from, i) => {
        out.set(data.subarray(from * size, (from + 1) * size), i * size);
      });
      return { data: out, dims: [list.length, ...dims], labels: labels && Int32Array.from(list, (i) => labels[i]) };
    },
  };
}

export interface NetOptions {
  batchNorm?: boolean;
  separable?: boolean;
  /** Ends in probabilities. */
  softmax?: boolean;
  seed?: number;
}

/** Two convolution layers, a global pool and a dense layer: [N, 1, 8, 8] to [N, 2]. */
export function stripeNet(o: NetOptions = {}): Graph {
  const { batchNorm = true, separable = false, softmax = false, seed = 1 } = o;
  const g = new GraphBuilder(emptyGraph("stripes"));
  const normal = gaussian(seed);
  const weight = (name: string, dims: readonly number[]): Ref => {
    const fan = sizeOf(dims.slice(1));
    return g.initializer(
      name,
      floats(
        Float32Array.from({ length: sizeOf(dims) }, () => normal() * Math.sqrt(2 / fan)),
        dims,
      ),
    );
  };
  const filled = (name: string, n: number, v: number): Ref => g.initializer(name, floats(new Float32Array(n).fill(v)));
  const block = (x: Ref, name: string, from: number, to: number, kernel: number, stride: number, group = 1): Ref => {
    const w = weight(`${name}.weight`, [to, from / group, kernel, kernel]);
    const pad = (kernel - 1) / 2;
    const conv = { pads: [pad, pad, pad, pad], strides: [stride, stride], group };
    if (!batchNorm) return g.relu(g.conv(x, w, filled(`${name}.bias`, to, 0), conv));
    const y = g.emit("BatchNormalization", [
      g.conv(x, w, "", conv),
      filled(`${name}.bn.scale`, to, 1),
      filled(`${name}.bn.bias`, to, 0),
      filled(`${name}.bn.mean`, to, 0),
      filled(`${name}.bn.variance`, to, 1),
    ]);
    return g.clip(y, 0, 6);
  };
  let x: Ref = g.input("image", ["N", 1, SIDE, SIDE]);
  x = block(x, "first", 1, 8, 3, 1);
  if (separable) {
    x = block(x, "depthwise", 8, 8, 3, 2, 8);
    x = block(x, "pointwise", 8, 16, 1, 1);
  } else {
    x = block(x, "second", 8, 16, 3, 2);
  }
  x = g.emit("Flatten", [g.emit("GlobalAveragePool", [x])]);
  const logits = g.emit(
    "Gemm",
    [x, weight("dense.weight", [2, 16]), filled("dense.bias", 2, 0)],
    { transB: attr.int(1) },
    { out: "logits" },
  );
  g.output(softmax ? g.emit("Softmax", [logits], {}, { out: "probabilities" }) : logits, {
    elemType: "float32",
    dims: ["N", 2],
  });
  return g.graph;
}

/** Share of a split's items that the net classifies right. */
export async function accuracy(g: Graph, split: Split): Promise<number> {
  const session = await openSession(g);
  try {
    const batch = await split.batch(Array.from({ length: split.count }, (_, i) => i));
    const results = await session.run({ [g.inputs[0].name]: floats(batch.data, batch.dims) });
    const scores = toFloat32(results[g.outputs[0].name]);
    const right = Array.from(batch.labels!).filter((label, i) => (scores[2 * i + 1] > scores[2 * i] ? 1 : 0) === label);
    return right.length / split.count;
  } finally {
    await session.dispose();
  }
}
