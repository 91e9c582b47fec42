/**
 * Pruning methods at the same measured latency and in the same number of training steps, and Torch-Pruning (PyPI) beside them.
 *
 *   npx tsx test/bench/arena.ts [--model net.onnx] [--data cifar10:PATH] [--budget 50%] [--epochs 20] [--cost latency|macs] [--device local|wasm]
 *                               [--methods all] [--python PATH] [--images N] [--limit N] [--lr 0.05] [--distill] [--seed 1] [--threads 2] --out FOLDER
 *
 * The Python needs torch, torch-pruning, onnx and numpy. Torch-Pruning's group magnitude and Taylor pruners rank globally; of cut nets at
 * 24 ratios the widest that measures within the budget is trained in PyTorch, as many steps on the same images with the same recipe. Threads are
 * those of training; the device runs one.
 *
 * A run with --epochs 20 on all of CIFAR-10 for ResNet-20 is about 20 x 350 steps of 0.5 s for each of some 27 methods: an hour each on
 * two cores, a day and a half in all. Finished methods are kept in FOLDER/runs; the same command goes on with the others.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { compare } from "../../toolkit/compare.js";
import { type CompareOptions, type Setup, setUp } from "../../toolkit/compareSetup.js";
import { methods } from "../../toolkit/methods/index.js";
import { accuracyOn } from "../../toolkit/methods/training.js";
import { openDevice } from "../../toolkit/onDevice.js";
import { readModelFile, writeModelFile } from "../../toolkit/onnx/index.js";
import { costsOf } from "../../toolkit/ops/costs.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { renderComparisonHtml } from "../../toolkit/report/index.js";
import { openSubject } from "../../toolkit/subject.js";
import { wholeCifar10 } from "./cifar10.js";
import { cifar, head, header, percent, row } from "./header.js";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: cifar.model("resnet20-cifar10") },
    data: { type: "string" },
    budget: { type: "string", default: "50%" },
    cost: { type: "string", default: "latency" },
    device: { type: "string", default: "local" },
    epochs: { type: "string", default: "20" },
    methods: { type: "string", default: "all" },
    python: { type: "string" },
    images: { type: "string" },
    limit: { type: "string" },
    lr: { type: "string", default: "0.05" },
    distill: { type: "boolean", default: false },
    seed: { type: "string", default: "1" },
    threads: { type: "string", default: "2" },
    out: { type: "string" },
  },
});
if (!values.out) throw new Error("--out names the folder to write to");
const { out } = values;
mkdirSync(out, { recursive: true });
const options: CompareOptions = {
  model: values.model,
  data: values.data ?? wholeCifar10(),
  preprocess: cifar.preprocess,
  methods: values.methods === "all" ? methods.map((m) => m.name) : values.methods.split(","),
  budget: values.budget,
  cost: values.cost as "latency" | "macs",
  device: values.device,
  epochs: Number(values.epochs),
  learningRate: Number(values.lr),
  distill: values.distill,
  ...(values.images ? { images: Number(values.images) } : {}),
  ...(values.limit ? { limit: Number(values.limit) } : {}),
  seed: Number(values.seed),
  trainingThreads: Number(values.threads),
  folder: join(out, "runs"),
  onProgress: (e) => e.done % 50 === 0 && console.error(`${e.stage} ${e.done}/${e.total} ${e.note ?? ""}`),
  onWarning: (w) => console.error(`warning: ${w}`),
};
const { comparison: r } = await compare(options);
writeFileSync(join(out, "compare.json"), `${JSON.stringify(r, null, 2)}\n`);
writeFileSync(join(out, "compare.html"), renderComparisonHtml(r));

/** Ratios that are tried, from little to much. */
const RATIOS = Array.from({ length: 24 }, (_, i) => 0.04 + 0.036 * i);

const subject = await openSubject(options);
const device = await openDevice(options);
try {
  console.log(
    header(
      device.facts,
      `${r.recipe.steps} steps of ${r.recipe.batchSize} for each, largest rate ${r.recipe.learningRate}, ${r.data.train} training and ${r.data.test} test images, budget ${r.budget.text} of ${r.budget.unit}, seed ${r.recipe.seed}${r.recipe.distilled ? ", all distilled" : ""}`,
    ),
  );
  console.log(
    head(
      "method",
      "top-1 %",
      "measured ms",
      "speed",
      "MACs left %",
      "parameters left %",
      "steps used",
      "within budget",
    ),
  );
  const line = (name: string, m: typeof r.original, speed: number, steps: string, met: string): string =>
    row(
      name,
      percent(m.accuracy.top1),
      m.latencyMs.p50.toFixed(4),
      speed.toFixed(2),
      ((100 * m.macs) / r.original.macs).toFixed(0),
      ((100 * m.params) / r.original.params).toFixed(0),
      steps,
      met,
    );
  console.log(line("original", r.original, 1, "-", "-"));
  for (const m of [...r.methods].sort((a, b) => b.accuracy.top1 - a.accuracy.top1))
    console.log(line(m.method, m, m.speedup, m.steps.used.toFixed(0), m.met ? "yes" : "no"));
  for (const f of r.failed) console.log(row(f.method, f.reason, "-", "-", "-", "-", "-", "-"));
  if (values.python) {
    const s = await setUp(options, subject, device, () => {});
    for (const pruner of ["magnitude", "taylor"]) await torchPruning(s, pruner, values.python);
  }
} finally {
  await device.close();
}

async function torchPruning(s: Setup, pruner: string, python: string): Promise<void> {
  const folder = join(out, `torch-pruning-${pruner}`);
  mkdirSync(folder, { recursive: true });
  await writeModelFile(join(folder, "net.onnx"), s.graph);
  const all = await s.train.batch(Array.from({ length: s.train.count }, (_, i) => i));
  writeFileSync(join(folder, "images.f32"), new Uint8Array(all.data.buffer, all.data.byteOffset, all.data.byteLength));
  writeFileSync(join(folder, "labels.i32"), new Uint8Array(all.labels!.buffer));
  const { imageMean, imageStd } = s.subject.preprocessing!.values;
  const job = {
    net: join(folder, "net.onnx"),
    pruner,
    dims: all.dims,
    roundTo: 4,
    threads: Number(values.threads),
    seed: Number(values.seed),
  };
  const run = (extra: object): void => {
    writeFileSync(join(folder, "job.json"), JSON.stringify({ ...job, ...extra }));
    const child = spawnSync(python, [join(import.meta.dirname, "torchPruning.py"), folder], { stdio: "inherit" });
    if (child.status !== 0) throw new Error(`${python} ended with status ${child.status}`);
  };
  run({ ratios: RATIOS });
  let ratio: number | undefined;
  for (const [k, candidate] of RATIOS.entries()) {
    const net = inferShapes(await readModelFile(join(folder, `cut${k}.onnx`)));
    if ((await s.measure(net)) > s.cost.target) continue;
    ratio = candidate;
    break;
  }
  if (ratio === undefined) {
    console.log(row(`Torch-Pruning, ${pruner}`, "no ratio meets the budget", "-", "-", "-", "-", "-", "-"));
    return;
  }
  run({
    ratio,
    steps: s.steps,
    batchSize: s.recipe.batchSize,
    learningRate: s.recipe.learningRate,
    weightDecay: s.recipe.weightDecay,
    padding: s.recipe.augment?.cropPadding ?? 0,
    black: imageMean.map((m, c) => -m / imageStd[c]),
  });
  const net = inferShapes(await readModelFile(join(folder, "trained.onnx")));
  const versions = JSON.parse(readFileSync(join(folder, "versions.json"), "utf8")) as Record<string, string>;
  const cost = await s.measure(net);
  const { macs, params } = costsOf(net);
  console.log(
    row(
      `Torch-Pruning ${versions.torchPruning}, ${pruner}, ratio ${ratio.toFixed(2)} (torch ${versions.torch})`,
      percent(await accuracyOn(net, s.test, { threads: Number(values.threads) })),
      s.cost.unit === "ms" ? cost.toFixed(4) : "-",
      (s.cost.original / cost).toFixed(2),
      ((100 * macs) / r.original.macs).toFixed(0),
      ((100 * params) / r.original.params).toFixed(0),
      s.steps,
      cost <= 1.02 * s.cost.target ? "yes" : "no",
    ),
  );
}
