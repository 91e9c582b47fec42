import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkGraph } from "../../toolkit/graph/check.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { toFloat32 } from "../../toolkit/graph/tensor.js";
import {
  adamW,
  combineLosses,
  constantSchedule,
  cosineSchedule,
  crossEntropy,
  distillation,
  parameterGradients,
  sgd,
  Trainer,
  type TrainOptions,
  train,
} from "../../toolkit/train/index.js";
import { accuracy, type NetOptions, SIDE, stripeNet, stripes } from "./nets.js";

const data = stripes(512, 3);
const held = stripes(512, 4);

const options = (graph: Graph, o: Partial<TrainOptions> = {}): TrainOptions => ({
  graph,
  data,
  loss: crossEntropy(),
  epochs: 4,
  batchSize: 32,
  optimizer: sgd({ weightDecay: 1e-4 }),
  schedule: cosineSchedule({ learningRate: 0.05, warmup: 0.1 }),
  seed: 1,
  threads: 1,
  ...o,
});

const initializer = (g: Graph, name: string): number[] => Array.from(toFloat32(g.initializers.get(name)!));

describe("training", () => {
  it.each<[string, NetOptions, Partial<TrainOptions>]>([
    ["with BatchNormalization", {}, {}],
    ["with BatchNormalization folded away", { batchNorm: false }, {}],
    ["of depthwise separable convolutions", { separable: true }, {}],
    ["that ends in Softmax", { softmax: true }, {}],
    ["by AdamW", {}, { optimizer: adamW(), schedule: constantSchedule(0.01) }],
    ["by Nesterov's momentum with clipped gradients", {}, { optimizer: sgd({ nesterov: true }), clipGradientNorm: 1 }],
    [
      "with smoothed labels and augmentation",
      {},
      { loss: crossEntropy({ labelSmoothing: 0.1 }), augment: { flip: true, cropPadding: 1 } },
    ],
  ])("teaches a net %s to tell stripes apart", async (_, net, o) => {
    const start = stripeNet(net);
    const { graph, history } = await train(options(start, o));
    checkGraph(graph);
    expect(history).toHaveLength(4);
    expect(history[3].loss).toBeLessThan(history[0].loss);
    expect(await accuracy(graph, held)).toBeGreaterThan(0.95);
    expect(await accuracy(start, held)).toBeLessThan(0.9); // the given net is left alone
  });

  it("learns from a teacher without labels", async () => {
    const { graph: teacher } = await train(options(stripeNet()));
    const unlabelled = {
      ...data,
      batch: async (i: ArrayLike<number>) => ({ ...(await data.batch(i)), labels: undefined }),
    };
    for (const softmax of [false, true]) {
      const student = stripeNet({ seed: 9, separable: true, softmax });
      const { graph } = await train(
        options(student, {
          data: unlabelled,
          loss: distillation({ teacher, threads: 1 }),
          schedule: constantSchedule(0.02),
        }),
      );
      expect(await accuracy(graph, held)).toBeGreaterThan(0.95);
    }
  });

  it("sums weighted losses", async () => {
    const teacher = stripeNet({ seed: 5 });
    const loss = combineLosses([
      { loss: crossEntropy(), weight: 1 },
      { loss: distillation({ teacher, threads: 1 }), weight: 0.05 },
    ]);
    const { graph } = await train(options(stripeNet(), { loss }));
    expect(await accuracy(graph, held)).toBeGreaterThan(0.9);
  });

  it("steps along the same gradient after many steps as in a fresh session", async () => {
    const trainer = await Trainer.open({
      graph: stripeNet({ seed: 9, separable: true }),
      batchDims: [32, 1, SIDE, SIDE],
      loss: crossEntropy(),
      optimizer: sgd({ momentum: 0 }),
      threads: 1,
    });
    try {
      for (let step = 0; step < 30; step++) {
        const batch = await data.batch(Array.from({ length: 32 }, (_, i) => (step * 32 + i) % data.count));
        const fresh =
          step % 10 === 9
            ? await parameterGradients(trainer.graph(), [batch], crossEntropy(), { batchNorm: "batch", threads: 1 })
            : undefined;
        const before = trainer.state.vectors.parameters;
        await trainer.step(batch, 0.05);
        const after = trainer.state.vectors.parameters;
        for (const e of fresh ? trainer.parameters.entries : []) {
          const largest = fresh!.get(e.name)!.reduce((a, b) => Math.max(a, Math.abs(b)), 0.01);
          fresh!.get(e.name)!.forEach((v, i) => {
            const taken = (before[e.offset + i] - after[e.offset + i]) / 0.05;
            expect(Math.abs(taken - v), `step ${step}, ${e.name}`).toBeLessThan(1e-3 * largest);
          });
        }
      }
    } finally {
      await trainer.dispose();
    }
  });

  it("moves running statistics towards those of the data", async () => {
    const { graph } = await train(options(stripeNet(), { epochs: 2 }));
    expect(initializer(graph, "first.bn.variance").some((v) => Math.abs(v - 1) > 0.1)).toBe(true);
  });

  it("leaves running statistics alone when asked to", async () => {
    const { graph } = await train(options(stripeNet(), { epochs: 1, batchNorm: "running" }));
    expect(initializer(graph, "first.bn.variance")).toEqual(new Array(8).fill(1));
    expect(initializer(graph, "first.bn.scale")).not.toEqual(new Array(8).fill(1));
  });

  it("leaves frozen parameters alone", async () => {
    const start = stripeNet();
    const { graph } = await train(options(start, { epochs: 1, freeze: (name) => name.startsWith("first") }));
    expect(initializer(graph, "first.weight")).toEqual(initializer(start, "first.weight"));
    expect(initializer(graph, "second.weight")).not.toEqual(initializer(start, "second.weight"));
  });

  it("gives the same weights for the same seed, others for another", async () => {
    const runs = [];
    for (const seed of [1, 1, 2])
      runs.push(await train(options(stripeNet(), { epochs: 1, seed, augment: { cropPadding: 1 } })));
    const [a, b, c] = runs.map((r) => initializer(r.graph, "second.weight"));
    expect(a).toEqual(b);
    expect(a).not.toEqual(c);
  });

  it("drops a last partial batch, and takes a smaller batch where there is no full one", async () => {
    const steps: number[] = [];
    const count = (e: { total: number }) => steps.push(e.total);
    await train(options(stripeNet(), { epochs: 1, batchSize: 100, onProgress: count }));
    expect(steps).toEqual(new Array(5).fill(5));
    const few = stripes(10, 1);
    const { history } = await train(options(stripeNet(), { epochs: 1, data: few, batchSize: 64 }));
    expect(history).toHaveLength(1);
  });

  it("stops between two steps when aborted", async () => {
    const controller = new AbortController();
    let steps = 0;
    const run = train(
      options(stripeNet(), {
        signal: controller.signal,
        onProgress: () => {
          if (++steps === 3) controller.abort();
        },
      }),
    );
    await expect(run).rejects.toMatchObject({ name: "AbortError" });
    expect(steps).toBe(3);
  });

  it("names the step and the first bad value when the loss is no number", async () => {
    const broken = stripes(64, 5);
    const loud = {
      ...broken,
      async batch(i: ArrayLike<number>) {
        const b = await broken.batch(i);
        return { ...b, data: b.data.map(() => Number.NaN) };
      },
    };
    const run = train(options(stripeNet({ batchNorm: false }), { data: loud }));
    await expect(run).rejects.toMatchObject({
      code: "loss-not-finite",
      message: expect.stringMatching(/step 0.*input "image"/),
    });
  });
});

describe("checkpoints", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "edgefit-train-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it("go on where they stopped, to the same weights", async () => {
    const checkpoint = join(folder, "run.onnx");
    const whole = await train(options(stripeNet()));
    const controller = new AbortController();
    const broken = train(
      options(stripeNet(), {
        checkpoint,
        signal: controller.signal,
        onProgress: (e) => {
          if (e.done === 40) controller.abort();
        },
      }),
    );
    await expect(broken).rejects.toMatchObject({ name: "AbortError" });
    const resumed = await train(options(stripeNet(), { checkpoint, resume: true }));
    expect(resumed.history.map((h) => h.loss)).toEqual(whole.history.map((h) => h.loss));
    expect(initializer(resumed.graph, "second.weight")).toEqual(initializer(whole.graph, "second.weight"));
    expect(await readdir(folder)).toEqual(["run.onnx"]);
  });

  it("of another net are refused", async () => {
    const checkpoint = join(folder, "other.onnx");
    await train(options(stripeNet(), { epochs: 1, checkpoint }));
    const run = train(options(stripeNet({ separable: true }), { checkpoint, resume: true }));
    await expect(run).rejects.toMatchObject({ code: "checkpoint-mismatch" });
  });
});
