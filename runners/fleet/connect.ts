/** What everyone on a queue needs: the connection, and the place where models and data are kept. */

import { httpBlobs } from "./blobServer.js";
import { type BlobStore, cachedBlobs, folderBlobs } from "./blobs.js";
import { openRedis, parseQueue, type QueueAddress } from "./redis.js";
import { findBlobs } from "./registry.js";

export interface QueueOptions {
  /** `redis://` or `rediss://`. */
  queue: string;
  /** Folder that everyone on the queue can see. Default: the server that a hub offers. */
  blobs?: string;
}

export interface Fleet {
  address: QueueAddress;
  redis: Awaited<ReturnType<typeof openRedis>>;
  blobs: BlobStore;
  close(): void;
}

/** Connects. Throws DeviceError where Redis is not there, refuses, or where nothing keeps blobs. */
export async function connect(o: QueueOptions): Promise<Fleet> {
  const address = parseQueue(o.queue);
  const redis = await openRedis(address);
  try {
    const place = o.blobs === undefined ? await findBlobs(redis) : undefined;
    const store = place ? httpBlobs(place.url, place.token) : folderBlobs(o.blobs!);
    return { address, redis, blobs: cachedBlobs(store), close: () => redis.disconnect() };
  } catch (error) {
    redis.disconnect();
    throw error;
  }
}
