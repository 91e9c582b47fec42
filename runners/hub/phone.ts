/** A phone or any other browser in the same network as a device of one command: it opens an address and is measured. */
import { networkInterfaces } from "node:os";
import { DeviceError } from "../errors.js";
import type { DeviceRunner } from "../runner.js";
import { type HubDeviceOptions, openHubDevice } from "./open.js";
import { openHub } from "./server.js";

export interface PhoneOptions extends Omit<HubDeviceOptions, "name"> {
  /** Address or name under which the phone reaches this machine. Default: the first one of a network. */
  host?: string;
  /** Default: any free one. */
  port?: number;
  /** Told the address, token included, that the phone must open. */
  onInvite?(url: string): void;
}

/** IPv4 addresses of this machine in a network. */
export const lanAddresses = (): string[] =>
  Object.values(networkInterfaces())
    .flat()
    .flatMap((a) => (a && a.family === "IPv4" && !a.internal ? [a.address] : []));

/** Starts a hub and waits until a browser has joined. Throws DeviceError without a network, and the signal's reason. */
export async function openPhoneRunner({ host, port, onInvite, ...o }: PhoneOptions = {}): Promise<DeviceRunner> {
  const address = host ?? lanAddresses()[0];
  if (address === undefined) {
    throw new DeviceError("no-network", "this machine has no address in a network that a phone could reach", {
      hint: "join a network, or name an address: --device phone:host=ADDRESS",
    });
  }
  o.signal?.throwIfAborted();
  const hub = await openHub({ host: "0.0.0.0", port });
  try {
    onInvite?.(hub.pageUrl(address));
    // The first wait needs no words: the invitation says it.
    const source = {
      lease: (wanted: Parameters<typeof hub.devices.lease>[0], { signal }: { signal?: AbortSignal }) =>
        hub.devices.lease(wanted, { signal }),
    };
    const runner = await openHubDevice(source, o);
    return {
      ...runner,
      async close() {
        await runner.close();
        await hub.close();
      },
    };
  } catch (error) {
    await hub.close();
    throw error;
  }
}
