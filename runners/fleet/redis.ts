/** The connection to Redis, and the parts of BullMQ that are used. Both are loaded only when a queue is named. */
import type { ConnectionOptions } from "bullmq";
import type { Redis } from "ioredis";
import { DeviceError } from "../errors.js";

/** In front of every key, so that edgefit can share a server. */
export const PREFIX = "edgefit";

export interface QueueAddress {
  /** `redis://` or `rediss://` (TLS), with user and password if there are any. */
  url: string;
}

/** The address without its password, for texts. */
export function withoutPassword(url: string): string {
  const parsed = new URL(url);
  if (parsed.password) parsed.password = "***";
  return parsed.href;
}

/** Checks an address as a user gives it. Throws DeviceError `queue-address`. */
export function parseQueue(text: string): QueueAddress {
  const fail = (reason: string): never => {
    throw new DeviceError("queue-address", `this is no address of a queue: ${reason}`, {
      where: "--queue",
      hint: "use redis://HOST:PORT, redis://USER:PASSWORD@HOST:PORT, or rediss://... for TLS",
    });
  };
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return fail("it cannot be read as a URL");
  }
  if (url.protocol !== "redis:" && url.protocol !== "rediss:") fail(`it begins with ${url.protocol}`);
  if (!url.hostname) fail("it names no host");
  return { url: url.href };
}

/** Options for BullMQ: commands wait for a server that is being restarted instead of failing. */
export function connectionOf(address: QueueAddress): ConnectionOptions {
  const url = new URL(address.url);
  return {
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: Number(url.port || 6379),
    ...(url.username ? { username: decodeURIComponent(url.username) } : {}),
    ...(url.password ? { password: decodeURIComponent(url.password) } : {}),
    ...(url.pathname.length > 1 ? { db: Number(url.pathname.slice(1)) } : {}),
    ...(url.protocol === "rediss:" ? { tls: { servername: url.hostname } } : {}),
    maxRetriesPerRequest: null,
    retryStrategy: (attempt: number) => Math.min(100 * 2 ** Math.min(attempt, 6), 3000),
  };
}

/** How long a server may take to answer the first time. */
const FIRST_ANSWER_MS = 5_000;

/** Opens a connection and asks it for a sign of life. Throws DeviceError `queue-unreachable` or `queue-refused`, without the password. */
export async function openRedis(address: QueueAddress): Promise<Redis> {
  const { Redis } = await import("ioredis");
  const redis = new Redis({ ...(connectionOf(address) as object), lazyConnect: true });
  let last: Error | undefined;
  redis.on("error", (error: Error) => {
    last = error;
  });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(last ?? new Error("no answer")), FIRST_ANSWER_MS);
  });
  try {
    await Promise.race([redis.ping(), late]);
    return redis;
  } catch (cause) {
    redis.disconnect();
    const reason = (cause as Error).message || String(cause);
    const refused = /NOAUTH|WRONGPASS|NOPERM|invalid password/i.test(reason);
    throw new DeviceError(
      refused ? "queue-refused" : "queue-unreachable",
      refused ? "the queue's server refuses user or password" : `the queue's server cannot be reached: ${reason}`,
      {
        where: withoutPassword(address.url),
        hint: refused ? "check user and password in the address" : "is Redis running there, and is the port open?",
        cause,
      },
    );
  } finally {
    clearTimeout(timer);
  }
}

/** BullMQ, loaded on first use. */
export const bullmq = (): Promise<typeof import("bullmq")> => import("bullmq");

/** Name of the queue that any device of a class serves. */
export const classQueue = (name: string): string => `class.${name}`;
/** Name of the queue of one device alone. */
export const deviceQueue = (id: string): string => `device.${id}`;
/** Name of the queue of machines that train and evaluate. */
export const MACHINES = "machines";
