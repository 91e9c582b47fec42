/** A hub as a worker: every device that joins it takes jobs of a queue, as long as it stays. */
import type { Redis } from "ioredis";
import { slug } from "../hub/facts.js";
import { openHubDevice } from "../hub/open.js";
import type { DeviceState, Registry } from "../hub/registry.js";
import type { DeviceRunner } from "../runner.js";
import type { BlobStore } from "./blobs.js";
import { type DeviceWorker, openDeviceWorker } from "./deviceWorker.js";
import type { QueueAddress } from "./redis.js";

export interface HubWorkerOptions {
  address: QueueAddress;
  redis: Redis;
  blobs: BlobStore;
  devices: Registry;
  /** Of edgefit. */
  version: string;
  /** Class of all devices of this hub. Default: what system, runtime and threads make of each (`classOf`). */
  class?: string;
  /** In front of the devices' names, so that several hubs may serve one queue. */
  hub: string;
  /** Told of what happens, in a sentence. */
  onNote?(text: string): void;
}

/** The hub takes a lost device's job back at once; the queue gives it to another, or to the same one when it is here again. */
const PATIENCE_MS = 1_000;

/** Devices that are measured alike by default: same system, kind of runtime and threads. Give phones of one model a hub and a class of their own. */
export const classOf = ({ facts }: Pick<DeviceState, "facts">): string =>
  slug(`${facts.os.platform}-${facts.kind}-t${facts.runtime.threads}`);

/** Lends the devices that are there and all that come. */
export function lendHub(o: HubWorkerOptions): { close(): Promise<void> } {
  const lent = new Map<string, Promise<void>>();
  const open = new Set<DeviceWorker>();
  const runners = new Set<DeviceRunner>();
  const stopping = new AbortController();
  const note = o.onNote ?? (() => {});

  const lend = async (device: DeviceState): Promise<void> => {
    const runner = await openHubDevice(o.devices, {
      name: device.name,
      provider: "wasm",
      patienceMs: PATIENCE_MS,
      purpose: "work of the queue",
      signal: stopping.signal,
    });
    runners.add(runner);
    let gone!: (reason: Error) => void;
    const left = new Promise<Error>((resolve) => {
      gone = resolve;
    });
    try {
      const worker = await openDeviceWorker({
        ...o,
        runner,
        id: `${slug(o.hub)}.${slug(device.name)}`.slice(0, 64),
        class: o.class ?? classOf({ facts: await runner.describe() }),
        onGone: gone,
      });
      open.add(worker);
      const unwatch = o.devices.watch(({ event, device: other, reason }) => {
        if (event === "left" && other.name === device.name) gone(new Error(reason ?? "it has gone"));
      });
      try {
        note(`${device.name} takes work of the queue as ${worker.id}`);
        const reason = await left;
        note(`${device.name} takes no more work: ${reason.message}`);
      } finally {
        unwatch();
        open.delete(worker);
        await worker.close();
      }
    } finally {
      runners.delete(runner);
      await runner.close().catch(() => {}); // its device has gone
    }
  };

  const start = (device: DeviceState): void => {
    // A device that is back before its last worker has left waits for that.
    const before = lent.get(device.name) ?? Promise.resolve();
    const next = before.then(() =>
      lend(device).catch((error: Error) => {
        if (!stopping.signal.aborted) note(`${device.name} takes no work: ${error.message}`);
      }),
    );
    lent.set(device.name, next);
  };
  const unwatch = o.devices.watch(({ event, device }) => {
    if (event === "joined") start(device);
  });
  for (const device of o.devices.list()) start(device);
  return {
    async close() {
      unwatch();
      stopping.abort(new Error("the hub was closed"));
      await Promise.allSettled([...open].map((w) => w.close()));
      await Promise.allSettled([...runners].map((r) => r.close()));
    },
  };
}
