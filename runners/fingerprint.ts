/** A stable name for "this hardware with this runtime", the key under which measured tables are kept. */
import { createHash } from "node:crypto";
import type { DeviceFacts } from "./runner.js";

/**
 * 16 hexadecimal digits of SHA-256 over what decides latency and stays: processor, instruction sets, cores, platform, runtime,
 * version, provider, threads, optimisation level, emulation. Conditions, memory size, the system's and Node's versions and the
 * clock are left out, because they change without changing the kernels that run.
 */
export function fingerprint(facts: DeviceFacts): string {
  const { kind, hardware, os, runtime, emulated } = facts;
  const lasting = [
    kind,
    hardware.cpu,
    hardware.cores,
    [...hardware.isa].sort(),
    os.platform,
    os.arch,
    runtime.package,
    runtime.version,
    runtime.provider,
    runtime.threads,
    runtime.graphOptimizationLevel,
    emulated,
  ];
  return createHash("sha256").update(JSON.stringify(lasting)).digest("hex").slice(0, 16);
}
