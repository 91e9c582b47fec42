/** `edgefit worker`: this machine works for a queue until it is stopped. */
import type { Argv } from "yargs";
import type { Command, FlagsOf } from "./command.js";
import { commonOptions, examples, given, optionalNumber, queueAddress } from "./flags.js";

const group = "Worker:";

const declare = (y: Argv) =>
  examples(
    y
      .option("queue", {
        type: "string",
        requiresArg: true,
        group,
        describe: "redis://HOST:PORT, or rediss:// for TLS (EDGEFIT_QUEUE)",
      })
      .option("concurrency", {
        type: "string",
        requiresArg: true,
        group,
        describe: "trainings and evaluations at a time, 0 for none (1; with --device 0)",
      })
      .option("device", {
        type: "string",
        requiresArg: true,
        group,
        describe: "a device of this machine that is lent: local, wasm, browser, local:threads=2",
      })
      .option("threads", { type: "string", requiresArg: true, group, describe: "threads of the runtime there (1)" })
      .option("name", { type: "string", requiresArg: true, group, describe: "name of the device on the queue" })
      .option("class", {
        type: "string",
        requiresArg: true,
        group,
        describe: "devices of one class stand for each other (the device's own name)",
      })
      .option("blobs", {
        type: "string",
        requiresArg: true,
        group,
        describe: "folder that all machines see, for models and data (default: the hub's server)",
      }),
    ["worker --queue redis://build:6379 --concurrency 2", "train and evaluate for others, two at a time"],
    [
      "worker --queue redis://build:6379 --device local --class bench --name bench-3",
      "lend this machine's processor for measurements; run nothing else on it",
    ],
  );

export const worker: Command<FlagsOf<typeof declare>> = {
  command: "worker",
  describe: "Work for a queue: measure, train, evaluate",
  builder: declare,
  async run(flags, context) {
    const { terminal, signal } = context;
    const { openWorker } = await import("../fleet/worker.js");
    const counts = { done: 0, failed: 0 };
    let gone: Error | undefined;
    const stopped = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    let lost!: () => void;
    const left = new Promise<void>((resolve) => {
      lost = resolve;
    });
    const concurrency = optionalNumber("--concurrency", flags.concurrency, 0) ?? (flags.device === undefined ? 1 : 0);
    const running = await openWorker({
      queue: queueAddress(flags.queue),
      concurrency,
      ...given({
        blobs: flags.blobs,
        device: flags.device,
        threads: optionalNumber("--threads", flags.threads, 1),
        name: flags.name,
        class: flags.class,
      }),
      ...commonOptions(context),
      onJob: ({ ok, what }) => {
        counts[ok ? "done" : "failed"]++;
        terminal.note(`${what} ${ok ? "done" : "failed"}: ${counts.done} done, ${counts.failed} failed`);
      },
      onGone: (reason) => {
        gone = reason;
        if (concurrency === 0) lost();
        else terminal.warn(`${reason.message}; trainings and evaluations go on`);
      },
    });
    const { device } = running;
    const what = [
      ...(device ? [`device ${device.id} of class ${device.class}`] : []),
      ...(concurrency > 0
        ? [`${concurrency} training${concurrency > 1 ? "s" : ""} or evaluation${concurrency > 1 ? "s" : ""} at a time`]
        : []),
    ];
    terminal.note(`working for the queue: ${what.join(" and ")}; Ctrl-C to stop`);
    await Promise.race([stopped, left]);
    await running.close();
    if (gone && !signal.aborted) throw gone;
    signal.throwIfAborted();
  },
};
