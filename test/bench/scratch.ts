/**
 * A net of the zoo trained from nothing on all 50,000 training images of CIFAR-10, evaluated once on the 10,000 test images.
 *
 *   npx tsx test/bench/scratch.ts [--net resnet20|mobilenetv2] [--epochs 15] [--lr 0.08] [--batch 64] [--seed 1] [--threads 2] --out net.onnx [--resume]
 *
 * About an hour on two cores. A checkpoint lies beside the model after every epoch; --resume goes on from it, bit for bit.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { openLocalRunner } from "../../runners/index.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { train } from "../../toolkit/trainModel.js";
import { mobileNetV2, resnetCifar } from "../../toolkit/zoo/index.js";
import { wholeCifar10 } from "./cifar10.js";
import { cifar, head, header, percent, row } from "./header.js";

const { values } = parseArgs({
  options: {
    net: { type: "string", default: "resnet20" },
    epochs: { type: "string", default: "15" },
    lr: { type: "string", default: "0.08" },
    batch: { type: "string", default: "64" },
    seed: { type: "string", default: "1" },
    threads: { type: "string", default: "2" },
    out: { type: "string" },
    resume: { type: "boolean", default: false },
  },
});
if (!values.out) throw new Error("--out names the model to write");
const seed = Number(values.seed);

const nets: Record<string, () => Graph> = {
  resnet20: () => resnetCifar({ layers: 20, seed }),
  // The paper's blocks, fewer of them; the second stage halves the image already, and the head is narrow: about an hour.
  mobilenetv2: () =>
    mobileNetV2({
      stem: "cifar",
      headChannels: 320,
      seed,
      stages: [
        { expand: 1, channels: 16, blocks: 1, stride: 1 },
        { expand: 6, channels: 24, blocks: 2, stride: 2 },
        { expand: 6, channels: 32, blocks: 3, stride: 2 },
        { expand: 6, channels: 64, blocks: 3, stride: 2 },
        { expand: 6, channels: 96, blocks: 2, stride: 1 },
      ],
    }),
};
const build = nets[values.net];
if (!build) throw new Error(`--net must be one of ${Object.keys(nets).join(", ")}`);

const { report, model } = await train({
  model: build(),
  data: wholeCifar10(),
  preprocess: cifar.preprocess,
  epochs: Number(values.epochs),
  learningRate: Number(values.lr),
  batchSize: Number(values.batch),
  warmup: 0.15,
  heldOut: 0,
  seed,
  threads: Number(values.threads),
  checkpoint: values.out.replace(/(\.onnx)?$/, ".checkpoint.onnx"),
  resume: values.resume,
  onEpoch: (e) => console.error(`epoch ${e.epoch}: loss ${e.loss.toFixed(4)}, ${e.seconds.toFixed(0)} s`),
  onProgress: (p) => {
    if (p.done % 100 === 0) console.error(`${p.stage} ${p.done}/${p.total} ${p.note ?? ""}`);
  },
});
writeFileSync(values.out, model);

const runner = await openLocalRunner({ threads: Number(values.threads) });
console.log(
  header(
    await runner.describe(),
    `batch of a step ${values.batch}, SGD with Nesterov's momentum 0.9, weight decay 5e-4, cosine from ${values.lr} after a warm-up, flips and shifts, seed ${seed}`,
  ),
);
await runner.close();
console.log(head("net", "epochs", "images", "test top-1 %", "minutes"));
console.log(
  row(values.net, values.epochs, report.data.images, percent(report.accuracy.after), (report.seconds / 60).toFixed(0)),
);
