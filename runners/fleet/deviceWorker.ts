/** The answering side of a queue for one device: takes jobs of its class and its own, one at a time, and says that it is there. */
import type { Redis } from "ioredis";
import { DeviceError, toErrorData } from "../errors.js";
import { PROTOCOL_VERSION } from "../protocol.js";
import type { DeviceRunner } from "../runner.js";
import type { BlobStore } from "./blobs.js";
import { executeDeviceJob } from "./execute.js";
import { deviceJobSchema, type JobAnswer } from "./jobs.js";
import { bullmq, classQueue, connectionOf, deviceQueue, PREFIX, type QueueAddress } from "./redis.js";
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

/** A lock is lost, and its job taken by another, when a worker has not been heard of for this long. */
const LOCK_MS = 15_000;
const STALLED_MS = 5_000;
/** A killed worker is no fault of its job: it may happen often before the job counts as failed. */
const STALLS = 1_000;
/** The device is gone, not the job wrong: the job goes back whole. */
const GONE = new Set(["device-lost", "runner-closed", "worker-died", "device-silent"]);

/** Joins a device to the queue. Throws DeviceError where its class runs other versions. */
export async function openDeviceWorker(o: DeviceWorkerOptions): Promise<DeviceWorker> {
  const { Worker, UnrecoverableError, WaitingError } = await bullmq();
  const facts = await o.runner.describe();
  const { package: name, version, provider } = facts.runtime;
  const presence = await announce(o.redis, {
    id: o.id,
    class: o.class,
    facts,
    versions: { edgefit: o.version, protocol: PROTOCOL_VERSION, runtime: `${name} ${version}`, provider },
  });
  const counts = { done: 0, failed: 0 };
  const stopping = new AbortController();
  let turn: Promise<unknown> = Promise.resolve();
  let gone: Error | undefined;

  const workers = [classQueue(o.class), deviceQueue(o.id)].map((queue) => {
    const worker = new Worker(
      queue,
      async (job, token): Promise<JobAnswer> => {
        const parsed = deviceJobSchema.safeParse(job.data);
        if (!parsed.success) {
          const { path, message } = parsed.error.issues[0];
          const text = `the job is malformed at ${path.join(".") || "its top"}: ${message}`;
          throw new UnrecoverableError(JSON.stringify({ code: "job-malformed", message: text, where: job.id }));
        }
        // The device does one thing at a time, whichever of its two queues asks.
        const mine = turn.then(async () => {
          if (gone) throw gone;
          await presence.update({ state: "busy" });
          return executeDeviceJob(o.runner, parsed.data, o.blobs, stopping.signal);
        });
        turn = mine.catch(() => {});
        try {
          return { answer: await mine, by: o.id };
        } catch (error) {
          const data = toErrorData(error, "device-failed");
          if (GONE.has(data.code) || stopping.signal.aborted) {
            gone ??= error as Error;
            await job.moveToWait(token);
            leave();
            throw new WaitingError();
          }
          throw new Error(JSON.stringify(data));
        }
      },
      {
        connection: connectionOf(o.address),
        prefix: PREFIX,
        concurrency: 1,
        lockDuration: LOCK_MS,
        stalledInterval: STALLED_MS,
        maxStalledCount: STALLS,
      },
    );
    const ended = (ok: boolean): void => {
      counts[ok ? "done" : "failed"]++;
      void presence.update({ state: "ready", ...counts }).catch(() => {});
      o.onJob?.({ ok, queue });
    };
    worker.on("completed", () => ended(true));
    worker.on("failed", () => ended(false));
    worker.on("error", () => {}); // connections come back by themselves
    return worker;
  });

  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= (async () => {
      await Promise.allSettled(workers.map((w) => w.close()));
      await presence.leave().catch(() => {});
    })();
    return closing;
  };
  /** The device has gone by itself. Not awaited by the job that found out, as closing waits for that job. */
  const leave = (): void => {
    void close().then(() => o.onGone?.(gone ?? new DeviceError("device-lost", "the device has gone")));
  };
  return { id: o.id, close };
}
