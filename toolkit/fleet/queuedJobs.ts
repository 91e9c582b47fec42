/** Jobs of `jobs.ts` on a queue: the asking side, and the machines that answer. */
import { z } from "zod";
import { DeviceError, toErrorData } from "../../runners/errors.js";
import { type BlobStore, MACHINES, PREFIX, type QueueAddress, Submitter } from "../../runners/fleet/index.js";
import { bullmq, connectionOf } from "../../runners/fleet/redis.js";
import { type Answer, type Asked, handlers, type JobKind, type Jobs } from "../jobs.js";
import type { CommonOptions } from "../options.js";
import { codecs, type Payload, payloadSchemas } from "./payloads.js";

const progressSchema = z.object({
  stage: z.string().max(200),
  done: z.number(),
  total: z.number(),
  note: z.string().max(500).optional(),
});

const isKind = (kind: string): kind is JobKind => Object.hasOwn(payloadSchemas, kind);

/** Sends jobs to whichever machine has room. The same job of the same content is done once, and answered again from what was kept. */
export async function openQueuedJobs(
  address: QueueAddress,
  blobs: BlobStore,
): Promise<Jobs & { close(): Promise<void> }> {
  const submitter = await Submitter.open(address, MACHINES);
  return {
    async run<K extends JobKind>(kind: K, asked: Asked<K>, o: CommonOptions): Promise<Answer<K>> {
      const payload = await codecs[kind].store(asked, blobs);
      const text = await submitter.ask(
        { kind, ...payload },
        {
          signal: o.signal,
          kind,
          onProgress: (data) => {
            const p = progressSchema.safeParse(data);
            if (p.success) o.onProgress?.(p.data);
          },
        },
      );
      return codecs[kind].fetchAnswer(String(text), blobs);
    },
    close: () => submitter.close(),
  };
}

export interface MachineWorkerOptions {
  address: QueueAddress;
  blobs: BlobStore;
  /** Jobs at a time. */
  concurrency: number;
  onJob?(e: { ok: boolean; kind: string }): void;
}

const LOCK_MS = 15_000;
const STALLED_MS = 5_000;
/** A killed worker is no fault of its job. */
const STALLS = 1_000;
const PROGRESS_MS = 1_000;

/** Does jobs of the queue until it is closed. Closing stops what runs and gives it back. */
export async function openMachineWorker(o: MachineWorkerOptions): Promise<{ close(): Promise<void> }> {
  const { Worker, UnrecoverableError, WaitingError } = await bullmq();
  const stopping = new AbortController();
  const worker = new Worker(
    MACHINES,
    async (job, token): Promise<string> => {
      const { kind, ...rest } = job.data as { kind?: unknown };
      if (typeof kind !== "string" || !isKind(kind)) throw malformed(`there is no kind "${String(kind)}"`);
      const parsed = payloadSchemas[kind].safeParse(rest);
      if (!parsed.success) {
        const { path, message } = parsed.error.issues[0];
        throw malformed(`${path.join(".") || "its top"}: ${message}`);
      }
      let told = 0;
      const onProgress: CommonOptions["onProgress"] = (p) => {
        if (Date.now() - told < PROGRESS_MS) return;
        told = Date.now();
        job.updateProgress(p).catch(() => {}); // the next one comes soon
      };
      try {
        return await answer(kind, parsed.data as Payload<typeof kind>, { onProgress, signal: stopping.signal });
      } catch (error) {
        if (stopping.signal.aborted) {
          await job.moveToWait(token);
          throw new WaitingError();
        }
        throw new Error(JSON.stringify(toErrorData(error, "job-failed")));
      }
    },
    {
      connection: connectionOf(o.address),
      prefix: PREFIX,
      concurrency: o.concurrency,
      lockDuration: LOCK_MS,
      stalledInterval: STALLED_MS,
      maxStalledCount: STALLS,
    },
  );
  async function answer<K extends JobKind>(kind: K, payload: Payload<K>, common: CommonOptions): Promise<string> {
    const handler = handlers[kind] as (a: Asked<K>, c: CommonOptions) => Promise<Answer<K>>;
    const asked = await codecs[kind].fetch(payload, o.blobs);
    return codecs[kind].storeAnswer(await handler(asked, common), o.blobs);
  }
  const malformed = (text: string): Error =>
    new UnrecoverableError(JSON.stringify({ code: "job-malformed", message: `the job is malformed at ${text}` }));
  worker.on("completed", (job) => o.onJob?.({ ok: true, kind: job.name }));
  worker.on("failed", (job) => o.onJob?.({ ok: false, kind: job?.name ?? "unknown" }));
  worker.on("error", () => {}); // connections come back by themselves
  await worker.waitUntilReady();
  return {
    async close() {
      stopping.abort(new DeviceError("worker-closed", "the worker was closed"));
      await worker.close();
    },
  };
}
