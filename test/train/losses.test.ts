import { describe, expect, it } from "vitest";
import type { Batch } from "../../toolkit/data/dataset.js";
import { emptyGraph, GraphBuilder } from "../../toolkit/graph/builder.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { floats } from "../../toolkit/graph/tensor.js";
import {
  binaryCrossEntropy,
  combineLosses,
  crossEntropy,
  customLoss,
  huber,
  type Loss,
  meanAbsoluteError,
  meanSquaredError,
  parameterGradients,
} from "../../toolkit/train/index.js";
import { gaussian } from "../support/random.js";

const N = 5;
const IN = 3;
const OUT = 4;
const normal = gaussian(11);
const drawn = (n: number): Float32Array => Float32Array.from({ length: n }, normal);
const x = drawn(N * IN);
const w = drawn(IN * OUT);
const labels = Int32Array.of(0, 3, 1, 1, 2);
const targets = drawn(N * OUT);
const yes = Float32Array.from({ length: N * OUT }, (_, i) => ((i * 7) % 3 === 0 ? 1 : 0.25 * (i % 3)));

/** x W, in one or several outputs, with an optional last activation. */
function net(last?: "Softmax" | "Sigmoid", outputs = ["y"]): Graph {
  const g = new GraphBuilder(emptyGraph("net"));
  const image = g.input("x", ["N", IN]);
  const y = g.matmul(image, g.initializer("w", floats(w, [IN, OUT])));
  for (const name of outputs) {
    g.output(last ? g.emit(last, [y], {}, { out: name }) : g.identity(y, { out: name }), {
      elemType: "float32",
      dims: ["N", OUT],
    });
  }
  return g.graph;
}

/** The same net with its output by way of an Identity, as converters leave it. */
function renamed(g: Graph): Graph {
  const [value] = g.outputs;
  const b = new GraphBuilder({ ...g, nodes: [...g.nodes], outputs: [] });
  b.output(b.identity(value.name, { out: "renamed" }), value.type);
  return b.graph;
}

/** x W in float64. */
function scores(weights: Float64Array): number[][] {
  return Array.from({ length: N }, (_, n) =>
    Array.from({ length: OUT }, (_, o) =>
      Array.from({ length: IN }, (_, i) => x[n * IN + i] * weights[i * OUT + o]).reduce((a, b) => a + b),
    ),
  );
}

const mean = (v: number[]): number => v.reduce((a, b) => a + b) / v.length;
const logSoftmax = (row: number[]): number[] => {
  const total = Math.log(row.map(Math.exp).reduce((a, b) => a + b));
  return row.map((v) => v - total);
};
/** Cross-entropy with a distribution per item. */
const entropy = (y: number[][], share: (n: number, o: number) => number): number =>
  mean(y.map((row, n) => -logSoftmax(row).reduce((sum, v, o) => sum + v * share(n, o), 0)));
const sigmoid = (v: number): number => 1 / (1 + Math.exp(-v));
const binary = (y: number[][], t: (n: number, o: number) => number): number =>
  mean(
    y.flatMap((row, n) =>
      row.map((v, o) => -t(n, o) * Math.log(sigmoid(v)) - (1 - t(n, o)) * Math.log(1 - sigmoid(v))),
    ),
  );
const differences = (y: number[][]): number[] => y.flatMap((row, n) => row.map((v, o) => v - targets[n * OUT + o]));
const oneHot = (n: number, o: number): number => (labels[n] === o ? 1 : 0);

const shares = Float32Array.of(0.9, 0.4, 0.7, 1, 0.55);
const others = Int32Array.of(1, 1, 2, 0, 3);

const cases: [string, Graph, Loss, Partial<Batch>, (y: number[][]) => number][] = [
  ["cross-entropy", net(), crossEntropy(), { labels }, (y) => entropy(y, oneHot)],
  ["cross-entropy of probabilities", net("Softmax"), crossEntropy(), { labels }, (y) => entropy(y, oneHot)],
  [
    "cross-entropy of probabilities under another name",
    renamed(net("Softmax")),
    crossEntropy(),
    { labels },
    (y) => entropy(y, oneHot),
  ],
  [
    "cross-entropy with smoothed labels",
    net(),
    crossEntropy({ labelSmoothing: 0.2 }),
    { labels },
    (y) => entropy(y, (n, o) => 0.8 * oneHot(n, o) + 0.05),
  ],
  [
    "cross-entropy of blended items",
    net(),
    crossEntropy(),
    { labels, mixed: { shares, labels: others } },
    (y) => entropy(y, (n, o) => shares[n] * oneHot(n, o) + (1 - shares[n]) * (others[n] === o ? 1 : 0)),
  ],
  [
    "cross-entropy with labels of the caller's",
    net(),
    crossEntropy({ labels: () => [3, 2, 1, 0, 1] }),
    {},
    (y) => entropy(y, (n, o) => ([3, 2, 1, 0, 1][n] === o ? 1 : 0)),
  ],
  [
    "binary cross-entropy",
    net(),
    binaryCrossEntropy(),
    { targets: { y: yes } },
    (y) => binary(y, (n, o) => yes[n * OUT + o]),
  ],
  [
    "binary cross-entropy of probabilities",
    net("Sigmoid"),
    binaryCrossEntropy({ labelSmoothing: 0.1 }),
    { labels },
    (y) => binary(y, (n, o) => 0.9 * oneHot(n, o) + 0.05),
  ],
  [
    "mean squared error",
    net(),
    meanSquaredError(),
    { targets: { y: targets } },
    (y) => mean(differences(y).map((d) => d * d)),
  ],
  [
    "mean absolute error",
    net(),
    meanAbsoluteError(),
    { targets: { y: targets } },
    (y) => mean(differences(y).map(Math.abs)),
  ],
  [
    "Huber's loss",
    net(),
    huber({ delta: 0.7 }),
    { targets: { y: targets } },
    (y) => mean(differences(y).map((d) => (Math.abs(d) <= 0.7 ? d * d * 0.5 : 0.7 * (Math.abs(d) - 0.35)))),
  ],
  [
    "two weighted heads",
    net(undefined, ["kind", "place"]),
    combineLosses([
      { loss: crossEntropy({ output: "kind" }), weight: 0.5 },
      { loss: meanSquaredError({ output: "place" }), weight: 2 },
    ]),
    { labels, targets: { place: targets } },
    (y) => 0.5 * entropy(y, oneHot) + 2 * mean(differences(y).map((d) => d * d)),
  ],
  [
    "a loss of one's own",
    net(),
    customLoss(({ g, outputs: [{ ref, dims }], fed }) => {
      const wanted = fed("wanted", dims, (b) => b.targets!.y);
      const margin = g.relu(g.sub(g.const(1), g.mul(ref, wanted)));
      return g.reduceMean(margin, [0, 1]);
    }),
    { targets: { y: targets } },
    (y) => mean(y.flatMap((row, n) => row.map((v, o) => Math.max(0, 1 - v * targets[n * OUT + o])))),
  ],
];

describe("losses", () => {
  it.each(cases)("%s has the value and the gradient of its formula", async (_, g, loss, extra, formula) => {
    let value = Number.NaN;
    const batch: Batch = { data: x, dims: [N, IN], ...extra };
    const gradients = await parameterGradients(g, [batch], loss, {
      threads: 1,
      onBatch: (e) => {
        value = e.loss;
      },
    });
    const weights = Float64Array.from(w);
    expect(value).toBeCloseTo(formula(scores(weights)), 5);
    gradients.get("w")!.forEach((v, i) => {
      const at = (h: number): number => formula(scores(weights.with(i, weights[i] + h)));
      expect(v).toBeCloseTo((at(1e-5) - at(-1e-5)) / 2e-5, 4);
    });
    expect(Math.hypot(...gradients.get("w")!)).toBeGreaterThan(0.01);
  });

  it("takes labels 0 and 1 for a single logit", async () => {
    const g = new GraphBuilder(emptyGraph("net"));
    const y = g.matmul(g.input("x", ["N", IN]), g.initializer("w", floats(w.subarray(0, IN), [IN, 1])));
    g.output(g.identity(y, { out: "y" }), { elemType: "float32", dims: ["N", 1] });
    let value = Number.NaN;
    const batch = { data: x, dims: [N, IN], labels: Int32Array.of(1, 0, 0, 1, 1) };
    await parameterGradients(g.graph, [batch], binaryCrossEntropy(), {
      onBatch: (e) => {
        value = e.loss;
      },
    });
    const logit = (n: number): number => [0, 1, 2].reduce((s, i) => s + x[n * IN + i] * w[i], 0);
    expect(value).toBeCloseTo(mean([...batch.labels].map((t, n) => -Math.log(sigmoid(t ? logit(n) : -logit(n))))), 5);
  });

  it.each<[string, Loss, Graph, Partial<Batch>, string]>([
    ["labels are missing", crossEntropy(), net(), {}, "no-labels"],
    ["a label is none of the classes", crossEntropy(), net(), { labels: Int32Array.of(0, 1, 2, 3, 4) }, "label-range"],
    ["targets are missing", meanSquaredError(), net(), {}, "targets-shape"],
    ["the output is not named", meanSquaredError(), net(undefined, ["a", "b"]), {}, "loss-output"],
    ["there is no such output", huber({ output: "z" }), net(), {}, "loss-output"],
    [
      "a fed value has the wrong length",
      customLoss((c) => {
        const weights = c.fed("weights", [OUT], () => [1]);
        return c.g.reduceSum(c.g.mul(c.outputs[0].ref, weights), [0, 1]);
      }),
      net(),
      {},
      "loss-feed",
    ],
  ])("says so where %s", async (_, loss, g, extra, code) => {
    const run = parameterGradients(g, [{ data: x, dims: [N, IN], ...extra }], loss);
    await expect(run).rejects.toMatchObject({ code });
  });
});
