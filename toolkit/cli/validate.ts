/** `edgefit validate`: speed and accuracy of one or two models on a device. */
import type { Argv } from "yargs";
import type { Command, FlagsOf } from "./command.js";
import { commonOptions, examples } from "./flags.js";
import { pairFlags, pairOptions } from "./measuring.js";
import { validationSummary } from "./summarizeFigures.js";

const declare = (y: Argv) =>
  examples(
    pairFlags(y),
    [
      "validate model.onnx --data photos/ --limit 1000",
      "is the preprocessing right? The original should be as accurate as its makers say",
    ],
    ["validate model.onnx out/model.fitted.onnx --data photos/", "before and after, timed in turns"],
    ["validate model.onnx --threads 2", "latency alone"],
    [
      "validate model.onnx --paced 30fps --sustain 30min",
      "as a camera asks for it, and whether the device grows too warm",
    ],
  );

export const validate: Command<FlagsOf<typeof declare>> = {
  command: "validate <model> [other]",
  describe: "Measure speed and accuracy of one or two models",
  builder: declare,
  async run(flags, context) {
    const { validate: run } = await import("../validate.js");
    const found = await run({ ...pairOptions(flags), ...commonOptions(context) });
    context.terminal.result((colors) => validationSummary(found, colors), found);
  },
};
