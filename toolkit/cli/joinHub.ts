/** Joins a hub as a device: what `edgefit agent` does, and all that the bundle on a board can do. */
import type { Argv } from "yargs";
import { type ProviderName, providerNames } from "../../runners/node/providers.js";
import type { DeviceFacts } from "../../runners/runner.js";
import { UsageError } from "../graph/errors.js";
import type { Command, Context, FlagsOf } from "./command.js";

const group = "Agent:";

/** Flags of an agent that joins. */
export const joinFlags = <T>(y: Argv<T>) =>
  y
    .option("hub", { type: "string", requiresArg: true, group, describe: "address that edgefit hub shows" })
    .option("token", {
      type: "string",
      requiresArg: true,
      group,
      describe: "the hub's token (default: the one in the address, or EDGEFIT_TOKEN)",
    })
    .option("name", { type: "string", requiresArg: true, group, describe: "name under which the hub lists the board" })
    .option("threads", { type: "string", requiresArg: true, group, describe: "threads of the runtime (1)" })
    .option("engine", {
      choices: ["native", "wasm"] as const,
      group,
      describe: "onnxruntime-node, or onnxruntime-web in WebAssembly (native, where it has a binary)",
    })
    .option("provider", { choices: providerNames, group, describe: "what computes (cpu)" })
    .option("allow-fallback", {
      type: "boolean",
      group,
      describe: "let nodes that the provider lacks run on the processor, and name them",
    })
    .option("insecure", {
      type: "boolean",
      group,
      describe: "join an https hub whose certificate no authority has signed",
    });

type Flags = FlagsOf<typeof joinFlags<object>>;

/** Serves the hub until Ctrl-C. */
export async function joinHub(flags: Flags, { terminal, signal }: Context): Promise<void> {
  const { hub, token = process.env.EDGEFIT_TOKEN, name, threads, engine, provider } = flags;
  if (hub === undefined) {
    throw new UsageError("missing-flag", "the address of a hub is missing", {
      where: "--hub",
      hint: "start edgefit hub on the other machine, and give the address that it shows",
    });
  }
  const count = threads === undefined ? 1 : Number(threads);
  if (!Number.isInteger(count) || count < 1 || count > 256)
    throw new UsageError("flag-value", "expected a whole number from 1 to 256", { where: `--threads ${threads}` });
  if (name !== undefined && !/^[\w .-]{1,40}$/.test(name)) {
    throw new UsageError("flag-value", "expected 1 to 40 letters, digits, spaces, dots and hyphens", {
      where: `--name ${name}`,
    });
  }
  const { runAgent } = await import("../../runners/agent/agent.js");
  const run = await runAgent({
    hub,
    threads: count,
    signal,
    ...(token && { token }),
    ...(name && { name }),
    ...(engine && { engine }),
    ...(provider && { provider: provider as ProviderName }),
    ...(flags["allow-fallback"] && { allowFallback: true }),
    ...(flags.insecure && { insecure: true }),
    ...(terminal.log && { log: terminal.log }),
    onEvent(e) {
      if (e.event === "ready") {
        terminal.note(introduction(e.facts));
        if (e.note) terminal.warn(e.note);
      } else if (e.event === "joined") terminal.note(`joined ${e.hub} as ${e.name}; waiting for work, Ctrl-C ends it`);
      else if (e.event === "working") {
        const { title, stage, done, total } = e.note;
        terminal.progress({ stage: `${title}: ${stage}`, done, total });
      } else terminal.warn(`${e.why.message}; trying again in ${(e.ms / 1000).toFixed(0)} s`);
    },
  });
  terminal.result((c) => c.dim(`left the hub after ${run.requests} requests`), run);
}

/** What the hub will be told of this machine, in a few lines. */
export function introduction({ hardware, os, runtime, conditions: c, emulated }: DeviceFacts): string {
  const offered = [
    c.governor && `governor ${c.governor}`,
    c.frequencyMHz && `${c.frequencyMHz} MHz`,
    c.temperatureC !== null && `${c.temperatureC.toFixed(0)} °C`,
    c.throttling && (c.throttling.length ? `held back: ${c.throttling.join(", ")}` : "not held back"),
    c.throttledBefore?.length && `earlier: ${c.throttledBefore.join(", ")}`,
    c.charging !== null && (c.charging ? "on mains" : "on battery"),
  ].filter(Boolean);
  return [
    `${hardware.cpu}, ${hardware.cores} cores, ${os.platform} ${os.arch}`,
    `${runtime.package} ${runtime.version}, ${runtime.provider}, ${runtime.threads} thread(s), Node ${runtime.node ?? "?"}`,
    ...(offered.length ? [offered.join(", ")] : []),
    ...(c.unknown?.length ? [`not offered by this system: ${c.unknown.join(", ")}`] : []),
    ...(emulated ? ["emulated: results count, times do not, and no latency table is made here"] : []),
  ].join("\n");
}

const declare = (y: Argv) =>
  joinFlags(y).epilogue(
    [
      "Examples:",
      "  ./agent --hub http://192.168.1.5:8717 --token TOKEN --name kitchen-pi",
      "  ./agent --hub http://192.168.1.5:8717 --token TOKEN --engine wasm",
      "",
      "Ends with Ctrl-C. Comes back by itself when the hub or the network was gone.",
    ].join("\n"),
  );

/** The one command of a bundle. */
export const boardAgent: Command<FlagsOf<typeof declare>> = {
  command: "agent",
  describe: "Join a hub, and measure and validate models for it",
  builder: declare,
  run: joinHub,
};
