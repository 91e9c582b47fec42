/**
 * Wall time of the whole command, from nothing and again.
 *
 *   npm run build && npx tsx test/bench/fitTime.ts [--model resnet20-cifar10] [--budget 60%] [--int8 auto,off]
 *
 * The first run of each setting starts with an empty cache: it profiles the device, ranks the channels, fits, measures and evaluates
 * both models on all test images. The second finds table and ranking.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openLocalRunner } from "../../runners/index.js";
import { cifar, head, header, row } from "./header.js";

const { values: flags } = parseArgs({
  options: {
    model: { type: "string", default: "resnet20-cifar10" },
    budget: { type: "string", default: "60%" },
    int8: { type: "string", default: "auto,off" },
  },
});
const runner = await openLocalRunner({ threads: 1 });
console.log(header(await runner.describe(), "no fine-tuning, 10,000 test images"));
await runner.close();
console.log(head("model", "budget", "int8", "first run s", "second run s"));
for (const int8 of flags.int8.split(",")) {
  const folder = mkdtempSync(join(tmpdir(), "edgefit-time-"));
  try {
    const seconds = [1, 2].map(() => {
      const main = join(import.meta.dirname, "../../dist/toolkit/cli/main.js");
      const { mean, std } = cifar.preprocess.flags;
      const begin = performance.now();
      const run = spawnSync(
        process.execPath,
        [main, "fit", cifar.model(flags.model), "--budget", flags.budget, "--int8", int8, "--data", cifar.data].concat([
          "--mean",
          mean.join(),
          "--std",
          std.join(),
          "--out",
          join(folder, "out"),
          "--quiet",
        ]),
        { env: { ...process.env, EDGEFIT_CACHE: join(folder, "cache") }, encoding: "utf8" },
      );
      if (run.status !== 0) throw new Error(run.stderr);
      return (performance.now() - begin) / 1000;
    });
    console.log(row(flags.model, flags.budget, int8, seconds[0].toFixed(1), seconds[1].toFixed(1)));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
