/** `edgefit sample`: the samples as products, in a page or without one. */
import type { Argv } from "yargs";
import { UsageError } from "../graph/errors.js";
import type { Command, Context, FlagsOf } from "./command.js";
import { examples, given, optionalNumber, optionalReal } from "./flags.js";

const group = "Sample:";

const declare = (y: Argv) =>
  examples(
    y
      .positional("name", { choices: ["driver-monitoring"] as const, demandOption: true, describe: "which sample" })
      .option("source", {
        type: "string",
        requiresArg: true,
        group,
        describe: "pictures without a page: camera, a video file, a folder of images or an image",
      })
      .option("output", {
        choices: ["jsonl"] as const,
        group,
        describe: "with --source: one line of JSON for each picture (jsonl)",
      })
      .option("models", {
        type: "string",
        requiresArg: true,
        group,
        describe: "folder with other models: YuNet or UltraFace, and OpenSeeFace landmarks",
      })
      .option("engine", {
        choices: ["native", "wasm"] as const,
        group: "Device:",
        describe: "with --source: build of ONNX Runtime (native)",
      })
      .option("threads", {
        type: "string",
        requiresArg: true,
        group: "Device:",
        describe: "threads of the runtime (1)",
      })
      .option("fps", { type: "string", requiresArg: true, group, describe: "pictures per second of the source (30)" })
      .option("limit", { type: "string", requiresArg: true, group, describe: "at most this many pictures (all)" }),
    [
      "sample driver-monitoring --source drive.mp4 --models models/",
      "a video through other models, one line of JSON per picture",
    ],
    ["sample driver-monitoring --source frames/ --fps 15 --models models/", "a folder of images, 15 a second"],
  );

type Flags = FlagsOf<typeof declare>;

export const sample: Command<Flags> = {
  command: "sample <name>",
  describe: "Run a sample: driver monitoring",
  builder: declare,
  async run(flags, context) {
    if (flags.source === undefined)
      throw new UsageError("missing-flag", "say where the pictures come from", { where: "--source" });
    await headless({ ...flags, source: flags.source }, context);
  },
};

async function headless(flags: Flags & { source: string }, { terminal, signal }: Context): Promise<void> {
  const { openSource } = await import("../../samples/driver-monitoring/headless/source.js");
  const { openStackFolder } = await import("../../samples/driver-monitoring/headless/stackFolder.js");
  const { runHeadless, toJsonLine } = await import("../../samples/driver-monitoring/headless/run.js");
  const { netsOver } = await import("../../samples/driver-monitoring/pipeline/net.js");
  const { openLocalRunner } = await import("../../runners/index.js");
  const limit = optionalNumber("--limit", flags.limit, 1);
  const rate = optionalReal("--fps", flags.fps);
  if (rate !== undefined && !(rate > 0))
    throw new UsageError("flag-value", "expected a number above 0", { where: `--fps ${flags.fps}` });
  const threads = optionalNumber("--threads", flags.threads, 1);
  const source = await openSource(flags.source, given({ rate, signal }));
  if (flags.models === undefined)
    throw new UsageError("missing-flag", "say which models to use", { where: "--models" });
  const device = await openLocalRunner(
    given({ engine: flags.engine, threads, log: terminal.log, onNote: terminal.warn }),
  );
  try {
    const stack = await openStackFolder(flags.models, netsOver(device));
    terminal.note(`${stack.locator.name} and ${stack.reader.name}; nothing leaves this machine.`);
    const count = await runHeadless(
      given({ source, stack, limit, signal, onRecord: (r) => terminal.line(toJsonLine(r)) }),
    );
    terminal.note(`${count} pictures.`);
  } finally {
    await device.close();
  }
}
