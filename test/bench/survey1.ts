/**
 * Accuracy against the channels that are left, for pruning by L1 norm in rounds: a fifth of every layer goes, the net is retrained, and
 * again. The test images are read after every round, for the picture only; nothing is chosen by them.
 *
 *   npx tsx test/bench/survey1.ts [--model net.onnx] [--data cifar10:PATH] [--rounds 7] [--epochs 8] [--lr 0.1] [--schedules cyclic,fine-tune]
 *                                 [--images N] [--limit N] [--seed 1] [--threads 2] --out FOLDER
 *
 * Epochs are per round. ResNet-20 on all of CIFAR-10 (the default): 50,000 images take some 5 minutes an epoch on two cores at full width
 * and fewer as the net narrows; 7 rounds of 8 epochs for one schedule are about three hours. Runs go on from where they were stopped.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openLocalRunner } from "../../runners/index.js";
import { methodContext, ready } from "../../toolkit/methods/context.js";
import { fullWidths } from "../../toolkit/methods/cost.js";
import { uncut } from "../../toolkit/methods/cut.js";
import { firstOf } from "../../toolkit/methods/holdOut.js";
import { pruneRound } from "../../toolkit/methods/l1Iterative.js";
import { accuracyOn } from "../../toolkit/methods/training.js";
import { costsOf } from "../../toolkit/ops/costs.js";
import { type ScatterPoint, scatter } from "../../toolkit/report/scatter.js";
import { STYLE } from "../../toolkit/report/style.js";
import { openSubject } from "../../toolkit/subject.js";
import { augmentOf } from "../../toolkit/trainOptions.js";
import { wholeCifar10 } from "./cifar10.js";
import { cifar, head, header, percent, row } from "./header.js";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: cifar.model("resnet20-cifar10") },
    data: { type: "string" },
    rounds: { type: "string", default: "7" },
    epochs: { type: "string", default: "8" },
    lr: { type: "string", default: "0.1" },
    schedules: { type: "string", default: "cyclic,fine-tune" },
    images: { type: "string" },
    limit: { type: "string" },
    seed: { type: "string", default: "1" },
    threads: { type: "string", default: "2" },
    out: { type: "string" },
  },
});
if (!values.out) throw new Error("--out names the folder to write to");
const { out, model } = values;
const [rounds, epochs, seed, threads] = [values.rounds, values.epochs, values.seed, values.threads].map(Number);

const subject = await openSubject({ model, data: values.data ?? wholeCifar10(), preprocess: cifar.preprocess });
const data = subject.data!;
const train = firstOf(data.train, Number(values.images ?? data.train.count));
const test = firstOf(data.test, Number(values.limit ?? data.test.count));
const graph = await ready(subject.graph, train);
const probe = await train.batch([0]);

const runner = await openLocalRunner({ threads });
console.log(
  header(
    await runner.describe(),
    `${epochs} epochs of ${train.count} images a round, largest rate ${values.lr}, batches of 128, SGD with Nesterov's momentum 0.9, flips and shifts, seed ${seed}; ${test.count} test images`,
  ),
);
await runner.close();
console.log(head("schedule", "round", "channels left %", "MACs left %", "top-1 %"));
const before = await accuracyOn(graph, test, { threads });
const macs = costsOf(graph).macs;
const points: ScatterPoint[] = [{ name: "original", x: 100, y: 100 * before, reference: true }];
for (const schedule of values.schedules.split(",")) {
  const folder = join(out, `survey1-${schedule}`);
  mkdirSync(folder, { recursive: true });
  const steps = Math.floor((epochs * train.count) / 128);
  const c = methodContext({
    graph,
    train,
    holdOut: test,
    steps: rounds * steps,
    seed,
    folder,
    recipe: {
      learningRate: Number(values.lr),
      threads,
      augment: augmentOf({ model: graph, data }, probe.dims, subject.preprocessing?.values),
    },
    onProgress: (e) => e.done % 100 === 0 && console.error(`${e.stage} ${e.done}/${e.total} ${e.note ?? ""}`),
  });
  console.log(row(schedule, 0, "100.0", "100.0", percent(before)));
  const full = fullWidths(c.groups);
  let net = uncut(c);
  for (let round = 1; round <= rounds; round++) {
    const widths = new Map([...full].map(([id, w]) => [id, Math.max(1, Math.round(w * 0.8 ** round))]));
    net = await pruneRound(c, net, widths, { steps, phase: "search", schedule, round });
    const accuracy = await accuracyOn(net.graph, test, { threads });
    const left = (100 * [...net.widths.values()].reduce((a, b) => a + b)) / [...full.values()].reduce((a, b) => a + b);
    console.log(
      row(schedule, round, left.toFixed(1), ((100 * costsOf(net.graph).macs) / macs).toFixed(1), percent(accuracy)),
    );
    points.push({ name: schedule, x: left, y: 100 * accuracy, strong: schedule === "cyclic" });
  }
}
const label = `Accuracy against remaining channels, ${subject.file}, L1 norm in rounds of 20 %`;
const drawing = scatter(points, { label, xName: "channels left, %", yName: "top-1, %" });
writeFileSync(
  join(out, "survey1.html"),
  `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${label}</title><style>${STYLE}</style></head><body><main><section><h1>${label}</h1>${drawing}</section></main></body></html>\n`,
);
