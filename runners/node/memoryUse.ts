/** How much memory one model takes on this machine, seen from outside the runtime. */
import { DeviceError } from "../errors.js";
import type { Feeds } from "../runner.js";
import { type LocalOptions, openLocalRunner } from "./runner.js";

/** Resident memory in bytes. */
export interface MemoryUse {
  /** Of the process with the runtime, just before the model is loaded. */
  baselineBytes: number;
  /** At its highest while the model is loaded and run. */
  peakBytes: number;
  /** Their difference: weights as the runtime keeps them, activations, and what the runtime sets up with its first session. */
  modelBytes: number;
}

/**
 * Loads and runs the model in a process of its own, so that no other model's memory is counted.
 * Throws DeviceError where the platform does not tell a process's memory.
 */
export async function measureMemory(model: Uint8Array, feeds: Feeds, o: LocalOptions = {}): Promise<MemoryUse> {
  const runner = await openLocalRunner(o);
  try {
    const loaded = await runner.load(model);
    const [{ peakMemoryBytes }] = await runner.measure({
      models: [{ id: loaded.id, feeds }],
      warmup: 3,
      minWarmupMs: 0,
      minSamples: 3,
      minTimeMs: 0,
    });
    if (loaded.residentBytes === null || peakMemoryBytes === null) {
      throw new DeviceError("memory-unknown", "this platform does not tell how much memory a process holds");
    }
    const baselineBytes = loaded.residentBytes.before;
    return { baselineBytes, peakBytes: peakMemoryBytes, modelBytes: Math.max(0, peakMemoryBytes - baselineBytes) };
  } finally {
    await runner.close();
  }
}
