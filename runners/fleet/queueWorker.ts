/** One BullMQ worker as this project runs them: what failed by the job's fault is tried again and parked, what did not goes back whole. */
import type { z } from "zod";
import { DeviceError, type ErrorData, toErrorData } from "../errors.js";
import { bullmq, connectionOf, PREFIX, type QueueAddress } from "./redis.js";

export interface QueueJob {
  id: string | undefined;
  /** Not checked yet: see `checkedPayload`. */
  data: unknown;
  /** Told to whoever waits for the job; what is lost on the way is followed by the next. */
  tell(progress: object): void;
}

export interface QueueWorkerOptions<T> {
  address: QueueAddress;
  queue: string;
  /** Jobs at a time. Default 1. */
  concurrency?: number;
  work(job: QueueJob): Promise<T>;
  /** Code of errors that have none. */
  failure: string;
  /** Whether this error is no fault of the job. */
  isNobodysFault(error: ErrorData): boolean;
  /** Told when a job has gone back, before this worker takes another. */
  onGivenBack?(error: Error): void;
  /** Told of every job that ends; `name` is the kind that it was added under. */
  onEnd?(e: { ok: boolean; name: string }): void;
}

export interface QueueWorker {
  /** Takes no new job and waits for those that run. */
  close(): Promise<void>;
}

/** A lock is lost, and its job taken by another, when a worker has not been heard of for this long. */
const LOCK_MS = 15_000;
const STALLED_MS = 5_000;
/** A killed worker is no fault of its job: it may happen often before the job counts as failed. */
const STALLS = 1_000;

/** Error that no try can mend. */
const MALFORMED = "job-malformed";

/** The payload, checked. Throws DeviceError `job-malformed`, which parks the job at once. */
export function checkedPayload<S extends z.ZodType>(schema: S, data: unknown, where?: string): z.infer<S> {
  const parsed = schema.safeParse(data);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0];
  throw malformed(` at ${path.join(".") || "its top"}: ${message}`, where);
}

export const malformed = (how: string, where?: string): DeviceError =>
  new DeviceError(MALFORMED, `the job is malformed${how}`, { where });

/** Starts to work. Connections that break come back by themselves. */
export async function openQueueWorker<T>(o: QueueWorkerOptions<T>): Promise<QueueWorker> {
  const { Worker, UnrecoverableError, WaitingError } = await bullmq();
  const worker = new Worker(
    o.queue,
    async (job, token): Promise<T> => {
      try {
        const tell = (progress: object): void => void job.updateProgress(progress).catch(() => {});
        return await o.work({ id: job.id, data: job.data, tell });
      } catch (error) {
        const data = toErrorData(error, o.failure);
        if (data.code === MALFORMED) throw new UnrecoverableError(JSON.stringify(data));
        if (!o.isNobodysFault(data)) throw new Error(JSON.stringify(data));
        await job.moveToWait(token);
        o.onGivenBack?.(error as Error);
        throw new WaitingError();
      }
    },
    {
      connection: connectionOf(o.address),
      prefix: PREFIX,
      concurrency: o.concurrency ?? 1,
      lockDuration: LOCK_MS,
      stalledInterval: STALLED_MS,
      maxStalledCount: STALLS,
    },
  );
  worker.on("completed", (job) => o.onEnd?.({ ok: true, name: job.name }));
  worker.on("failed", (job) => o.onEnd?.({ ok: false, name: job?.name ?? "unknown" }));
  worker.on("error", () => {});
  await worker.waitUntilReady();
  return { close: () => worker.close() };
}
