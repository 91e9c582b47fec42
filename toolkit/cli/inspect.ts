/** `edgefit inspect`: what a model holds, and which of its channels can be pruned. */
import type { Argv } from "yargs";
import type { Command, FlagsOf } from "./command.js";
import { dimFlags, dimValues, examples, given, modelArgument } from "./flags.js";
import { inspectionSummary } from "./summarizeModel.js";

const declare = (y: Argv) =>
  examples(
    dimFlags(modelArgument(y)).option("ops", {
      type: "boolean",
      group: "Inspect:",
      describe: "list every operator call with its shape and cost",
    }),
    ["inspect model.onnx", "what it costs, which channels can go and which cannot"],
    ["inspect model.onnx --ops --dim batch=1", "every operator call, with a batch of one"],
    ["inspect model.onnx --json", "the same for programs, always with every operator call"],
  );

export const inspect: Command<FlagsOf<typeof declare>> = {
  command: "inspect <model>",
  describe: "Show operators, shapes, costs, and what can be pruned",
  builder: declare,
  async run({ model, dim, ops }, { terminal }) {
    const { inspect: run } = await import("../inspect.js");
    const found = await run(given({ model, dims: dimValues(dim) }));
    terminal.result((colors) => inspectionSummary(model, found, { ops: ops === true }, colors), found);
  },
};
