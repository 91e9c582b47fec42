/** `edgefit validate`: speed and accuracy of one or two models on a device. */
import type { Argv } from "yargs";
import type { Command, FlagsOf } from "./command.js";
import {
  commonOptions,
  dataFlags,
  deviceFlags,
  deviceOptions,
  dimFlags,
  dimValues,
  examples,
  given,
  modelArgument,
  optionalNumber,
  preprocessOption,
  seedFlag,
} from "./flags.js";
import { validationSummary } from "./summarizeFigures.js";

const declare = (y: Argv) =>
  examples(
    seedFlag(dimFlags(dataFlags(deviceFlags(modelArgument(y))))).positional("other", {
      type: "string",
      describe: "a second model, timed in turns with the first and compared with it",
    }),
    [
      "validate model.onnx --data photos/ --limit 1000",
      "is the preprocessing right? The original should be as accurate as its makers say",
    ],
    ["validate model.onnx out/model.fitted.onnx --data photos/", "before and after, timed in turns"],
    ["validate model.onnx --threads 2", "latency alone"],
  );

export const validate: Command<FlagsOf<typeof declare>> = {
  command: "validate <model> [other]",
  describe: "Measure speed and accuracy of one or two models",
  builder: declare,
  async run(flags, context) {
    const { model, other, data } = flags;
    const { validate: run } = await import("../validate.js");
    const found = await run({
      models: other === undefined ? [model] : [model, other],
      ...given({
        data,
        ...deviceOptions(flags),
        limit: optionalNumber("--limit", flags.limit, 1),
        seed: optionalNumber("--seed", flags.seed, 0),
        dims: dimValues(flags.dim),
        preprocess: preprocessOption(flags),
      }),
      ...commonOptions(context),
    });
    context.terminal.result((colors) => validationSummary(found, colors), found);
  },
};
