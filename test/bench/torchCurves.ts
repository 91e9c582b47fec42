/**
 * Loss curves of 50 steps against PyTorch, from the same weights, batches and optimiser.
 *
 *   npx tsx test/bench/torchCurves.ts --python /path/to/python [--steps 50] [--batch 32]
 *
 * The Python needs torch, onnx and numpy from PyPI. A net without kinks (SiLU) must follow PyTorch's curve; where a ReLU's input
 * lies within rounding of zero, either calculation may take the other side, and the curves part (docs/training-notes.md). How far
 * PyTorch's own float32 and float64 part is shown beside it.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { loadDataset } from "../../toolkit/data/index.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { writeModel } from "../../toolkit/onnx/index.js";
import { adamW, crossEntropy, type Optimizer, rmsprop, sgd, Trainer } from "../../toolkit/train/index.js";
import { efficientNet, mobileNetV2, resnetCifar } from "../../toolkit/zoo/index.js";
import { cifar, head, row } from "./header.js";

const { values } = parseArgs({
  options: { python: { type: "string" }, steps: { type: "string" }, batch: { type: "string" } },
});
const steps = Number(values.steps ?? 50);
const size = Number(values.batch ?? 32);
const python = values.python ?? "python3";

const nets: Record<string, Graph> = {
  "EfficientNet style, SiLU": efficientNet({
    stem: "cifar",
    widthMultiplier: 0.5,
    headChannels: 128,
    seed: 7,
    stages: [
      { expand: 1, kernel: 3, channels: 16, blocks: 1, stride: 2 },
      { expand: 4, kernel: 3, channels: 32, blocks: 2, stride: 2 },
      { expand: 4, kernel: 5, channels: 64, blocks: 2, stride: 2 },
    ],
  }),
  "ResNet-8, ReLU": resnetCifar({ layers: 8, widthMultiplier: 0.5, seed: 7 }),
  "MobileNetV2 style, ReLU6": mobileNetV2({
    stem: "cifar",
    widthMultiplier: 0.5,
    headChannels: 64,
    seed: 7,
    stages: [
      { expand: 1, channels: 16, blocks: 1, stride: 2 },
      { expand: 4, channels: 32, blocks: 2, stride: 2 },
    ],
  }),
};
const optimizers: Record<string, { make: () => Optimizer; learningRate: number }> = {
  sgd: { make: () => sgd({ nesterov: true, weightDecay: 5e-4 }), learningRate: 0.02 },
  adamw: { make: () => adamW({ weightDecay: 0.05 }), learningRate: 0.001 },
  rmsprop: { make: () => rmsprop({ momentum: 0.9, weightDecay: 1e-4 }), learningRate: 1e-4 },
};
const runs = [
  ...Object.keys(optimizers).map((optimizer) => ({ net: "EfficientNet style, SiLU", optimizer })),
  { net: "ResNet-8, ReLU", optimizer: "sgd" },
  { net: "MobileNetV2 style, ReLU6", optimizer: "sgd" },
];

const preprocessing = {
  size: { height: 32, width: 32 },
  rescaleFactor: 1 / 255,
  imageMean: cifar.preprocess.flags.mean,
  imageStd: cifar.preprocess.flags.std,
  channelOrder: "rgb",
  layout: "nchw",
  resample: "bilinear",
  fit: "stretch",
} as const;
const { train } = await loadDataset(cifar.data, preprocessing);
const batches = [];
for (let s = 0; s < steps; s++) batches.push(await train.batch(Array.from({ length: size }, (_, i) => s * size + i)));

const folder = mkdtempSync(join(tmpdir(), "edgefit-curves-"));
try {
  const file = (net: string): string => `${Object.keys(nets).indexOf(net)}.onnx`;
  for (const [name, g] of Object.entries(nets)) writeFileSync(join(folder, file(name)), writeModel(g));
  writeFileSync(join(folder, "images.f32"), Buffer.concat(batches.map((b) => new Uint8Array(b.data.buffer))));
  writeFileSync(join(folder, "labels.i32"), Buffer.concat(batches.map((b) => new Uint8Array(b.labels!.buffer))));
  const jobs = runs.flatMap((r) =>
    [false, true].map((double) => ({
      net: file(r.net),
      optimizer: r.optimizer,
      learningRate: optimizers[r.optimizer].learningRate,
      double,
    })),
  );
  writeFileSync(join(folder, "job.json"), JSON.stringify({ steps, dims: batches[0].dims, runs: jobs }));
  const child = spawnSync(python, [join(import.meta.dirname, "torchCurves.py"), folder], { stdio: "inherit" });
  if (child.status !== 0) throw new Error(`${python} ended with status ${child.status}`);
  const theirs = JSON.parse(readFileSync(join(folder, "losses.json"), "utf8")) as { torch: string; curves: number[][] };

  console.log(
    `PyTorch ${theirs.torch}, ${steps} steps of ${size} CIFAR-10 images, ${new Date().toISOString().slice(0, 10)}\n`,
  );
  console.log(
    head(
      "net",
      "optimiser",
      "first loss",
      "last loss",
      "edgefit from PyTorch",
      "PyTorch's float32 from float64",
      "<= 1e-3",
    ),
  );
  for (const [k, run] of runs.entries()) {
    const { make, learningRate } = optimizers[run.optimizer];
    const trainer = await Trainer.open({
      graph: nets[run.net],
      batchDims: batches[0].dims,
      loss: crossEntropy(),
      optimizer: make(),
      threads: 1,
    });
    const own: number[] = [];
    for (const batch of batches) own.push(await trainer.step(batch, learningRate));
    await trainer.dispose();
    const [single, double] = [theirs.curves[2 * k], theirs.curves[2 * k + 1]];
    const apart = (a: number[], b: number[]): number => Math.max(...a.map((v, i) => Math.abs(v - b[i])));
    const distance = apart(own, single);
    const last = own[own.length - 1];
    const verdict = distance <= 1e-3 ? "yes" : "no";
    console.log(
      row(
        run.net,
        run.optimizer,
        own[0].toFixed(4),
        last.toFixed(4),
        distance.toExponential(1),
        apart(single, double).toExponential(1),
        verdict,
      ),
    );
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
