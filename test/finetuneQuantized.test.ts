import { expect, test } from "vitest";
import type { Split } from "../toolkit/data/dataset.js";
import { finetuneQuantized } from "../toolkit/finetuneQuantized.js";
import { emptyGraph, GraphBuilder, type Ref } from "../toolkit/graph/builder.js";
import { checkGraph } from "../toolkit/graph/check.js";
import type { Graph } from "../toolkit/graph/graph.js";
import { floats, sizeOf, type Tensor, toFloat32, toNumbers } from "../toolkit/graph/tensor.js";
import { calibrate, placePrepared, prepareForQuantization } from "../toolkit/quantize/index.js";
import { openSession } from "../toolkit/runtime/session.js";
import { coarse } from "./methods/coarse.js";
import { gaussian } from "./support/random.js";

const DIMS = [3, 8, 8];

function randomTensor(dims: readonly number[], seed: number, scale = 1): Tensor {
  const normal = gaussian(seed);
  return floats(
    Float32Array.from({ length: sizeOf(dims) }, () => scale * normal()),
    dims,
  );
}

/** Two residual blocks with batch norms, and a map as output. */
function residualNet(): Graph {
  const g = new GraphBuilder(emptyGraph("residual"));
  let seed = 0;
  const block = (x: Ref, from: number, to: number): Ref => {
    seed += 10;
    const w = g.initializer(`w${seed}`, randomTensor([to, from, 3, 3], seed, Math.sqrt(2 / (9 * from))));
    const vector = (name: string, k: number, base: number): Ref =>
      g.initializer(
        `${name}${seed}`,
        floats((randomTensor([to], seed + k, 0.2).data as Float32Array).map((v) => Math.abs(base + v))),
      );
    const y = g.conv(x, w, "", { pads: [1, 1, 1, 1] });
    return g.emit("BatchNormalization", [
      y,
      vector("s", 1, 1),
      vector("b", 2, 0),
      vector("m", 3, 0),
      vector("v", 4, 1),
    ]);
  };
  let x: Ref = g.relu(block(g.input("x", ["N", ...DIMS]), 3, 8));
  for (let k = 0; k < 2; k++) x = g.relu(g.add(block(g.relu(block(x, 8, 8)), 8, 8), x));
  g.output(block(x, 8, 4), { elemType: "float32", dims: ["N", 4, 8, 8] });
  return g.graph;
}

const split: Split = {
  count: 192,
  labelled: false,
  async batch(indices) {
    const parts = Array.from(indices, (i) => randomTensor(DIMS, 1000 + i).data as Float32Array);
    const data = new Float32Array(parts.length * sizeOf(DIMS));
    parts.forEach((p, i) => {
      data.set(p, i * p.length);
    });
    return { data, dims: [parts.length, ...DIMS] };
  },
};

async function distance(a: Graph, b: Graph): Promise<number> {
  const x = randomTensor([32, ...DIMS], 5);
  const [p, q] = await Promise.all(
    [a, b].map(async (g) => {
      const session = await openSession(g, { threads: 1 });
      try {
        return toFloat32((await session.run({ x }))[g.outputs[0].name]);
      } finally {
        await session.dispose();
      }
    }),
  );
  return p.reduce((sum, v, i) => sum + (v - q[i]) ** 2, 0) / p.length;
}

test("an INT8 net of few bits learns the original's outputs and inner sums back, node for node the same", async () => {
  const teacher = residualNet();
  const prepared = prepareForQuantization(teacher);
  const x = randomTensor([64, ...DIMS], 9);
  const ranges = await calibrate(
    prepared,
    (async function* () {
      yield { data: x.data as Float32Array, dims: x.dims };
    })(),
    { method: { kind: "minmax" } },
  );
  const placed = placePrepared(prepared, ranges);
  const qdq = coarse(placed);
  const before = await distance(teacher, qdq);
  const tuned = await finetuneQuantized(qdq, {
    prepared,
    teacher,
    data: split,
    epochs: 6,
    seed: 1,
    learningRate: 0.002,
  });
  checkGraph(tuned);
  expect(tuned.nodes).toEqual(placed.nodes);
  expect(await distance(teacher, tuned)).toBeLessThan(0.6 * before);
  const steps = placed.nodes.find((n) => n.opType === "QuantizeLinear")!.inputs[1];
  expect(toNumbers(tuned.initializers.get(steps)!)).not.toEqual(toNumbers(qdq.initializers.get(steps)!));
});
