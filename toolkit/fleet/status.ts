/** What is going on in a queue: devices, work that waits, runs, is done or parked, and how long the rest will take. */
import type { Queue } from "bullmq";
import {
  type Announcement,
  classQueue,
  deviceQueue,
  listDevices,
  MACHINES,
  openRedis,
  PREFIX,
  parseQueue,
} from "../../runners/fleet/index.js";
import { bullmq, connectionOf } from "../../runners/fleet/redis.js";

export interface QueueCounts {
  /** `machines`, `class NAME` or `device NAME`. */
  name: string;
  waiting: number;
  active: number;
  /** Waiting for their next try. */
  delayed: number;
  done: number;
  /** Parked after all tries. */
  failed: number;
  workers: number;
  /** Jobs that ended in the last minutes, per minute; null before the first. */
  perMinute: number | null;
  /** Until what waits and runs is done at that pace; null where nothing is known. */
  etaSeconds: number | null;
  /** The parked jobs' errors, newest first. */
  errors: { id: string; message: string }[];
}

export interface QueueStatus {
  devices: Announcement[];
  queues: QueueCounts[];
}

/** Jobs whose ends the pace is taken from. */
const RECENT = 50;
/** Older ends say nothing of the pace now. */
const WINDOW_MS = 10 * 60_000;
const SHOWN_ERRORS = 5;

/** Reads the state of everything on the queue. Throws DeviceError where Redis cannot be had. */
export async function queueStatus(queue: string): Promise<QueueStatus> {
  const address = parseQueue(queue);
  const redis = await openRedis(address);
  const open: Queue[] = [];
  try {
    const devices = await listDevices(redis);
    const found = await redis.keys(`${PREFIX}:*:meta`);
    const known = found.map((key) => key.slice(PREFIX.length + 1, -":meta".length));
    const names = new Set([...known, ...devices.flatMap((d) => [classQueue(d.class), deviceQueue(d.id)])]);
    const { Queue } = await bullmq();
    const queues: QueueCounts[] = [];
    for (const name of [...names].sort()) {
      const one = new Queue(name, { connection: connectionOf(address), prefix: PREFIX });
      one.on("error", () => {});
      open.push(one);
      queues.push(await countsOf(one, name));
    }
    return {
      devices,
      queues: queues.filter((q) => q.workers > 0 || q.waiting + q.active + q.delayed + q.done + q.failed > 0),
    };
  } finally {
    await Promise.allSettled(open.map((q) => q.close()));
    redis.disconnect();
  }
}

async function countsOf(queue: Queue, name: string): Promise<QueueCounts> {
  const c = await queue.getJobCounts(
    "waiting",
    "prioritized",
    "active",
    "delayed",
    "completed",
    "failed",
    "waiting-children",
  );
  const ends = (await queue.getJobs(["completed"], 0, RECENT - 1)).flatMap((j) =>
    j?.finishedOn ? [j.finishedOn] : [],
  );
  const parked = await queue.getJobs(["failed"], 0, SHOWN_ERRORS - 1);
  const now = Date.now();
  const recent = ends.filter((t) => now - t < WINDOW_MS);
  const spanMs = recent.length > 0 ? now - Math.min(...recent) : 0;
  const perMinute = recent.length > 1 ? (60_000 * recent.length) / spanMs : null;
  const open = c.waiting + c.prioritized + c.active + c.delayed;
  return {
    name: name === MACHINES ? name : name.replace(".", " "),
    waiting: c.waiting + c.prioritized,
    active: c.active,
    delayed: c.delayed,
    done: c.completed,
    failed: c.failed,
    workers: (await queue.getWorkers()).length,
    perMinute,
    etaSeconds: perMinute === null || open === 0 ? null : (60 * open) / perMinute,
    errors: parked
      .filter(Boolean)
      .map((j) => ({ id: (j.id ?? "").slice(0, 12), message: sentenceOf(j.failedReason ?? "") })),
  };
}

/** Workers park errors as JSON. */
function sentenceOf(text: string): string {
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    return typeof message === "string" ? message : text;
  } catch {
    return text;
  }
}
