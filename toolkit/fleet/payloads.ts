/** Jobs of `jobs.ts` as payloads of a queue and back: every kind with its schema, and which of its parts are blobs. */
import { z } from "zod";
import { type BlobStore, hashSchema } from "../../runners/fleet/blobs.js";
import type { Preprocessing } from "../data/index.js";
import type { Answer, Asked, JobKind } from "../jobs.js";
import { fetchNet, fetchSplit, splitSchema, storeNet, storeSplit } from "./parts.js";

const size = z.strictObject({ height: z.number().int().positive(), width: z.number().int().positive() });
const preprocessingSchema = z.strictObject({
  size,
  rescaleFactor: z.number(),
  imageMean: z.array(z.number()).max(16),
  imageStd: z.array(z.number()).max(16),
  channelOrder: z.enum(["rgb", "bgr", "gray"]),
  layout: z.enum(["nchw", "nhwc"]),
  resample: z.enum(["nearest", "bilinear", "bicubic", "lanczos"]),
  fit: z.enum(["stretch", "crop"]),
  resizeTo: z
    .union([z.strictObject({ shortestEdge: z.number().int().positive() }), size, z.literal("none")])
    .optional(),
}) satisfies z.ZodType<Preprocessing>;

const finetuning = {
  net: hashSchema,
  teacher: hashSchema,
  data: splitSchema,
  epochs: z.number().int().positive().max(10_000),
  seed: z.number().int(),
  learningRate: z.number().positive().optional(),
  preprocessing: preprocessingSchema.optional(),
};

/** Payloads by kind. Strict: a field that is not known is refused. */
export const payloadSchemas = {
  finetune: z.strictObject(finetuning),
  "finetune-quantized": z.strictObject({ ...finetuning, prepared: hashSchema }),
  evaluate: z.strictObject({ net: hashSchema, data: splitSchema }),
} as const satisfies Record<JobKind, z.ZodType>;
export type Payload<K extends JobKind> = z.infer<(typeof payloadSchemas)[K]>;

interface Codec<K extends JobKind> {
  store(asked: Asked<K>, blobs: BlobStore): Promise<Payload<K>>;
  fetch(payload: Payload<K>, blobs: BlobStore): Promise<Asked<K>>;
  /** The answer as a string: a hash, or a number. */
  storeAnswer(answer: Answer<K>, blobs: BlobStore): Promise<string>;
  fetchAnswer(text: string, blobs: BlobStore): Promise<Answer<K>>;
}

const net = {
  storeAnswer: (answer: Answer<"finetune">, blobs: BlobStore) => storeNet(blobs, answer),
  fetchAnswer: (text: string, blobs: BlobStore) => fetchNet(blobs, hashSchema.parse(text)),
};

export const codecs: { [K in JobKind]: Codec<K> } = {
  finetune: {
    ...net,
    store: async ({ net, teacher, data, epochs, seed, learningRate, preprocessing }, blobs) => ({
      net: await storeNet(blobs, net),
      teacher: await storeNet(blobs, teacher),
      data: await storeSplit(blobs, data),
      epochs,
      seed,
      ...(learningRate === undefined ? {} : { learningRate }),
      ...(preprocessing ? { preprocessing: preprocessingSchema.parse(preprocessing) } : {}),
    }),
    fetch: async ({ net, teacher, data, ...rest }, blobs) => ({
      net: await fetchNet(blobs, net),
      teacher: await fetchNet(blobs, teacher),
      data: fetchSplit(blobs, data),
      ...rest,
    }),
  },
  "finetune-quantized": {
    ...net,
    store: async ({ prepared, ...rest }, blobs) => ({
      ...(await codecs.finetune.store(rest, blobs)),
      prepared: await storeNet(blobs, prepared),
    }),
    fetch: async ({ prepared, ...rest }, blobs) => ({
      ...(await codecs.finetune.fetch(rest, blobs)),
      prepared: await fetchNet(blobs, prepared),
    }),
  },
  evaluate: {
    store: async ({ net, data }, blobs) => ({ net: await storeNet(blobs, net), data: await storeSplit(blobs, data) }),
    fetch: async ({ net, data }, blobs) => ({ net: await fetchNet(blobs, net), data: fetchSplit(blobs, data) }),
    storeAnswer: async (answer) => String(answer),
    fetchAnswer: async (text) => z.coerce.number().min(0).max(1).parse(text),
  },
};
