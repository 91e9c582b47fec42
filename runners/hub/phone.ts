/** A phone or any other browser in the same network as a device: it opens an address and is measured. */
import { networkInterfaces } from "node:os";
import { DeviceError } from "../errors.js";
import { runnerOver } from "../remote.js";
import type { DeviceRunner, GraphOptimizationLevel } from "../runner.js";
import type { WebProvider } from "../web/hello.js";
import { factsOf } from "./facts.js";
import type { JoinedDevice } from "./joined.js";
import { openHub } from "./server.js";

export interface PhoneOptions {
  /** Default `wasm`. */
  provider?: WebProvider;
  /** Default 1; more need an address that the browser counts as secure. */
  threads?: number;
  graphOptimizationLevel?: GraphOptimizationLevel;
  /** Address or name under which the phone reaches this machine. Default: the first one of a network. */
  host?: string;
  /** Default: any free one. */
  port?: number;
  /** Told the address, token included, that the phone must open. */
  onInvite?(url: string): void;
  /** Aborting ends the wait with the signal's reason. */
  signal?: AbortSignal;
}

/** First IPv4 address of this machine in a network; undefined where there is none. */
export const lanAddress = (): string | undefined =>
  Object.values(networkInterfaces())
    .flat()
    .find((a) => a && a.family === "IPv4" && !a.internal)?.address;

/** Starts a hub and waits until a browser has joined. Throws DeviceError without a network, and the signal's reason. */
export async function openPhoneRunner(o: PhoneOptions = {}): Promise<DeviceRunner> {
  const { provider = "wasm", threads = 1, graphOptimizationLevel = "all", signal } = o;
  const host = o.host ?? lanAddress();
  if (host === undefined) {
    throw new DeviceError("no-network", "this machine has no address in a network that a phone could reach", {
      hint: "join a network, or name an address: --device phone:host=ADDRESS",
    });
  }
  signal?.throwIfAborted();
  let joined!: (device: JoinedDevice) => void;
  const device = new Promise<JoinedDevice>((resolve) => {
    joined = resolve;
  });
  const hub = await openHub({ host: "0.0.0.0", port: o.port, maxDevices: 1, onJoin: (d) => joined(d) });
  try {
    const aborted = new Promise<never>((_, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    o.onInvite?.(hub.pageUrl(host, { provider, threads: String(threads) }));
    const { hello, link } = await Promise.race([device, aborted]);
    const describe = async () => factsOf(hello, graphOptimizationLevel);
    return {
      ...runnerOver(link, { describe, threads: hello.page!.threads, graphOptimizationLevel }),
      async close() {
        await link.close();
        await hub.close();
      },
    };
  } catch (error) {
    await hub.close();
    throw error;
  }
}
