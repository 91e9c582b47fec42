/**
 * A board as a device: joins a hub from Node, serves it with the local runtime, and comes back after every loss. The runtime has
 * a process of its own, so that a model that brings it down does not end the agent.
 */
import type { DeviceError } from "../errors.js";
import { WorkerChannel } from "../node/channel.js";
import { readConditions } from "../node/conditions.js";
import type { EngineName } from "../node/engineOptions.js";
import { selfTest } from "../node/probe.js";
import type { ProviderName } from "../node/providers.js";
import { workerFacts } from "../node/runner.js";
import { PROTOCOL_VERSION } from "../protocol.js";
import { runnerOver } from "../remote.js";
import type { Conditions, DeviceFacts } from "../runner.js";
import type { Hello, Note } from "../web/hello.js";
import { joinAddress, shown } from "./address.js";
import { pause, waitBefore } from "./backoff.js";
import { type Ending, serveConnection } from "./connection.js";
import { deviceId } from "./identity.js";

export interface AgentOptions {
  /** Address of the hub. */
  hub: string;
  /** Default: the one in the address. */
  token?: string;
  /** For people; hubs list the device under it. Default: platform and architecture. */
  name?: string;
  /** Default `native`. */
  engine?: EngineName;
  /** Default 1. */
  threads?: number;
  /** Default `cpu`. */
  provider?: ProviderName;
  /** Default false. */
  allowFallback?: boolean;
  /** Accept a certificate that no authority has signed. Default false. */
  insecure?: boolean;
  /** Aborting leaves the hub and ends the agent without an error. */
  signal: AbortSignal;
  onEvent?(e: AgentEvent): void;
  /** Receives what the runtime writes. */
  log?(line: string): void;
  /** Folder where the device's id is kept. */
  stateFolder?: string;
}

export type AgentEvent =
  | { event: "ready"; facts: DeviceFacts; note: string | null }
  | { event: "joined"; hub: string; name: string }
  | { event: "working"; note: Note }
  | { event: "waiting"; why: DeviceError; ms: number };

/** What it did, until it was told to stop. */
export interface AgentRun {
  joins: number;
  requests: number;
}

/**
 * Runs until the signal is aborted. Throws DeviceError where trying again is of no use: a wrong address or token, another
 * version, a runtime that does not start or computes wrongly.
 */
export async function runAgent(o: AgentOptions): Promise<AgentRun> {
  const address = joinAddress(o.hub, o.token);
  const run: AgentRun = { joins: 0, requests: 0 };
  let runtime: WorkerChannel | undefined;
  try {
    runtime = await openRuntime(o);
    const facts = await workerFacts(runtime.ready, o);
    o.onEvent?.({ event: "ready", facts, note: runtime.ready.note ?? null });
    for (let attempt = 0; !o.signal.aborted; attempt++) {
      runtime ??= await openRuntime(o);
      const serving = runtime;
      const ending: Ending = await serveConnection({
        address,
        hello: greeting(await workerFacts(serving.ready, o), o),
        ask: (request, signal) => {
          run.requests++;
          return serving.ask(request, signal);
        },
        beat: async () => ((await readConditions()).throttling?.length ? "hot" : "working"),
        ...(o.insecure && { insecure: true }),
        onJoined: (name) => {
          run.joins++;
          attempt = 0;
          o.onEvent?.({ event: "joined", hub: shown(address), name });
        },
        onNote: (note) => o.onEvent?.({ event: "working", note }),
        signal: o.signal,
      });
      if (ending.used) {
        await serving.close();
        runtime = undefined;
      }
      if (o.signal.aborted) break;
      if (ending.final) throw ending.reason;
      const ms = waitBefore(attempt, Math.random());
      o.onEvent?.({ event: "waiting", why: ending.reason, ms });
      await pause(ms, o.signal);
    }
    return run;
  } finally {
    await runtime?.close();
  }
}

/** The runtime's process, once it has shown that it computes. */
async function openRuntime(o: AgentOptions): Promise<WorkerChannel> {
  const { engine = "native", threads = 1, provider = "cpu", allowFallback = false, log } = o;
  const channel = await WorkerChannel.open({ engine, threads, provider, allowFallback, ...(log && { log }) });
  try {
    await selfTest(
      runnerOver(channel, {
        describe: () => workerFacts(channel.ready, o),
        threads,
        graphOptimizationLevel: "all",
      }),
    );
    return channel;
  } catch (error) {
    await channel.close();
    throw error;
  }
}

function greeting(facts: DeviceFacts, o: Pick<AgentOptions, "name" | "stateFolder">): Hello {
  const { kind, hardware, os, conditions, emulated, runtime, clockMs } = facts;
  const { threads, graphOptimizationLevel: _, ...build } = runtime;
  // Agents of one machine that go by different names, or compute with different things, are different devices.
  const what = o.name ?? `${os.arch}-${kind}-t${threads}`;
  return {
    ready: true,
    protocol: PROTOCOL_VERSION,
    runtime: build,
    clockMs,
    device: { id: deviceId(what.replace(/[^\w]+/g, "-"), o.stateFolder), ...(o.name && { name: o.name }) },
    beats: true,
    machine: {
      kind,
      hardware: { ...hardware, isa: [...hardware.isa] },
      os,
      conditions: asMessage(conditions),
      emulated,
      threads,
    },
  };
}

/** Lists as messages have them, not read-only. */
function asMessage({
  throttling,
  throttledBefore,
  unknown,
  ...c
}: Conditions): NonNullable<Hello["machine"]>["conditions"] {
  const list = (l: readonly string[] | null | undefined) => l && [...l];
  return {
    ...c,
    throttling: list(throttling) ?? null,
    throttledBefore: list(throttledBefore) ?? null,
    unknown: [...(unknown ?? [])],
  };
}
