/**
 * Four ways to spend the same training steps on ResNet-20 and CIFAR-10 at about 50 % and 25 % of the multiply-accumulates: uniform
 * scaling, MetaPruning, AutoSlim, DMCP. Counted are all forward and backward passes, the search included.
 *
 *   npx tsx test/bench/survey2.ts [--model net.onnx] [--epochs 20] [--shares 50,25] [--methods uniform,metapruning,autoslim,dmcp]
 *     [--set dmcp.search=0.5,autoslim.levels=8] [--lr 0.1] [--batch 128] [--images N] [--limit N] [--seed 1] [--threads 2]
 *     [--folder survey2] [--json results.json]
 *
 * Runs are kept under --folder: a call with the same settings goes on where the last one stopped. Every line of the log on stderr has a
 * time. --model is a trained net; test/bench/scratch.ts makes one. Default: the third-party ResNet-20.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openLocalRunner } from "../../runners/index.js";
import { compare } from "../../toolkit/compare.js";
import type { Comparison } from "../../toolkit/report/index.js";
import { wholeCifar10 } from "./cifar10.js";
import { cifar, head, header, percent, row } from "./header.js";

const { values: v } = parseArgs({
  options: {
    model: { type: "string" },
    data: { type: "string" },
    epochs: { type: "string", default: "20" },
    shares: { type: "string", default: "50,25" },
    methods: { type: "string", default: "uniform,metapruning,autoslim,dmcp" },
    set: { type: "string" },
    lr: { type: "string", default: "0.1" },
    batch: { type: "string", default: "128" },
    images: { type: "string" },
    limit: { type: "string" },
    seed: { type: "string", default: "1" },
    threads: { type: "string", default: "2" },
    folder: { type: "string", default: "survey2" },
    json: { type: "string" },
  },
});

/** `dmcp.search=0.5,autoslim.rule=error` by method. */
function settingsOf(text: string | undefined): Record<string, Record<string, string | number | boolean>> {
  const out: Record<string, Record<string, string | number | boolean>> = {};
  for (const one of text?.split(",") ?? []) {
    const [, method, name, value] = /^([^.]+)\.([^=]+)=(.*)$/.exec(one) ?? [];
    if (!method) throw new Error(`--set wants method.setting=value, got "${one}"`);
    const number = Number(value);
    out[method] ??= {};
    out[method][name] =
      value === "true" || value === "false" ? value === "true" : Number.isNaN(number) ? value : number;
  }
  return out;
}

const log = (text: string): void => console.error(`${new Date().toISOString().slice(11, 19)} ${text}`);
const model = v.model ?? cifar.model("resnet20-cifar10");
mkdirSync(v.folder, { recursive: true });
const all: Comparison[] = [];
for (const share of v.shares.split(",")) {
  let last = "";
  const { comparison, models } = await compare({
    model,
    data: v.data ?? wholeCifar10(),
    preprocess: cifar.preprocess,
    methods: v.methods.split(","),
    budget: `${share}%`,
    cost: "macs",
    epochs: Number(v.epochs),
    learningRate: Number(v.lr),
    batchSize: Number(v.batch),
    seed: Number(v.seed),
    trainingThreads: Number(v.threads),
    settings: settingsOf(v.set),
    folder: v.folder,
    ...(v.images ? { images: Number(v.images) } : {}),
    ...(v.limit ? { limit: Number(v.limit) } : {}),
    onWarning: (text) => log(`warning: ${text}`),
    onProgress: (p) => {
      const place = `${share} %: ${p.stage}, ${Math.floor((100 * p.done) / Math.max(1, p.total))} %`;
      if (place !== last) log(`${place} ${p.note ?? ""}`);
      last = place;
    },
  });
  all.push(comparison);
  for (const [name, bytes] of models) writeFileSync(join(v.folder, `${share}-${name}`), bytes);
}
if (v.json) writeFileSync(v.json, `${JSON.stringify(all, null, 2)}\n`);

const runner = await openLocalRunner({ threads: Number(v.threads) });
const { recipe, data } = all[0];
console.log(
  header(
    await runner.describe(),
    `${recipe.steps} steps of ${recipe.batchSize} images for each method, ${data.train} training and ${data.heldOut} held-out images, largest rate ${recipe.learningRate}, seed ${recipe.seed}${v.set ? `, ${v.set}` : ""}`,
  ),
);
await runner.close();
console.log(
  head(
    "MACs asked",
    "method",
    "MACs, % of the original",
    "parameters",
    `top-1 % of ${data.test}`,
    "search steps",
    "retraining steps",
    "used",
    "minutes",
  ),
);
for (const [i, c] of all.entries()) {
  console.log(row("100 %", "original", 100, c.original.params, percent(c.original.accuracy?.top1), "-", "-", "-", "-"));
  for (const m of c.methods) {
    console.log(
      row(
        `${v.shares.split(",")[i]} %`,
        m.method,
        ((100 * m.macs) / c.original.macs).toFixed(1),
        m.params,
        percent(m.accuracy?.top1),
        Math.round(m.steps.search),
        Math.round(m.steps.retrain),
        Math.round(m.steps.used),
        (m.seconds / 60).toFixed(1),
      ),
    );
  }
  for (const f of c.failed) console.log(row(`${v.shares.split(",")[i]} %`, f.method, f.reason, "", "", "", "", "", ""));
}
