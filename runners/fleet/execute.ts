/** Does one job on a device: opens its models, does the work, closes them, keeps the answer. */
import { z } from "zod";
import { DeviceError } from "../errors.js";
import type { DeviceRunner, Feeds, LoadedModel } from "../runner.js";
import { decodeMessage, encodeMessage } from "../wire.js";
import type { BlobStore } from "./blobs.js";
import type { DeviceJob } from "./jobs.js";

/** The answer of a job as it is kept: what the models said of themselves, and what the work gave. */
export interface DeviceAnswer {
  loaded: LoadedModel[];
  value: unknown;
}

const feedsSchema = z.record(
  z.string(),
  z.object({ elemType: z.string(), dims: z.array(z.number()), data: z.custom<ArrayBufferView>(ArrayBuffer.isView) }),
);

/** Inputs of a call as a blob, and back. The runner checks element types and sizes again before it uses them. */
export const encodeFeeds = (feeds: Feeds): Uint8Array => encodeMessage(feeds);
export function decodeFeeds(bytes: Uint8Array): Feeds {
  const feeds = feedsSchema.safeParse(decodeMessage(bytes));
  if (!feeds.success) throw new DeviceError("job-malformed", "the inputs of a job are not well formed");
  return feeds.data as unknown as Feeds;
}

/** Runs the job and returns the hash of its answer. Whatever the runner throws passes through, once the models are closed. */
export async function executeDeviceJob(runner: DeviceRunner, job: DeviceJob, blobs: BlobStore): Promise<string> {
  const loaded: LoadedModel[] = [];
  let closed = false;
  try {
    for (const { bytes, ...options } of job.models) {
      loaded.push(await runner.load(await blobs.get(bytes), options));
    }
    const value = await workOf(runner, job, loaded, blobs);
    if (job.work.type === "profile") closed = true; // a profiled model is unloaded by its profile
    return await blobs.put(encodeMessage({ loaded, value } satisfies DeviceAnswer));
  } finally {
    if (!closed) await Promise.allSettled(loaded.map(({ id }) => runner.unload(id)));
  }
}

async function workOf(
  runner: DeviceRunner,
  { work }: DeviceJob,
  loaded: readonly LoadedModel[],
  blobs: BlobStore,
): Promise<unknown> {
  switch (work.type) {
    case "load":
      return null;
    case "run":
      return runner.run(loaded[0].id, decodeFeeds(await blobs.get(work.feeds)));
    case "profile":
      return runner.profile(loaded[0].id, decodeFeeds(await blobs.get(work.feeds)), work.calls, work.warmup);
    case "measure": {
      const { type: _, feeds, ...settings } = work;
      const models = [];
      for (const [i, hash] of feeds.entries())
        models.push({ id: loaded[i].id, feeds: decodeFeeds(await blobs.get(hash)) });
      return runner.measure({ ...settings, models });
    }
  }
}
