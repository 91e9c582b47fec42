/** `edgefit queue`: devices, classes and work on a queue. */
import type { Argv } from "yargs";
import type { QueueStatus } from "../fleet/status.js";
import type { Colors } from "./colors.js";
import type { Command, FlagsOf } from "./command.js";
import { examples, queueAddress } from "./flags.js";
import { table } from "./tables.js";

const declare = (y: Argv) =>
  examples(
    y.option("queue", {
      type: "string",
      requiresArg: true,
      group: "Queue:",
      describe: "redis://HOST:PORT, or rediss:// for TLS (EDGEFIT_QUEUE)",
    }),
    ["queue --queue redis://build:6379", "who is there, what waits, what runs, what failed"],
    ["queue --json", "the same for programs; the address from EDGEFIT_QUEUE"],
  );

export const queue: Command<FlagsOf<typeof declare>> = {
  command: "queue",
  describe: "Show devices and work on a queue",
  builder: declare,
  async run(flags, { terminal }) {
    const { queueStatus } = await import("../fleet/status.js");
    const status = await queueStatus(queueAddress(flags.queue));
    terminal.result((c) => describe(status, c), status);
  },
};

function describe({ devices, queues }: QueueStatus, c: Colors): string {
  const there = devices.map((d) => [
    d.id,
    d.class,
    d.state === "busy" ? c.yellow("busy") : d.state,
    d.facts.hardware.cpu,
    d.versions.runtime,
    String(d.done),
    d.failed > 0 ? c.red(String(d.failed)) : "0",
  ]);
  const work = queues.map((q) => [
    q.name,
    String(q.workers),
    String(q.waiting),
    String(q.active),
    String(q.delayed),
    String(q.done),
    q.failed > 0 ? c.red(String(q.failed)) : "0",
    q.perMinute === null ? "-" : q.perMinute.toFixed(1),
    q.etaSeconds === null ? "-" : duration(q.etaSeconds),
  ]);
  const errors = queues.flatMap((q) => q.errors.map((e) => `${c.red("parked")} ${q.name}, job ${e.id}: ${e.message}`));
  const parts = [
    there.length > 0
      ? table(["device", "class", "state", "processor", "runtime", "done", "failed"], there, c, [
          "left",
          "left",
          "left",
          "left",
          "left",
        ])
      : "no device is on the queue",
    work.length > 0
      ? table(["work", "workers", "waiting", "active", "retrying", "done", "failed", "per minute", "left"], work, c, [
          "left",
        ])
      : "no work was ever on the queue",
    ...errors,
  ];
  return parts.join("\n\n");
}

const duration = (seconds: number): string =>
  seconds < 90
    ? `${Math.ceil(seconds)} s`
    : seconds < 5400
      ? `${Math.ceil(seconds / 60)} min`
      : `${(seconds / 3600).toFixed(1)} h`;
