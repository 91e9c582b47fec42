/** What the benches of a fleet share: processes, jobs, and delays recorded from a real device. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { encodeFeeds } from "../../runners/fleet/execute.js";
import type { BlobStore, DeviceJob } from "../../runners/fleet/index.js";
import { openLocalRunner } from "../../runners/index.js";
import { convModel, wire } from "../runners/models.js";

const image = wire(
  Array.from({ length: 3 * 16 * 16 }, (_, i) => Math.cos(i)),
  [1, 3, 16, 16],
);

/** How long `count` measurements of a small net really took on this machine, in ms. */
export async function recordDelays(count: number): Promise<number[]> {
  const runner = await openLocalRunner();
  try {
    const { id } = await runner.load(convModel());
    const delays: number[] = [];
    for (let i = 0; i < count; i++) {
      const start = performance.now();
      await runner.measure({ models: [{ id, feeds: { x: image } }], minTimeMs: 100, minWarmupMs: 50 });
      delays.push(performance.now() - start);
    }
    return delays;
  } finally {
    await runner.close();
  }
}

/** Measurement jobs, each of its own; their models and inputs are put into the store. */
export async function measurementJobs(blobs: BlobStore, run: string, count: number): Promise<DeviceJob[]> {
  const bytes = await blobs.put(convModel());
  const feeds = await blobs.put(encodeFeeds({ x: image }));
  return Array.from({ length: count }, (_, step) => ({
    run,
    step,
    models: [{ bytes }],
    work: { type: "measure" as const, feeds: [feeds], seed: step },
  }));
}

export interface FleetProcess {
  child: ChildProcess;
  /** Ends it in order; its processor time in ms. */
  stop(): Promise<number>;
}

/** Starts fleetProcess.ts and waits until it is ready. */
export async function startProcess(args: Record<string, string | number>): Promise<FleetProcess> {
  const flags = Object.entries(args).map(([name, value]) => `--${name}=${value}`);
  const child = spawn(process.execPath, ["--import", "tsx", join(import.meta.dirname, "fleetProcess.ts"), ...flags], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout!.on("data", (chunk) => {
    text += chunk;
  });
  await new Promise<void>((resolve, reject) => {
    child.stdout!.on("data", () => text.includes("ready") && resolve());
    child.once("exit", (code) => reject(new Error(`a process of the fleet ended with ${code} before it was ready`)));
  });
  return {
    child,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        const ended = new Promise((resolve) => child.once("exit", resolve));
        child.kill("SIGTERM");
        await ended;
      }
      return Number(/cpu ([\d.]+)/.exec(text)?.[1] ?? Number.NaN);
    },
  };
}
