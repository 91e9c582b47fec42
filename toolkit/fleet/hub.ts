/** A hub on a queue: it keeps models and data for everyone, and lends the devices that join it. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import {
  cachedBlobs,
  folderBlobs,
  lendHub,
  offerBlobs,
  openRedis,
  parseQueue,
  serveBlobs,
} from "../../runners/fleet/index.js";
import { type StartedHub, type StartOptions, startHub } from "../../runners/hub/run.js";
import { defaultCacheDir } from "../latency/index.js";
import { toolVersion } from "../version.js";

export interface QueueHubOptions extends StartOptions {
  queue: string;
  /** Where models and data are kept. Default: `blobs` in the cache folder. */
  blobs?: string;
  /** Class of all its devices. Default: made of each device's system, runtime and threads. */
  class?: string;
  onNote?(text: string): void;
}

/** Starts hub, server of blobs and lending. Throws DeviceError where Redis or the hub's address cannot be had. */
export async function startQueueHub(o: QueueHubOptions): Promise<StartedHub> {
  const address = parseQueue(o.queue);
  const redis = await openRedis(address);
  let hub: StartedHub | undefined;
  try {
    const store = folderBlobs(o.blobs ?? join(defaultCacheDir(), "blobs"));
    const token = randomBytes(24).toString("base64url");
    const started = await startHub({ ...o, extend: (app) => serveBlobs(app, store, token) });
    hub = started;
    await offerBlobs(redis, { url: started.origin, token });
    const lending = lendHub({
      address,
      redis,
      blobs: cachedBlobs(store),
      devices: started.devices,
      version: toolVersion(),
      hub: `hub-${process.pid}`,
      ...(o.class ? { class: o.class } : {}),
      ...(o.onNote ? { onNote: o.onNote } : {}),
    });
    return {
      ...started,
      async close() {
        await lending.close();
        await started.close();
        redis.disconnect();
      },
    };
  } catch (error) {
    await hub?.close();
    redis.disconnect();
    throw error;
  }
}
