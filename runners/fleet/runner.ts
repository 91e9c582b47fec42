/** A device on a queue, or any of a class, behind the same interface as one on this machine. */
import { randomBytes } from "node:crypto";
import type { Redis } from "ioredis";
import { z } from "zod";
import { DeviceError } from "../errors.js";
import type {
  DeviceFacts,
  DeviceRunner,
  Feeds,
  LoadedModel,
  LoadOptions,
  Measurement,
  NodeProfile,
  WireTensor,
} from "../runner.js";
import { decodeMessage } from "../wire.js";
import type { BlobStore } from "./blobs.js";
import { type DeviceAnswer, encodeFeeds } from "./execute.js";
import { type DeviceJob, type JobModel, jobAnswerSchema } from "./jobs.js";
import { classQueue, deviceQueue, type QueueAddress } from "./redis.js";
import { type Announcement, listDevices } from "./registry.js";
import { Submitter } from "./submit.js";

export interface FleetRunnerOptions {
  address: QueueAddress;
  redis: Redis;
  blobs: BlobStore;
  /** `any` device of the class takes each job, or one device takes all. */
  target: { class: string } | { device: string };
  /** Name of the run; the same name finds again what an interrupted run measured. Default: a new one. */
  run?: string;
  /** Told, once, that nobody is there to answer. Asking goes on. */
  onWarning?(text: string): void;
}

const WAIT_MS = 20_000;

/**
 * Opens the runner. A model is sent when it is loaded, and opened on the device by every job that uses it, so that each job stands alone.
 * Throws DeviceError `fleet-empty` when no such device has ever been there, so that nothing is known of it.
 */
export async function openFleetRunner(o: FleetRunnerOptions): Promise<DeviceRunner> {
  const wanted = "class" in o.target ? `class ${o.target.class}` : `device ${o.target.device}`;
  const first = (await matching(o)).at(0);
  if (!first) {
    const others = await listDevices(o.redis);
    throw new DeviceError("fleet-empty", `no ${wanted} is on the queue`, {
      hint:
        others.length > 0
          ? `there are ${others.map((d) => `${d.id} (class ${d.class})`).join(", ")}`
          : "no device has joined yet: start edgefit hub or edgefit worker with this --queue",
    });
  }
  const facts: DeviceFacts = first.facts;
  const submitter = await Submitter.open(
    o.address,
    "class" in o.target ? classQueue(o.target.class) : deviceQueue(o.target.device),
  );
  const run = o.run ?? randomBytes(12).toString("hex");
  const models = new Map<number, JobModel>();
  const opened = new Map<string, Promise<LoadedModel>>();
  let last = 0;
  let step = 0;

  const ask = async (models: JobModel[], work: DeviceJob["work"], signal?: AbortSignal): Promise<DeviceAnswer> => {
    const job: DeviceJob = { run, step: step++, models, work };
    const watch = setInterval(async () => {
      const present = await matching(o).catch(() => undefined);
      if (present?.length === 0) o.onWarning?.(`no ${wanted} is there at the moment; its work waits on the queue`);
    }, WAIT_MS);
    watch.unref();
    try {
      const { answer } = jobAnswerSchema.parse(await submitter.ask(job, { signal, kind: work.type }));
      return answerSchema.parse(decodeMessage(await o.blobs.get(answer))) as unknown as DeviceAnswer;
    } finally {
      clearInterval(watch);
    }
  };
  const entry = (id: number) => {
    const found = models.get(id);
    if (!found) throw new DeviceError("model-unknown", `no model ${id} is loaded`);
    return found;
  };
  const put = (feeds: Feeds): Promise<string> => o.blobs.put(encodeFeeds(feeds));

  return {
    describe: async () => facts,
    async load(bytes: Uint8Array, options: LoadOptions = {}): Promise<LoadedModel> {
      const model: JobModel = { bytes: await o.blobs.put(bytes), ...options };
      const plain: JobModel = { ...model, profiling: false };
      // What a model says of itself when it is opened is asked once, however often it is loaded.
      const key = JSON.stringify(plain);
      let said = opened.get(key);
      if (!said) {
        said = ask([plain], { type: "load" }).then(({ loaded }) => loaded[0]);
        opened.set(key, said);
        said.catch(() => opened.delete(key));
      }
      const loaded = { ...(await said), id: ++last };
      models.set(loaded.id, model);
      return loaded;
    },
    async run(model: number, feeds: Feeds): Promise<Record<string, WireTensor>> {
      const { value } = await ask([entry(model)], { type: "run", feeds: await put(feeds) });
      return value as Record<string, WireTensor>;
    },
    async measure({ models: asked, ...settings }, signal): Promise<Measurement[]> {
      const feeds: string[] = [];
      for (const m of asked) feeds.push(await put(m.feeds));
      const { value } = await ask(
        asked.map((m) => entry(m.id)),
        { type: "measure", feeds, ...settings },
        signal,
      );
      return (value as Measurement[]).map((m, i) => ({ ...m, model: asked[i].id }));
    },
    async profile(model, feeds, calls, warmup, signal): Promise<NodeProfile> {
      const asked = entry(model);
      models.delete(model);
      const { value } = await ask([asked], { type: "profile", feeds: await put(feeds), calls, warmup }, signal);
      return value as NodeProfile;
    },
    async unload(model) {
      models.delete(model);
    },
    close: () => submitter.close(),
  };
}

const answerSchema = z.object({ loaded: z.array(z.object({ id: z.number() }).loose()), value: z.unknown() });

async function matching(o: Pick<FleetRunnerOptions, "redis" | "target">): Promise<Announcement[]> {
  const { target } = o;
  const devices = await listDevices(o.redis);
  return devices.filter((d) => ("class" in target ? d.class === target.class : d.id === target.device));
}
