/** `edgefit profile`: measure the latency table of a device for a model. */
import type { Argv } from "yargs";
import type { Command, FlagsOf } from "./command.js";
import { commonOptions, examples, given } from "./flags.js";
import { measuringFlags, measuringOptions } from "./measuring.js";
import { profileSummary } from "./summarizeModel.js";

const group = "Profile:";

const declare = (y: Argv) =>
  examples(
    measuringFlags(y)
      .option("int8", { choices: ["on", "off"] as const, group, describe: "measure INT8 beside fp32 (on)" })
      .option("refresh", { type: "boolean", group, describe: "measure again although a table is cached" }),
    ["profile model.onnx", "measure once; later runs, and fit, read the table"],
    ["profile model.onnx --threads 2 --int8 off", "on two threads, floats only"],
    ["profile model.onnx --json > table.json", "the table and every kernel's cost"],
  );

export const profile: Command<FlagsOf<typeof declare>> = {
  command: "profile <model>",
  describe: "Measure what each kernel costs on a device, once",
  builder: declare,
  async run(flags, context) {
    const { model, int8, refresh } = flags;
    const { profile: run } = await import("../profileDevice.js");
    const found = await run({
      ...given({ model, int8, refresh }),
      ...measuringOptions(flags),
      ...commonOptions(context),
    });
    context.terminal.result((colors) => profileSummary(model, found, colors), found);
  },
};
