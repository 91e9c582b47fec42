/**
 * A quarter of the latency: a ResNet cut, fine-tuned and in INT8, against the original in float, measured interleaved in the final run.
 *
 *   npx tsx test/bench/fourfold.ts [--model resnet56-cifar10] [--budgets 25%] [--finetune 2] [--qat 1] [--seed 1] [--out folder]
 *
 * Accuracy is that of all 10,000 test images. Fine-tuning sees training images without labels.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openLocalRunner } from "../../runners/index.js";
import { fit as fitModel } from "../../toolkit/fit.js";
import { BudgetError } from "../../toolkit/graph/errors.js";
import { cifar, head, header, percent, row } from "./header.js";

const { values: flags } = parseArgs({
  options: {
    model: { type: "string", default: "resnet56-cifar10" },
    budgets: { type: "string", default: "25%" },
    finetune: { type: "string", default: "2" },
    qat: { type: "string", default: "1" },
    seed: { type: "string", default: "1" },
    out: { type: "string" },
    progress: { type: "boolean", default: false },
  },
});
const runner = await openLocalRunner({ threads: 1 });
try {
  console.log(
    header(
      await runner.describe(),
      `seed ${flags.seed}, ${flags.finetune} epochs of fine-tuning in float, ${flags.qat} in INT8`,
    ),
  );
  console.log(
    head(
      "model",
      "budget",
      "original p50 ms",
      "fitted p50 ms",
      "speed-up (interval)",
      "MACs left %",
      "original top-1 %",
      "fitted top-1 %",
      "drop, points",
      "seconds",
    ),
  );
  let stage = "";
  for (const budget of flags.budgets.split(",")) {
    try {
      const { report: r, model } = await fitModel({
        model: cifar.model(flags.model),
        device: runner,
        budget,
        int8: "on",
        finetune: Number(flags.finetune),
        qat: Number(flags.qat),
        data: cifar.data,
        preprocess: cifar.preprocess,
        seed: Number(flags.seed),
        onWarning: (text) => console.error(`! ${text}`),
        onProgress: (e) => {
          if (!flags.progress || e.stage === stage) return;
          stage = e.stage;
          console.error(`${new Date().toISOString().slice(11, 19)} ${stage}`);
        },
      });
      if (flags.out) {
        await mkdir(flags.out, { recursive: true });
        await writeFile(join(flags.out, `${flags.model}-${budget.replace("%", "pct")}.onnx`), model);
        await writeFile(
          join(flags.out, `${flags.model}-${budget.replace("%", "pct")}.json`),
          JSON.stringify(r, null, 1),
        );
      }
      const [before, after] = [r.original.accuracy?.top1, r.fitted.accuracy?.top1];
      const [low, high] = r.speedup.interval;
      console.log(
        row(
          flags.model,
          budget,
          r.original.latencyMs.p50.toFixed(4),
          r.fitted.latencyMs.p50.toFixed(4),
          `${r.speedup.ratio.toFixed(2)}x (${low.toFixed(2)} to ${high.toFixed(2)})`,
          ((100 * r.fitted.macs) / r.original.macs).toFixed(0),
          percent(before),
          percent(after),
          before === undefined || after === undefined ? "-" : (100 * (before - after)).toFixed(2),
          Object.values(r.seconds)
            .reduce((a, b) => a + b, 0)
            .toFixed(0),
        ),
      );
    } catch (e) {
      if (!(e instanceof BudgetError)) throw e;
      console.log(row(flags.model, budget, "-", e.fastestMs.toFixed(4), "impossible", "-", "-", "-", "-", "-"));
    }
  }
} finally {
  await runner.close();
}
