/** A machine that works for a queue: it lends its device, its processor for heavy jobs, or both. */
import { connect, nameSchema, openDeviceWorker, type QueueOptions } from "../../runners/fleet/index.js";
import { UsageError } from "../graph/errors.js";
import { openDevice } from "../onDevice.js";
import type { DeviceOptions } from "../options.js";
import { toolVersion } from "../version.js";
import { openMachineWorker } from "./queuedJobs.js";

export interface WorkerOptions
  extends QueueOptions,
    Pick<DeviceOptions, "device" | "threads" | "onLog" | "onInvite" | "signal"> {
  /** Name of the device on the queue. Default: what the device calls itself. */
  name?: string;
  /** Devices of one class stand for each other. Default: what the device calls itself. */
  class?: string;
  /** Heavy jobs at a time; 0 for none. Default 1. */
  concurrency?: number;
  /** Told of every job that ends. */
  onJob?(e: { ok: boolean; what: string }): void;
  /** Told once when the device has gone; heavy jobs go on. */
  onGone?(reason: Error): void;
}

export interface RunningWorker {
  /** Name and class of the lent device; null without one. */
  device: { id: string; class: string } | null;
  concurrency: number;
  close(): Promise<void>;
}

/** Starts working. Throws DeviceError where queue or device cannot be had, or the class runs other versions. */
export async function openWorker(o: WorkerOptions): Promise<RunningWorker> {
  const { concurrency = 1 } = o;
  if (o.device === undefined && concurrency === 0) {
    throw new UsageError("worker-idle", "this worker would do nothing", {
      hint: "give --device, or --concurrency of at least 1",
    });
  }
  const fleet = await connect(o);
  const closers: (() => unknown)[] = [() => fleet.close()];
  const close = async (): Promise<void> => {
    for (const one of closers.splice(0).reverse()) await one();
  };
  try {
    let place: RunningWorker["device"] = null;
    if (o.device !== undefined) {
      const device = await openDevice(o);
      closers.push(() => device.close());
      place = { id: named("--name", o.name ?? device.facts.id), class: named("--class", o.class ?? device.facts.id) };
      const lent = await openDeviceWorker({
        address: fleet.address,
        redis: fleet.redis,
        runner: device.runner,
        blobs: fleet.blobs,
        version: toolVersion(),
        ...place,
        onJob: ({ ok }) => o.onJob?.({ ok, what: "measurement" }),
        ...(o.onGone ? { onGone: o.onGone } : {}),
      });
      closers.push(() => lent.close());
    }
    if (concurrency > 0) {
      const machine = await openMachineWorker({
        address: fleet.address,
        blobs: fleet.blobs,
        concurrency,
        onJob: ({ ok, kind }) => o.onJob?.({ ok, what: kind }),
      });
      closers.push(() => machine.close());
    }
    return { device: place, concurrency, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function named(flag: string, text: string): string {
  const name = nameSchema.safeParse(text.toLowerCase().replaceAll(/[^a-z0-9._-]+/g, "-"));
  if (name.success) return name.data;
  throw new UsageError("name", name.error.issues[0].message, { where: `${flag} ${text}` });
}
