/** Which devices there are: every worker announces its devices in Redis and keeps saying that they are there. */
import type { Redis } from "ioredis";
import { z } from "zod";
import { DeviceError } from "../errors.js";
import type { DeviceFacts } from "../runner.js";
import { PREFIX } from "./redis.js";

/** A class or device as it may be named: part of a queue's name. */
export const nameSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, "a name has lower-case letters, digits, dots and dashes, 64 at most");

const factsSchema = z.custom<DeviceFacts>((f) => {
  const facts = f as DeviceFacts | null;
  return typeof facts === "object" && facts !== null && typeof facts.id === "string" && !!facts.runtime;
}, "no facts of a device");

/** What decides whether two measurements of one class may stand side by side. */
const versionsSchema = z.strictObject({
  edgefit: z.string(),
  protocol: z.number().int(),
  runtime: z.string(),
  provider: z.string(),
});
export type Versions = z.infer<typeof versionsSchema>;

const announcementSchema = z.strictObject({
  id: nameSchema,
  class: nameSchema,
  facts: factsSchema,
  versions: versionsSchema,
  since: z.number(),
  /** `busy`: a job is on it. `paused`: it asked for a rest. */
  state: z.enum(["ready", "busy", "paused"]),
  done: z.number().int().nonnegative(),
  failed: z.number().int().nonnegative(),
});
export type Announcement = z.infer<typeof announcementSchema>;

/** A device that has not been heard of for this long is gone. */
const ALIVE_MS = 15_000;
const BEAT_MS = 4_000;

const deviceKey = (id: string) => `${PREFIX}:fleet:device:${id}`;
const classKey = (name: string) => `${PREFIX}:fleet:class:${name}`;
const INDEX = `${PREFIX}:fleet:devices`;
const BLOBS = `${PREFIX}:fleet:blobs`;

/** Every device that was heard of lately, by class and id. */
export async function listDevices(redis: Redis): Promise<Announcement[]> {
  const ids = await redis.zrange(INDEX, "0", "-1");
  if (ids.length === 0) return [];
  const texts = await redis.mget(ids.map(deviceKey));
  const lost = ids.filter((_, i) => texts[i] === null);
  if (lost.length > 0) await redis.zrem(INDEX, ...lost);
  return texts
    .filter((t) => t !== null)
    .map((t) => announcementSchema.parse(JSON.parse(t)))
    .sort((a, b) => (a.class + a.id < b.class + b.id ? -1 : 1));
}

/** What a worker says of a device while it has it. */
export interface Presence {
  /** Changes what is said; sent at once. */
  update(change: Partial<Pick<Announcement, "state" | "done" | "failed">>): Promise<void>;
  /** The device leaves. */
  leave(): Promise<void>;
}

/**
 * Announces a device. Throws DeviceError `class-versions` when devices of the class that are there run other versions: their times do not
 * belong into one table.
 */
export async function announce(
  redis: Redis,
  device: Omit<Announcement, "since" | "state" | "done" | "failed">,
): Promise<Presence> {
  nameSchema.parse(device.id);
  nameSchema.parse(device.class);
  await claimClass(redis, device);
  let said: Announcement = { ...device, since: Date.now(), state: "ready", done: 0, failed: 0 };
  let left = false;
  const say = async (): Promise<void> => {
    if (left) return;
    await redis
      .multi()
      .set(deviceKey(said.id), JSON.stringify(said), "PX", ALIVE_MS)
      .zadd(INDEX, Date.now(), said.id)
      .exec();
  };
  await say();
  const beat = setInterval(() => void say().catch(() => {}), BEAT_MS); // a beat that is missed while Redis restarts is followed by another
  beat.unref();
  return {
    async update(change) {
      said = { ...said, ...change };
      await say();
    },
    async leave() {
      left = true;
      clearInterval(beat);
      await redis.multi().del(deviceKey(said.id)).zrem(INDEX, said.id).exec();
    },
  };
}

async function claimClass(redis: Redis, device: Pick<Announcement, "id" | "class" | "versions">): Promise<void> {
  const key = classKey(device.class);
  const mine = JSON.stringify(device.versions);
  if (await redis.set(key, mine, "NX")) return;
  const text = await redis.get(key);
  if (text === mine) return;
  const others = (await listDevices(redis)).filter((d) => d.class === device.class && d.id !== device.id);
  const different = others.find((d) => JSON.stringify(d.versions) !== mine);
  if (!different) {
    await redis.set(key, mine);
    return;
  }
  const words = (Object.keys(device.versions) as (keyof Versions)[])
    .filter((k) => device.versions[k] !== different.versions[k])
    .map((k) => `${k} ${device.versions[k]} where ${different.id} has ${different.versions[k]}`);
  throw new DeviceError(
    "class-versions",
    `this device cannot join class ${device.class}, whose devices run other versions`,
    {
      where: `${device.id}: ${words.join(", ")}`,
      hint: "bring all devices of a class to the same versions, or give this one a class of its own",
    },
  );
}

/** Where a hub keeps models and data for everyone on this queue. */
export interface BlobPlace {
  url: string;
  token: string;
}
const placeSchema = z.strictObject({ url: z.url({ protocol: /^https?$/ }), token: z.string().min(8) });

/** Says where blobs are kept, for those who join after. */
export async function offerBlobs(redis: Redis, place: BlobPlace): Promise<void> {
  await redis.set(BLOBS, JSON.stringify(placeSchema.parse(place)));
}

/** Where blobs are kept. Throws DeviceError `blobs-unknown` where no hub has said so. */
export async function findBlobs(redis: Redis): Promise<BlobPlace> {
  const text = await redis.get(BLOBS);
  if (text === null) {
    throw new DeviceError("blobs-unknown", "nothing on this queue keeps models and data yet", {
      hint: "start a hub first (edgefit hub --queue URL), or name a shared folder with --blobs DIR",
    });
  }
  return placeSchema.parse(JSON.parse(text));
}
