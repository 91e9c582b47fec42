/** The asking side of a queue: adds jobs and waits for their answers, across restarts of Redis and of whoever answers. */
import type { Job, Queue, QueueEvents } from "bullmq";
import { DeviceError, fromErrorData } from "../errors.js";
import { jobId } from "./jobs.js";
import { bullmq, connectionOf, PREFIX, type QueueAddress } from "./redis.js";

/** Tries of a job before it is parked with its error. */
export const ATTEMPTS = 3;
const BACKOFF_MS = 1_000;
/** Events can be lost when Redis restarts: what is open is looked up this often as well. */
const LOOK_MS = 5_000;
/** Answers are kept this long, for runs that are taken up again. */
const KEPT_S = 7 * 86_400;

interface Waiting {
  payload: object;
  answer: Promise<unknown>;
  resolve(value: unknown): void;
  reject(error: unknown): void;
  onProgress?(data: unknown): void;
}

export interface AskOptions {
  signal?: AbortSignal;
  /** What displays of the queue call the job. */
  kind?: string;
  /** Told what the worker says of its progress, as it came: nothing is checked. */
  onProgress?(data: unknown): void;
}

/** Asks the workers of one queue. */
export class Submitter {
  private readonly waiting = new Map<string, Waiting>();
  private readonly timer: NodeJS.Timeout;
  private closed = false;

  private constructor(
    private readonly queue: Queue,
    private readonly events: QueueEvents,
  ) {
    events.on("completed", ({ jobId: id }) => void this.look(id));
    events.on("failed", ({ jobId: id }) => void this.look(id));
    events.on("progress", ({ jobId: id, data }) => this.waiting.get(id)?.onProgress?.(data));
    this.timer = setInterval(() => {
      for (const id of this.waiting.keys()) void this.look(id);
    }, LOOK_MS);
    this.timer.unref();
  }

  static async open(address: QueueAddress, name: string): Promise<Submitter> {
    const { Queue, QueueEvents } = await bullmq();
    const connection = connectionOf(address);
    const queue = new Queue(name, { connection, prefix: PREFIX });
    const events = new QueueEvents(name, { connection, prefix: PREFIX });
    queue.on("error", () => {}); // connections come back by themselves
    events.on("error", () => {});
    await events.waitUntilReady();
    return new Submitter(queue, events);
  }

  /**
   * Adds a payload, once however often it is asked, and waits for what its worker returns. A payload that was parked with an error is tried
   * again. Throws the worker's error when all tries failed, and the signal's reason; a job that has not begun by then is taken back.
   */
  async ask(payload: object, o: AskOptions = {}): Promise<unknown> {
    o.signal?.throwIfAborted();
    const id = jobId(payload);
    const same = this.waiting.get(id);
    if (same) return same.answer;
    let resolve!: Waiting["resolve"];
    let reject!: Waiting["reject"];
    const answer = new Promise<unknown>((yes, no) => {
      [resolve, reject] = [yes, no];
    });
    this.waiting.set(id, { payload, answer, resolve, reject, ...(o.onProgress ? { onProgress: o.onProgress } : {}) });
    answer.catch(() => {}); // seen by whoever awaits it below, also when adding fails first
    const stop = (): void => {
      this.settle(id, (w) => w.reject(o.signal!.reason));
      void this.queue.remove(id).catch(() => {}); // one that is running is locked and finishes
    };
    o.signal?.addEventListener("abort", stop, { once: true });
    try {
      const known = await this.queue.getJob(id);
      if (known && (await known.isFailed())) await known.retry();
      else if (!known) await this.add(payload, o.kind);
      await this.look(id);
      return await answer;
    } finally {
      o.signal?.removeEventListener("abort", stop);
      this.waiting.delete(id);
    }
  }

  /** Closes the connections; what is asked and open is left to the queue, and answered to nobody. */
  async close(): Promise<void> {
    this.closed = true;
    clearInterval(this.timer);
    for (const id of [...this.waiting.keys()])
      this.settle(id, (w) => w.reject(new DeviceError("queue-closed", "the connection to the queue was closed")));
    await Promise.allSettled([this.events.close(), this.queue.close()]);
  }

  private add(payload: object, kind = "job"): Promise<Job> {
    return this.queue.add(kind, payload, {
      jobId: jobId(payload),
      attempts: ATTEMPTS,
      backoff: { type: "exponential", delay: BACKOFF_MS },
      removeOnComplete: { age: KEPT_S },
      removeOnFail: { age: KEPT_S },
    });
  }

  /** Settles what is known of a job. */
  private async look(id: string): Promise<void> {
    const open = this.waiting.get(id);
    if (!open || this.closed) return;
    try {
      const job = await this.queue.getJob(id);
      if (!job) {
        // A server without persistence forgot it.
        if (this.waiting.has(id)) await this.add(open.payload);
        return;
      }
      if (job.finishedOn === undefined) return;
      if (await job.isCompleted()) this.settle(id, (w) => w.resolve(job.returnvalue));
      else if (await job.isFailed()) this.settle(id, (w) => w.reject(errorOf(job)));
    } catch {
      // Redis is away for the moment; the next look is soon.
    }
  }

  private settle(id: string, how: (w: Waiting) => void): void {
    const open = this.waiting.get(id);
    if (!open) return;
    this.waiting.delete(id);
    how(open);
  }
}

/** Workers write their errors down as JSON; BullMQ's own (a worker that vanished too often) are plain sentences. */
function errorOf(job: Job): DeviceError {
  const text = job.failedReason ?? "";
  try {
    const data = JSON.parse(text) as { code?: unknown; message?: unknown; where?: string; hint?: string };
    if (typeof data.code === "string" && typeof data.message === "string")
      return fromErrorData({ ...data, code: data.code, message: data.message });
  } catch {
    // a plain sentence
  }
  return new DeviceError("job-failed", `a job failed ${ATTEMPTS} times: ${text || "no reason was given"}`, {
    where: job.id,
  });
}
