/** The run around the steps: interruptions, averages, accumulation, early stopping, numbers that are none. */
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Split } from "../../toolkit/data/dataset.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { toFloat32 } from "../../toolkit/graph/tensor.js";
import {
  adamW,
  constantSchedule,
  cosineSchedule,
  crossEntropy,
  sgd,
  Trainer,
  type TrainOptions,
  train,
} from "../../toolkit/train/index.js";
import { SIDE, stripeNet, stripes } from "./nets.js";

const data = stripes(160, 3);
const options = (o: Partial<TrainOptions> = {}): TrainOptions => ({
  graph: stripeNet({ separable: true }),
  data,
  loss: crossEntropy(),
  epochs: 3,
  batchSize: 32,
  optimizer: adamW(),
  schedule: cosineSchedule({ learningRate: 0.01, warmup: 0.1 }),
  augment: { flip: true, cropPadding: 1, mixup: 0.4 },
  seed: 1,
  threads: 1,
  ownThread: false,
  ...o,
});
const constants = (g: Graph): number[][] => [...g.initializers.values()].map((t) => Array.from(toFloat32(t)));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "edgefit-loop-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** Runs until `stopAt` steps are done, then goes on in a second run. */
async function interrupted(o: TrainOptions, stopAt: number, name: string): Promise<Awaited<ReturnType<typeof train>>> {
  const checkpoint = join(folder, `${name}.onnx`);
  const controller = new AbortController();
  const first = train({
    ...o,
    checkpoint,
    signal: controller.signal,
    onProgress: (e) => {
      if (e.done === stopAt) controller.abort();
    },
  });
  await expect(first).rejects.toMatchObject({ name: "AbortError" });
  return train({ ...o, checkpoint, resume: true });
}

describe("a run that is interrupted and resumed", () => {
  it.each<[string, number, Partial<TrainOptions>]>([
    ["inside an epoch", 7, {}],
    ["at the end of an epoch", 10, {}],
    ["with averaged weights", 8, { averageDecay: 0.9 }],
    ["with accumulated gradients", 3, { batchSize: 16, accumulate: 2, optimizer: sgd({ nesterov: true }) }],
    ["inside the part of an epoch that a limit leaves", 12, { limitSteps: 13 }],
    ["before early stopping ends it", 9, { earlyStopping: { patience: 1 }, schedule: constantSchedule(0) }],
  ])("%s is the same, to the last bit, as one that is not", async (name, stopAt, o) => {
    const whole = await train(options(o));
    const resumed = await interrupted(options(o), stopAt, name.replaceAll(" ", "-"));
    expect(constants(resumed.graph)).toEqual(constants(whole.graph));
    const losses = (r: typeof whole) => r.history.map((h) => h.loss);
    expect(losses(resumed)).toEqual(losses(whole));
    expect(resumed.bestEpoch).toBe(whole.bestEpoch);
  });

  it("in the middle of a step is saved as it was before that step", async () => {
    const checkpoint = join(folder, "middle.onnx");
    const controller = new AbortController();
    let asked = 0;
    // One item to learn the shape, then batches; the seventh is asked for while an earlier step runs in its thread.
    const hooked: Split = {
      ...data,
      batch: (indices) => {
        if (++asked === 8) controller.abort();
        return data.batch(indices);
      },
    };
    const own = options({ ownThread: true });
    const first = train({ ...own, data: hooked, checkpoint, signal: controller.signal });
    await expect(first).rejects.toMatchObject({ name: "AbortError" });
    const resumed = await train({ ...own, checkpoint, resume: true });
    expect(constants(resumed.graph)).toEqual(constants((await train(own)).graph));
  });

  it("leaves nothing but its checkpoint", async () => {
    expect((await readdir(folder)).filter((f) => !f.endsWith(".onnx"))).toEqual([]);
  });

  it.each<[string, Partial<TrainOptions>]>([
    ["seed", { seed: 2 }],
    ["batch size", { batchSize: 16 }],
    ["optimizer", { optimizer: sgd() }],
    ["augmentation", { augment: {} }],
    ["learning rates", { schedule: constantSchedule(0.01) }],
  ])("is refused with another %s", async (name, o) => {
    const checkpoint = join(folder, "recipe.onnx");
    await train(options({ epochs: 3, checkpoint }));
    const run = train(options({ checkpoint, resume: true, ...o }));
    await expect(run).rejects.toMatchObject({ code: "checkpoint-mismatch", message: expect.stringContaining(name) });
  });
});

describe("a run", () => {
  it("ends after a limit of steps, which schedules see as the whole", async () => {
    const seen: [number, number][] = [];
    const schedule = (step: number, total: number): number => {
      seen.push([step, total]);
      return 0.01;
    };
    const { history } = await train(options({ limitSteps: 7, schedule }));
    const steps = seen.slice(-7);
    expect(steps).toEqual(Array.from({ length: 7 }, (_, i) => [i, 7]));
    expect(history.map((h) => h.epoch)).toEqual([1, 2]);
    const none = await train(options({ limitSteps: 0 }));
    expect(none.history).toEqual([]);
  });

  it("gives the same net whether its steps have a thread of their own or not", async () => {
    const [own, shared] = [await train(options({ ownThread: true })), await train(options())];
    expect(constants(own.graph)).toEqual(constants(shared.graph));
    for (const h of own.history) {
      expect(h.waited).toBeGreaterThanOrEqual(0);
      expect(h.waited).toBeLessThanOrEqual(1);
    }
  });

  it("tells how long it will take", async () => {
    const notes: string[] = [];
    await train(options({ epochs: 1, onProgress: (e) => notes.push(e.note ?? "") }));
    expect(notes).toHaveLength(5);
    expect(notes[0]).toMatch(/^epoch 1 of 1, loss \d+\.\d{4}, \d+ s left$/);
  });

  it("stops when it has not improved for some epochs and gives the best net", async () => {
    const figures = [0.5, 0.7, 0.6, 0.65, 0.9, 1];
    const seen: number[][][] = [];
    const { graph, history, bestEpoch } = await train(
      options({
        epochs: 6,
        earlyStopping: { patience: 2 },
        evaluate: async (g) => {
          seen.push(constants(g));
          return figures[seen.length - 1];
        },
      }),
    );
    expect(history.map((h) => h.metric)).toEqual([0.5, 0.7, 0.6, 0.65]);
    expect(bestEpoch).toBe(2);
    expect(constants(graph)).toEqual(seen[1]);
  });
});

const batchOf = (from: number, to: number, split: Split = data) =>
  split.batch(Array.from({ length: to - from }, (_, i) => from + i));

async function withTrainer<T>(o: Partial<TrainOptions>, size: number, use: (t: Trainer) => Promise<T>): Promise<T> {
  const trainer = await Trainer.open({ ...options(o), batchDims: [size, 1, SIDE, SIDE] });
  try {
    return await use(trainer);
  } finally {
    await trainer.dispose();
  }
}

describe("a trainer", () => {
  it("takes the same step from two half batches as from the whole", async () => {
    const o = { graph: stripeNet({ batchNorm: false }), optimizer: sgd({ weightDecay: 0.01 }), clipGradientNorm: 0.5 };
    const whole = await withTrainer(o, 32, async (t) => [await t.step(await batchOf(0, 32), 0.1), t.state] as const);
    const halves = await withTrainer({ ...o, accumulate: 2 }, 16, async (t) => {
      const loss = await t.step([await batchOf(0, 16), await batchOf(16, 32)], 0.1);
      return [loss, t.state] as const;
    });
    expect(halves[0]).toBeCloseTo(whole[0], 5);
    whole[1].vectors.parameters.forEach((v, i) => {
      expect(halves[1].vectors.parameters[i]).toBeCloseTo(v, 5);
    });
  });

  it("follows the statistics of every accumulated batch", async () => {
    const half = { graph: stripeNet(), schedule: constantSchedule(0) };
    const two = await withTrainer({ ...half, accumulate: 2, averageDecay: 0.5 }, 16, async (t) => {
      await t.step([await batchOf(0, 16), await batchOf(16, 32)], 0);
      return t.state.vectors;
    });
    const one = await withTrainer(half, 16, async (t) => {
      for (const from of [0, 16]) await t.step(await batchOf(from, from + 16), 0);
      return t.state.vectors;
    });
    expect(Array.from(two.statistics)).toEqual(Array.from(one.statistics));
    expect(two.average_statistics).toHaveLength(two.statistics.length);
  });

  it("averages weights and statistics over the steps", async () => {
    await withTrainer({ averageDecay: 0.3, augment: {} }, 32, async (t) => {
      const mean = { ...t.state.vectors };
      const pairs = [
        ["parameters", "average"],
        ["statistics", "average_statistics"],
      ] as const;
      for (let step = 0; step < 4; step++) {
        await t.step(await batchOf(32 * step, 32 * step + 32), 0.01);
        const stays = Math.min(0.3, (1 + step) / (10 + step));
        for (const [of, name] of pairs) {
          mean[name] = mean[name].map((v, i) => stays * v + (1 - stays) * t.state.vectors[of][i]);
          mean[name].forEach((v, i) => {
            expect(t.state.vectors[name][i]).toBeCloseTo(v, 5);
          });
        }
      }
      const [entry] = t.parameters.entries;
      const first = t.state.vectors.average.subarray(0, entry.length);
      expect(toFloat32(t.graph().initializers.get(entry.name)!)).toEqual(first);
    });
  });

  it("leaves the weights named by noDecay without decay", async () => {
    const decayed = await withTrainer({ noDecay: (name) => name === "first.weight" }, 16, async (t) =>
      t.parameters.entries.filter((e) => e.decay).map((e) => e.name),
    );
    expect(decayed).toEqual(["depthwise.weight", "pointwise.weight", "dense.weight"]);
  });

  it("stays where it was when a step explodes, and names what broke first", async () => {
    await withTrainer({ graph: stripeNet({ batchNorm: false }), optimizer: sgd() }, 32, async (t) => {
      const batch = await batchOf(0, 32);
      await t.step(batch, 1e18);
      const before = t.state;
      await expect(t.step(batch, 1e18)).rejects.toMatchObject({
        code: "loss-not-finite",
        message: expect.stringMatching(/^training step 1: the loss is (NaN|Infinity).*first value.*is "/),
      });
      expect(t.state).toBe(before);
    });
  });

  it("notices a gradient that is no number behind a finite loss", async () => {
    const graph = stripeNet({ batchNorm: false });
    const loss = {
      name: "root",
      build: (c: Parameters<ReturnType<typeof crossEntropy>["build"]>[0]) => {
        // The root of a square has no slope at 0, where this net's scaled-down outputs all are.
        const zero = c.g.mul(c.outputs[0].ref, c.g.const(0));
        return { value: c.g.reduceSum(c.g.sqrt(zero), [0, 1], false), feeds: async () => ({}) };
      },
    };
    await withTrainer({ graph, loss }, 32, async (t) => {
      await expect(t.step(await batchOf(0, 32), 0.1)).rejects.toMatchObject({
        code: "loss-not-finite",
        message: expect.stringContaining(
          'a new weight is not finite; the first value that is not finite is the gradient of "dense.',
        ),
      });
    });
  });
});
