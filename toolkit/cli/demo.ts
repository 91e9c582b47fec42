/** `edgefit demo`: the whole job on what the package carries, and nothing else. */
import type { Argv } from "yargs";
import { checkOutputFolder } from "../report/index.js";
import type { Command, FlagsOf } from "./command.js";
import { fitAndWrite } from "./fit.js";
import { budgetFlags, deviceFlags, deviceOptions, examples, given, optionalNumber, seedFlag } from "./flags.js";

const declare = (y: Argv) =>
  examples(
    seedFlag(deviceFlags(budgetFlags(y, "50%"))).option("limit", {
      type: "string",
      requiresArg: true,
      group: "Fit:",
      describe: "at most this many test images (all)",
    }),
    ["demo", "measure this machine, then halve the latency of the eye-state model"],
    ["demo --budget 40% --threads 2 --out out2", "another budget, on two threads"],
  );

/** Enough for statistics and calibration; training the sample takes ten times as many. */
const TRAIN_EYES = 2000;

export const demo: Command<FlagsOf<typeof declare>> = {
  command: "demo",
  describe: "Fit the driver-monitoring sample that comes with edgefit",
  builder: declare,
  async run(flags, context) {
    const { terminal, signal } = context;
    const numbers = given({
      ...deviceOptions(flags),
      limit: optionalNumber("--limit", flags.limit, 1),
      seed: optionalNumber("--seed", flags.seed, 0),
    });
    await checkOutputFolder(flags.out);
    const { openEyeStateDataset } = await import("../../samples/driver-monitoring/dataset.js");
    const { eyeStateModelPath } = await import("../../samples/driver-monitoring/assets.js");
    terminal.note(`Is this driver's eye open? Cutting a 32x32 classifier to ${flags.budget} on this machine.`);
    const data = await openEyeStateDataset({ train: TRAIN_EYES });
    await data.prepare({ onProgress: terminal.progress, signal });
    const model = eyeStateModelPath();
    await fitAndWrite({ model, data, budget: String(flags.budget), ...numbers }, flags.out, context);
  },
};
