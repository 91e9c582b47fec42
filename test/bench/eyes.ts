/**
 * The driver-monitoring sample: accuracy of the eye-state model on held-out renders, and of what `fit` makes of it.
 *
 *   npx tsx test/bench/eyes.ts [--budget 50%] [--int8 auto,on] [--finetune 5] [--train 8000] [--test 4000] [--fresh-seed 20001]
 *
 * Held-out renders come from the same seed as training but a disjoint stream; the fresh ones from a seed that nothing else used.
 */
import { parseArgs } from "node:util";
import { openLocalRunner } from "../../runners/index.js";
import { evaluateEyeState } from "../../samples/driver-monitoring/evaluate.js";
import { eyeStateModelPath, openEyeStateDataset } from "../../samples/driver-monitoring/index.js";
import { fit as fitModel } from "../../toolkit/fit.js";
import { BudgetError } from "../../toolkit/graph/errors.js";
import { readModel, readModelFile } from "../../toolkit/onnx/index.js";
import { head, header, percent, row } from "./header.js";

const { values: flags } = parseArgs({
  options: {
    budget: { type: "string", default: "50%" },
    int8: { type: "string", default: "auto,on" },
    finetune: { type: "string", default: "5" },
    train: { type: "string", default: "8000" },
    test: { type: "string", default: "4000" },
    "fresh-seed": { type: "string", default: "20001" },
  },
});
const test = Number(flags.test);
const data = await openEyeStateDataset({ train: Number(flags.train), test });
const fresh = await openEyeStateDataset({ train: 1, test, seed: Number(flags["fresh-seed"]) });
const runner = await openLocalRunner({ threads: 1 });
try {
  console.log(
    header(
      await runner.describe(),
      `${test} held-out renders, ${test} of seed ${flags["fresh-seed"]}, fine-tuned on ${flags.train}`,
    ),
  );
  console.log(head("net", "budget", "p50 ms", "original p50 ms", "precision", "MACs", "held-out %", "fresh seed %"));
  const original = await readModelFile(eyeStateModelPath());
  const before = await evaluateEyeState(original, data.test);
  console.log(
    row(
      "original",
      "-",
      "-",
      "-",
      "fp32",
      "-",
      percent(before.accuracy),
      percent((await evaluateEyeState(original, fresh.test)).accuracy),
    ),
  );
  const settings = (flags.int8.split(",") as ("auto" | "on" | "off")[]).flatMap((int8) =>
    [...new Set([0, Number(flags.finetune)])].map((finetune) => ({ int8, finetune })),
  );
  for (const { int8, finetune } of settings) {
    const name = `fitted, --int8 ${int8}${finetune ? ` --finetune ${finetune}` : ""}`;
    try {
      const { report, model } = await fitModel({
        model: eyeStateModelPath(),
        device: runner,
        data,
        budget: flags.budget,
        int8,
        finetune,
      });
      const chosen = report.candidates.find((c) => c.chosen);
      const net = readModel(model);
      console.log(
        row(
          name,
          flags.budget,
          report.fitted.latencyMs.p50.toFixed(4),
          report.original.latencyMs.p50.toFixed(4),
          chosen?.name ?? "-",
          report.fitted.macs,
          percent((await evaluateEyeState(net, data.test)).accuracy),
          percent((await evaluateEyeState(net, fresh.test)).accuracy),
        ),
      );
    } catch (e) {
      if (!(e instanceof BudgetError)) throw e;
      console.log(row(name, flags.budget, `impossible, fastest ${e.fastestMs.toFixed(4)}`, "-", "-", "-", "-", "-"));
    }
  }
} finally {
  await runner.close();
}
