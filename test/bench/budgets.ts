/**
 * Budgets kept: fits ResNets to shares of their own latency and prints what the final interleaved run measured.
 *
 *   npx tsx test/bench/budgets.ts [--models resnet20-cifar10,resnet56-cifar10] [--budgets 80%,60%,40%] [--int8 auto,off] [--seed 1]
 *
 * Latency tables are cached as in normal use. Accuracy is that of all test images, without fine-tuning.
 */
import { parseArgs } from "node:util";
import { openLocalRunner } from "../../runners/index.js";
import { fit as fitModel } from "../../toolkit/fit.js";
import { BudgetError } from "../../toolkit/graph/errors.js";
import { cifar, head, header, percent, row } from "./header.js";

const { values: flags } = parseArgs({
  options: {
    models: { type: "string", default: "resnet20-cifar10,resnet56-cifar10" },
    budgets: { type: "string", default: "80%,60%,40%" },
    int8: { type: "string", default: "auto,off" },
    seed: { type: "string", default: "1" },
  },
});
const seed = Number(flags.seed);
const runner = await openLocalRunner({ threads: 1 });
try {
  console.log(header(await runner.describe(), `seed ${seed}, no fine-tuning`));
  console.log(
    head(
      "model",
      "budget",
      "int8",
      "original p50 ms",
      "budget ms",
      "fitted p50 ms",
      "kept",
      "chosen",
      "MACs left %",
      "original top-1 %",
      "fitted top-1 %",
      "predicted off by %",
      "seconds",
    ),
  );
  for (const name of flags.models.split(",")) {
    for (const budget of flags.budgets.split(",")) {
      for (const int8 of flags.int8.split(",") as ("auto" | "off")[]) await one(name, budget, int8);
    }
  }
} finally {
  await runner.close();
}

async function one(name: string, budget: string, int8: "auto" | "off"): Promise<void> {
  const { data, preprocess } = cifar;
  try {
    const { report: r } = await fitModel({
      model: cifar.model(name),
      device: runner,
      budget,
      int8,
      data,
      preprocess,
      seed,
    });
    const chosen = r.candidates.find((c) => c.chosen);
    console.log(
      row(
        name,
        budget,
        int8,
        r.original.latencyMs.p50.toFixed(4),
        r.budget.ms.toFixed(4),
        r.fitted.latencyMs.p50.toFixed(4),
        r.fitted.latencyMs.p50 <= r.budget.ms ? "yes" : "NO",
        chosen?.name ?? "-",
        ((100 * r.fitted.macs) / r.original.macs).toFixed(0),
        percent(r.original.accuracy?.top1),
        percent(r.fitted.accuracy?.top1),
        r.prediction.errorPct!.toFixed(1),
        Object.values(r.seconds)
          .reduce((a, b) => a + b, 0)
          .toFixed(0),
      ),
    );
  } catch (e) {
    if (!(e instanceof BudgetError)) throw e;
    console.log(row(name, budget, int8, "-", "-", e.fastestMs.toFixed(4), "impossible", "-", "-", "-", "-", "-", "-"));
  }
}
