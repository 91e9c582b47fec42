/** The answering side of a queue for one device: takes jobs of its class and its own, one at a time, and says that it is there. */
import type { Redis } from "ioredis";
import { PROTOCOL_VERSION } from "../protocol.js";
import type { DeviceRunner } from "../runner.js";
import type { BlobStore } from "./blobs.js";
import { executeDeviceJob } from "./execute.js";
import { deviceJobSchema, type JobAnswer } from "./jobs.js";
import { checkedPayload, openQueueWorker, type QueueJob } from "./queueWorker.js";
import { classQueue, deviceQueue, type QueueAddress } from "./redis.js";
import { announce } from "./registry.js";

export interface DeviceWorkerOptions {
  address: QueueAddress;
  redis: Redis;
  runner: DeviceRunner;
  blobs: BlobStore;
  /** Name of the device on the queue. */
  id: string;
  class: string;
  /** Of edgefit; devices of one class must have the same. */
  version: string;
  /** Told of every job that ends; for displays. */
  onJob?(e: { ok: boolean; queue: string }): void;
  /** Told once when the device itself is gone and its worker has ended. */
  onGone?(reason: Error): void;
}

export interface DeviceWorker {
  readonly id: string;
  /** Takes no new job, lets the running one end, and leaves. */
  close(): Promise<void>;
}

/** The device is gone, not the job wrong: the job goes back whole. */
const GONE = new Set(["device-lost", "runner-closed", "worker-died", "device-silent"]);

/** Joins a device to the queue. Throws DeviceError where its class runs other versions. */
export async function openDeviceWorker(o: DeviceWorkerOptions): Promise<DeviceWorker> {
  const facts = await o.runner.describe();
  const { package: name, version, provider } = facts.runtime;
  const presence = await announce(o.redis, {
    id: o.id,
    class: o.class,
    facts,
    versions: { edgefit: o.version, protocol: PROTOCOL_VERSION, runtime: `${name} ${version}`, provider },
  });
  const counts = { done: 0, failed: 0 };
  let turn: Promise<unknown> = Promise.resolve();
  let gone: Error | undefined;

  const work = async ({ id, data }: QueueJob): Promise<JobAnswer> => {
    const job = checkedPayload(deviceJobSchema, data, id);
    // The device does one thing at a time, whichever of its two queues asks.
    const mine = turn.then(async () => {
      if (gone) throw gone;
      await presence.update({ state: "busy" });
      return executeDeviceJob(o.runner, job, o.blobs);
    });
    turn = mine.catch(() => {});
    return { answer: await mine, by: o.id };
  };
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= (async () => {
      await Promise.allSettled(workers.map(async (w) => (await w).close()));
      await presence.leave().catch(() => {});
    })();
    return closing;
  };
  const workers = [classQueue(o.class), deviceQueue(o.id)].map((queue) =>
    openQueueWorker({
      address: o.address,
      queue,
      work,
      failure: "device-failed",
      isNobodysFault: ({ code }) => GONE.has(code),
      onGivenBack(error) {
        gone ??= error;
        // Not awaited by the job that found out, as closing waits for that job.
        void close().then(() => o.onGone?.(error));
      },
      onEnd({ ok }) {
        counts[ok ? "done" : "failed"]++;
        void presence.update({ state: "ready", ...counts }).catch(() => {});
        o.onJob?.({ ok, queue });
      },
    }),
  );
  await Promise.all(workers);
  return { id: o.id, close };
}
