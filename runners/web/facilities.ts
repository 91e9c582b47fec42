/// <reference lib="dom" />
/** What this browser offers here: asked once, told to the hub and shown. */
import type { PageHello } from "./hello.js";

export type Facilities = Omit<PageHello, "provider" | "threads">;

/** As browsers give it; older ones have `isFallbackAdapter` on the adapter itself. */
interface Adapter {
  info?: { vendor?: string; architecture?: string; isFallbackAdapter?: boolean };
  isFallbackAdapter?: boolean;
}

/** Not in every browser, and for secure addresses only. */
interface Extras {
  deviceMemory?: number;
  gpu?: { requestAdapter(): Promise<Adapter | null> };
  getBattery?(): Promise<{ charging: boolean }>;
}

export async function facilities(): Promise<Facilities> {
  const machine = navigator as Pick<Navigator, "userAgent" | "hardwareConcurrency"> & Extras;
  // A browser may offer WebGPU and fail at it: then it has none.
  const adapter = await machine.gpu?.requestAdapter().catch(() => null);
  const battery = await machine.getBattery?.().catch(() => undefined);
  return {
    userAgent: machine.userAgent.slice(0, 300),
    cores: machine.hardwareConcurrency || 1,
    memoryBytes: machine.deviceMemory ? machine.deviceMemory * 2 ** 30 : null,
    isolated: crossOriginIsolated,
    secure: isSecureContext,
    adapter: adapter
      ? {
          vendor: adapter.info?.vendor ?? "",
          architecture: adapter.info?.architecture ?? "",
          isFallback: adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter ?? false,
        }
      : null,
    charging: battery?.charging ?? null,
  };
}
