/** What a device says of itself when it joins a hub, and what pages and hubs tell each other besides requests. Shared by both sides. */
import { z } from "zod";

export const providers = ["wasm", "webgpu"] as const;
export type WebProvider = (typeof providers)[number];

const text = z.string().max(300);
const count = z.number().int().min(1).max(4096);

/** A browser's page. */
const pageSchema = z.object({
  provider: z.enum(providers),
  /** Threads that really run: 1 without cross-origin isolation. */
  threads: z.number().int().min(1).max(256),
  userAgent: text,
  cores: count,
  /** Rounded by the browser, and absent in an insecure context. */
  memoryBytes: z.number().positive().nullable(),
  isolated: z.boolean(),
  secure: z.boolean(),
  /** WebGPU's adapter, also while WebAssembly computes; null where there is none. */
  adapter: z.object({ vendor: text, architecture: text, isFallback: z.boolean() }).nullable(),
  /** null where the browser does not tell. */
  charging: z.boolean().nullable().optional(),
});

/** A program: what DeviceFacts say, apart from the runtime. */
const machineSchema = z.object({
  kind: z.enum(["node-cpu", "node-wasm", "web-wasm", "web-webgpu", "node-webgpu", "cuda", "directml", "coreml"]),
  hardware: z.object({
    cpu: text,
    cores: count,
    isa: z.array(text).max(100),
    memoryBytes: z.number().positive().nullable(),
  }),
  os: z.object({ platform: text, arch: text, release: text.nullable() }),
  conditions: z.object({
    governor: text.nullable(),
    temperatureC: z.number().nullable(),
    charging: z.boolean().nullable(),
    frequencyMHz: z.number().nonnegative().nullable().optional(),
    throttling: z.array(text).max(100).nullable().optional(),
    throttledBefore: z.array(text).max(100).nullable().optional(),
    unknown: z.array(text).max(100).optional(),
  }),
  emulated: z.boolean(),
  threads: z.number().int().min(1).max(256),
});

/** First message of a device. */
export const helloSchema = z
  .object({
    ready: z.literal(true),
    protocol: z.number().int(),
    runtime: z.object({ package: text, version: text, provider: text, node: text.optional() }),
    clockMs: z.number().nonnegative().max(1000),
    /** Who it is: an id that it keeps across restarts, so that it is known again, and a name for people. */
    device: z.object({ id: z.string().regex(/^[\w-]{8,64}$/), name: z.string().min(1).max(60).optional() }).optional(),
    /** True where signs of life (`beatSchema`) come while a request is open. */
    beats: z.boolean().optional(),
    page: pageSchema.optional(),
    machine: machineSchema.optional(),
  })
  .refine((h) => (h.page === undefined) !== (h.machine === undefined), "either page or machine");
export type Hello = z.infer<typeof helloSchema>;
export type PageHello = z.infer<typeof pageSchema>;

/** The device could not start the runtime. */
export const refusalSchema = z.object({ ready: z.literal(false), error: z.object({ code: text, message: text }) });

/** How often a device with `beats` sends one while a request is open. */
export const BEAT_MS = 2_000;

/** Sign of life of a device that works or is held up. */
export const beatSchema = z.object({
  beat: z.object({
    state: z.enum(["working", "hidden", "hot"]),
    /** Share of the request that is done, 0..1. */
    done: z.number().min(0).max(1).nullable(),
    p50Ms: z.number().positive().nullable(),
    p95Ms: z.number().positive().nullable(),
  }),
});
export type Beat = z.infer<typeof beatSchema>["beat"];

/** What the host is about, for the screen of a page: model and stage of the work. No title: the host has gone; `total` 0: no stage yet. */
export interface Note {
  title: string;
  stage: string;
  done: number;
  total: number;
}

/** Close codes of the hub's sockets (RFC 6455, 7.4.2: 4000-4999 are free for applications). */
export const CLOSED = {
  malformed: 1002,
  tooMany: 1008,
  silent: 4001,
  full: 4002,
  replaced: 4009,
  over: 4010,
  left: 4011,
} as const;
