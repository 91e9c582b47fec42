/** Jobs of `jobs.ts` on a queue: the asking side, and the machines that answer. */
import { z } from "zod";
import { DeviceError } from "../../runners/errors.js";
import { type BlobStore, MACHINES, type QueueAddress, Submitter } from "../../runners/fleet/index.js";
import { checkedPayload, malformed, openQueueWorker } from "../../runners/fleet/queueWorker.js";
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

const PROGRESS_MS = 1_000;

/** Does jobs of the queue until it is closed. Closing stops what runs and gives it back. */
export async function openMachineWorker(o: MachineWorkerOptions): Promise<{ close(): Promise<void> }> {
  const stopping = new AbortController();
  const worker = await openQueueWorker({
    address: o.address,
    queue: MACHINES,
    concurrency: o.concurrency,
    work({ data, tell }) {
      const { kind, ...rest } = data as { kind?: unknown };
      if (typeof kind !== "string" || !isKind(kind)) throw malformed(`: there is no kind "${String(kind)}"`);
      let told = 0;
      const onProgress: CommonOptions["onProgress"] = (p) => {
        if (Date.now() - told < PROGRESS_MS) return;
        told = Date.now();
        tell(p);
      };
      const payload: Payload<typeof kind> = checkedPayload(payloadSchemas[kind], rest);
      return answer(kind, payload, o.blobs, { onProgress, signal: stopping.signal });
    },
    failure: "job-failed",
    isNobodysFault: () => stopping.signal.aborted,
    onEnd: ({ ok, name }) => o.onJob?.({ ok, kind: name }),
  });
  return {
    async close() {
      stopping.abort(new DeviceError("worker-closed", "the worker was closed"));
      await worker.close();
    },
  };
}

async function answer<K extends JobKind>(
  kind: K,
  payload: Payload<K>,
  blobs: BlobStore,
  common: CommonOptions,
): Promise<string> {
  const handler = handlers[kind] as (a: Asked<K>, c: CommonOptions) => Promise<Answer<K>>;
  const asked = await codecs[kind].fetch(payload, blobs);
  return codecs[kind].storeAnswer(await handler(asked, common), blobs);
}
