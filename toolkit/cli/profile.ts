/** `edgefit profile`: measure the latency table of a device for a model. */
import type { Argv } from "yargs";
import { EdgefitError } from "../graph/errors.js";
import { pendingFile } from "../onnx/atomic.js";
import type { Command, FlagsOf } from "./command.js";
import { commonOptions, examples, given } from "./flags.js";
import { measuringFlags, measuringOptions } from "./measuring.js";
import { profileSummary } from "./summarizeModel.js";

const group = "Profile:";

const declare = (y: Argv) =>
  examples(
    measuringFlags(y)
      .option("int8", { choices: ["on", "off"] as const, group, describe: "measure INT8 beside fp32 (on)" })
      .option("trace", {
        type: "string",
        requiresArg: true,
        group,
        describe: "file for ten calls node by node, for chrome://tracing or Perfetto",
      })
      .option("refresh", { type: "boolean", group, describe: "measure again although a table is cached" }),
    ["profile model.onnx", "measure once; later runs, and fit, read the table"],
    ["profile model.onnx --threads 2 --int8 off", "on two threads, floats only"],
    ["profile model.onnx --trace calls.json", "calls node by node, to look at in chrome://tracing or ui.perfetto.dev"],
    ["profile model.onnx --json > table.json", "the table and every kernel's cost"],
  );

export const profile: Command<FlagsOf<typeof declare>> = {
  command: "profile <model>",
  describe: "Measure what each kernel costs on a device, once",
  builder: declare,
  async run(flags, context) {
    const { model, int8, refresh, trace: file } = flags;
    const { profile: run } = await import("../profileDevice.js");
    const found = await run({
      ...given({ model, int8, refresh }),
      trace: file !== undefined,
      ...measuringOptions(flags),
      ...commonOptions(context),
    });
    const { trace, ...rest } = found;
    if (file !== undefined) await writeTrace(file, trace ?? []);
    context.terminal.result((colors) => profileSummary(model, found, colors), { ...rest, trace: file ?? null });
  },
};

async function writeTrace(path: string, events: readonly object[]): Promise<void> {
  try {
    const pending = await pendingFile(path, async (f) => {
      // One event a line, as ONNX Runtime writes them.
      await f.writeFile(`[\n${events.map((e) => JSON.stringify(e)).join(",\n")}\n]\n`);
    });
    await pending.commit(path);
  } catch (cause) {
    throw new EdgefitError("trace-unwritable", `the trace cannot be written: ${(cause as Error).message}`, {
      where: path,
      cause,
    });
  }
}
