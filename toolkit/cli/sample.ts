/** `edgefit sample`: the samples as products, in a page or without one. */
import { spawn } from "node:child_process";
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
        describe: "with --source: threads of the runtime (1)",
      })
      .option("fps", { type: "string", requiresArg: true, group, describe: "pictures per second of the source (30)" })
      .option("limit", { type: "string", requiresArg: true, group, describe: "at most this many pictures (all)" })
      .option("port", { type: "string", requiresArg: true, group, describe: "of the page on this machine (any)" })
      .option("open", { type: "boolean", default: true, group, describe: "open the page in the browser" }),
    ["sample driver-monitoring", "the camera in a page on this machine"],
    ["sample driver-monitoring --source frames/ --fps 15", "a folder of images, 15 a second, as lines of JSON"],
    ["sample driver-monitoring --source drive.mp4 --models models/", "a video through other models"],
  );

type Flags = FlagsOf<typeof declare>;

export const sample: Command<Flags> = {
  command: "sample <name>",
  describe: "Run a sample: driver monitoring",
  builder: declare,
  async run(flags, context) {
    if (flags.source === undefined) await page(flags, context);
    else await headless({ ...flags, source: flags.source }, context);
  },
};

async function stackOf(models: string | undefined) {
  const { findStack, ownStack } = await import("../../samples/driver-monitoring/headless/stackFolder.js");
  return models === undefined ? ownStack() : findStack(models);
}

async function headless(flags: Flags & { source: string }, { terminal, signal }: Context): Promise<void> {
  const { openSource } = await import("../../samples/driver-monitoring/headless/source.js");
  const { openStack } = await import("../../samples/driver-monitoring/headless/stackFolder.js");
  const { runHeadless, toJsonLine } = await import("../../samples/driver-monitoring/headless/run.js");
  const { netsOver } = await import("../../samples/driver-monitoring/pipeline/net.js");
  const { openLocalRunner } = await import("../../runners/index.js");
  const limit = optionalNumber("--limit", flags.limit, 1);
  const rate = optionalReal("--fps", flags.fps);
  if (rate !== undefined && !(rate > 0))
    throw new UsageError("flag-value", "expected a number above 0", { where: `--fps ${flags.fps}` });
  const threads = optionalNumber("--threads", flags.threads, 1);
  const source = await openSource(flags.source, given({ rate, signal }));
  const choice = await stackOf(flags.models);
  const device = await openLocalRunner(
    given({ engine: flags.engine, threads, log: terminal.log, onNote: terminal.warn }),
  );
  try {
    const stack = await openStack(choice, netsOver(device));
    terminal.note(`${stack.locator.name} and ${stack.reader.name}; nothing leaves this machine.`);
    const count = await runHeadless(
      given({ source, stack, limit, signal, onRecord: (r) => terminal.line(toJsonLine(r)) }),
    );
    terminal.note(`${count} pictures.`);
  } finally {
    await device.close();
  }
}

async function page(flags: Flags, { terminal, signal }: Context): Promise<void> {
  for (const name of ["output", "engine", "threads", "fps", "limit"] as const) {
    if (flags[name] !== undefined)
      throw new UsageError("flag-without-source", "this flag needs --source", { where: `--${name}` });
  }
  const port = optionalNumber("--port", flags.port, 1);
  const { buildSite } = await import("../../samples/driver-monitoring/page/site.js");
  const { servePage } = await import("../../samples/driver-monitoring/page/server.js");
  const server = await servePage(await buildSite(await stackOf(flags.models)), port);
  try {
    terminal.result((colors) => `${colors.bold(server.url)}\nThe camera stays on this machine. Ctrl-C ends it.`, {
      url: server.url,
    });
    if (flags.open) openInBrowser(server.url);
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener("abort", () => resolve(), { once: true });
    });
  } finally {
    await server.close();
  }
}

/** Asks the system for its browser. Where there is none, the address on the terminal is enough. */
function openInBrowser(url: string): void {
  const commands: Partial<Record<NodeJS.Platform, [string, string[]]>> = {
    darwin: ["open", [url]],
    win32: ["cmd", ["/c", "start", "", url]],
  };
  const [program, args] = commands[process.platform] ?? ["xdg-open", [url]];
  spawn(program, args, { stdio: "ignore", detached: true })
    .on("error", () => {})
    .unref();
}
