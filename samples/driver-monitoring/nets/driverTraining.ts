/** Trains the locator and the reader from nothing, on scenes that are rendered for it. */
import type { Batch, Split } from "../../../toolkit/data/dataset.js";
import type { GraphBuilder, Ref } from "../../../toolkit/graph/builder.js";
import type { Graph } from "../../../toolkit/graph/graph.js";
import type { Progress } from "../../../toolkit/graph/progress.js";
import { adamW, cosineSchedule, customLoss, type EpochResult, type Loss, train } from "../../../toolkit/train/index.js";
import { CROP, LOCATOR } from "../pipeline/layout.js";
import { randomStream } from "../random.js";
import { buildLocator, buildReader } from "./driverNets.js";
import { locatorTarget, mirrored, readerTarget } from "./driverTargets.js";
import { CROPS_PER_FACE, openScenes, type Scenes } from "./scenes.js";

/** Seed of the committed models. */
export const DRIVER_SEED = 1;
/** Stream families of the scenes' parts; the eyes' data set has 0 and 1. */
export const driverFamilies = { train: 20, test: 21 } as const;

/** The recipe of the committed models. */
export const DRIVER_RECIPE = {
  scenes: 6016,
  reader: { epochs: 10, batchSize: 64, learningRate: 3e-3 },
  locator: { epochs: 8, batchSize: 64, learningRate: 3e-3 },
  weightDecay: 0.02,
  warmup: 0.05,
} as const;

/** Bytes to what the nets read, with the exposure changed by chance. */
function writeImage(bytes: Uint8Array, out: Float32Array, offset: number, gain: number, shift: number): void {
  for (let i = 0; i < bytes.length; i++)
    out[offset + i] = Math.max(-1, Math.min(1, ((bytes[i] * gain) / 255) * 2 - 1 + shift));
}

/** Turns the rows of a square picture round, in place. */
function mirrorRows(data: Float32Array, from: number, to: number, side: number): void {
  for (let row = from; row < to; row += side) data.subarray(row, row + side).reverse();
}

/** Gain and shift of an item's exposure; none for the test part. */
function exposureOf(seed: number, index: number, vary: boolean): [gain: number, shift: number] {
  if (!vary) return [1, 0];
  const random = randomStream(seed, 1040, index);
  return [random.between(0.8, 1.25), random.normal() * 0.06];
}

const join = (parts: readonly Float32Array[]): Float32Array => {
  const out = new Float32Array(parts.reduce((sum, p) => sum + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
};

/** Crops of the scenes that show a driver, and for training the same in a mirror; `targets` are `face` and `weights`. */
export function readerSplit(scenes: Scenes, seed: number, vary: boolean): Split {
  const items: { scene: number; crop: number; mirror: boolean }[] = [];
  for (let scene = 0; scene < scenes.count; scene++)
    if (scenes.item(scene).labels.box)
      for (let crop = 0; crop < CROPS_PER_FACE; crop++)
        for (const mirror of vary ? [false, true] : [false]) items.push({ scene, crop, mirror });
  const size = 3 * CROP.side ** 2;
  return {
    count: items.length,
    labelled: true,
    async batch(indices): Promise<Batch> {
      const data = new Float32Array(indices.length * size);
      const targets = Array.from(indices, (index, i) => {
        const { scene, crop, mirror } = items[index];
        writeImage(scenes.cropPixels(scene, crop), data, i * size, ...exposureOf(seed, index, vary));
        const { labels, crops } = scenes.item(scene);
        const target = readerTarget(labels, crops[crop]);
        if (!mirror) return target;
        mirrorRows(data, i * size, (i + 1) * size, CROP.side);
        return mirrored(target);
      });
      return {
        data,
        dims: [indices.length, 3, CROP.side, CROP.side],
        targets: { face: join(targets.map((t) => t.values)), weights: join(targets.map((t) => t.weights)) },
      };
    },
  };
}

/** Whole scenes; `targets` are `score`, `box` and the weights of both. */
export function locatorSplit(scenes: Scenes, seed: number, vary: boolean): Split {
  const size = 3 * LOCATOR.width * LOCATOR.height;
  return {
    count: scenes.count,
    labelled: true,
    async batch(indices): Promise<Batch> {
      const data = new Float32Array(indices.length * size);
      const targets = Array.from(indices, (index, i) => {
        writeImage(scenes.locatorPixels(index), data, i * size, ...exposureOf(seed, index, vary));
        return locatorTarget(scenes.item(index).labels);
      });
      return {
        data,
        dims: [indices.length, 3, LOCATOR.height, LOCATOR.width],
        targets: {
          score: join(targets.map((t) => t.score.values)),
          scoreWeights: join(targets.map((t) => t.score.weights)),
          box: join(targets.map((t) => t.box.values)),
          boxWeights: join(targets.map((t) => t.box.weights)),
        },
      };
    },
  };
}

/** Huber's loss of a difference, element by element. */
function huber(g: GraphBuilder, difference: Ref, delta: number): Ref {
  const size = g.emit("Abs", [difference]);
  const inner = g.emit("Min", [size, g.const(delta)]);
  return g.mul(inner, g.sub(size, g.mul(inner, g.const(0.5))));
}

/** Weighted Huber loss over all answers of the reader. */
export const readerLoss = (): Loss =>
  customLoss((c) => {
    const { g, outputs } = c;
    const [{ ref, dims }] = outputs;
    const target = c.fed("face_target", dims, (b) => b.targets!.face);
    const weights = c.fed("face_weights", dims, (b) => b.targets!.weights);
    const loss = g.mul(weights, huber(g, g.sub(ref, target), 0.1));
    return g.mul(g.reduceSum(loss, [0, 1], false), g.const(10 / dims[0]));
  }, "driver reader");

/** Binary cross entropy of the scores plus Huber's loss of the boxes, both weighted cell by cell. */
export const locatorLoss = (): Loss =>
  customLoss((c) => {
    const { g, outputs } = c;
    const [score, box] = ["score", "box"].map((name) => outputs.find((o) => o.name === name)!);
    const fed = (name: string, dims: readonly number[]) => c.fed(`${name}_fed`, dims, (b) => b.targets![name]);
    const scoreTarget = fed("score", score.dims);
    const scoreWeights = fed("scoreWeights", score.dims);
    const boxTarget = fed("box", box.dims);
    const boxWeights = fed("boxWeights", box.dims);
    const entropy = g.sub(g.emit("Softplus", [score.ref]), g.mul(score.ref, scoreTarget));
    const sum = (x: Ref): Ref => g.reduceSum(x, [0, 1, 2, 3], false);
    const total = g.add(
      g.mul(sum(g.mul(scoreWeights, entropy)), g.const(0.2)),
      g.mul(sum(g.mul(boxWeights, huber(g, g.sub(box.ref, boxTarget), 0.1))), g.const(5)),
    );
    return g.mul(total, g.const(1 / score.dims[0]));
  }, "driver locator");

export interface TrainDriverOptions {
  scenes?: number;
  readerEpochs?: number;
  locatorEpochs?: number;
  seed?: number;
  threads?: number;
  /** Files that are written after every epoch, and from which `resume` goes on. */
  checkpoint?: { locator: string; reader: string };
  resume?: boolean;
  cacheDir?: string;
  onProgress?: Progress;
  onEpoch?: (net: "locator" | "reader", result: EpochResult) => void;
  signal?: AbortSignal;
}

export interface TrainedDriverNets {
  locator: Graph;
  reader: Graph;
  /** Rendering included. */
  seconds: number;
}

/** Renders the data and trains both nets; the last epoch's weights are the result. */
export async function trainDriverNets(o: TrainDriverOptions = {}): Promise<TrainedDriverNets> {
  const started = performance.now();
  const { seed = DRIVER_SEED, threads = 2, onProgress, signal } = o;
  const recipe = DRIVER_RECIPE;
  const scenes = await openScenes({
    count: o.scenes ?? recipe.scenes,
    seed,
    family: driverFamilies.train,
    cacheDir: o.cacheDir,
    onProgress,
    signal,
  });
  const common = (net: "locator" | "reader") => ({
    ...recipe[net],
    optimizer: adamW({ weightDecay: recipe.weightDecay }),
    schedule: cosineSchedule({ learningRate: recipe[net].learningRate, warmup: recipe.warmup }),
    clipGradientNorm: 5,
    seed,
    threads,
    onProgress,
    signal,
    resume: o.resume,
    checkpoint: o.checkpoint?.[net],
    onEpoch: (r: EpochResult) => o.onEpoch?.(net, r),
  });
  const locator = await train({
    ...common("locator"),
    graph: buildLocator(seed),
    data: locatorSplit(scenes, seed, true),
    loss: locatorLoss(),
    epochs: o.locatorEpochs ?? recipe.locator.epochs,
  });
  const reader = await train({
    ...common("reader"),
    graph: buildReader(seed),
    data: readerSplit(scenes, seed, true),
    loss: readerLoss(),
    epochs: o.readerEpochs ?? recipe.reader.epochs,
  });
  return { locator: locator.graph, reader: reader.graph, seconds: (performance.now() - started) / 1000 };
}
