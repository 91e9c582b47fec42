/**
 * The messages between a host and the process that owns the runtime. They travel by structured clone (typed arrays and all);
 * the receiving side checks every request against this schema, so that it fails with a sentence and not deep in the runtime.
 */
import { z } from "zod";
import type { ErrorData } from "./errors.js";
import type { LoadedModel, Measurement, NodeProfile, WireTensor } from "./runner.js";
import type { Hello, Note } from "./web/hello.js";

/** Raised whenever a message changes its meaning; both sides must agree. */
export const PROTOCOL_VERSION = 1;

const storage = {
  float32: Float32Array,
  int64: BigInt64Array,
  int32: Int32Array,
  uint8: Uint8Array,
  int8: Int8Array,
  bool: Uint8Array,
  float64: Float64Array,
  uint16: Uint16Array,
} as const satisfies Record<WireTensor["elemType"], unknown>;

/** Whether `data` is stored as element type `elemType` is on the wire. */
export const storedAs = (elemType: string, data: unknown): elemType is WireTensor["elemType"] =>
  elemType in storage && data instanceof storage[elemType as WireTensor["elemType"]];

const size = z.number().int().nonnegative();
const count = z.number().int().positive();
const elemType = z.custom<WireTensor["elemType"]>(
  (e) => typeof e === "string" && e in storage,
  "no element type that can travel",
);
/** A tensor that came in. */
export const tensorSchema = z
  .object({
    elemType,
    dims: z.array(size),
    data: z.custom<WireTensor["data"]>((d) => ArrayBuffer.isView(d)),
  })
  .refine((t) => storedAs(t.elemType, t.data), "the data is not stored as its element type asks")
  .refine(
    (t) => t.dims.reduce((a, b) => a * b, 1) === t.data.length,
    "the dims do not multiply to the number of elements",
  );
const feeds = z.record(z.string(), tensorSchema);
const model = z.number().int();
const level = z.enum(["disabled", "basic", "extended", "layout", "all"]);

const requestSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("load"),
    bytes: z.custom<Uint8Array>((b) => b instanceof Uint8Array, "the model is no byte array"),
    threads: count,
    graphOptimizationLevel: level,
    profiling: z.boolean(),
  }),
  z.object({ type: z.literal("run"), model, feeds }),
  z.object({
    type: z.literal("measure"),
    models: z.array(z.object({ id: model, feeds })).min(1),
    warmup: size.optional(),
    minWarmupMs: z.number().nonnegative().optional(),
    minSamples: count.optional(),
    minTimeMs: z.number().nonnegative().optional(),
    maxTimeMs: z.number().positive().optional(),
    callsBeforeSample: size.optional(),
    intervalMs: z.number().positive().optional(),
    seed: z.number().int().optional(),
  }),
  z.object({ type: z.literal("profile"), model, feeds, calls: count, warmup: size }),
  z.object({ type: z.literal("unload"), model }),
  // Pages only: another build of the runtime; every loaded model goes.
  z.object({ type: z.literal("configure"), provider: z.enum(["wasm", "webgpu"]), threads: count }),
]);

/** What a host may ask. `abort` (names a request that is running) and `note` and `name` (for a screen) are
 * apart: they get no answer, and what a device does not know it leaves alone. */
export type Request = z.infer<typeof requestSchema>;
export type RequestOf<T extends Request["type"]> = Extract<Request, { type: T }>;

export interface Answers {
  load: LoadedModel;
  run: Record<string, WireTensor>;
  measure: Measurement[];
  profile: NodeProfile;
  unload: undefined;
  configure: Hello;
}

export type FromHost = { id: number; request: unknown } | { abort: number } | { note: Note } | { name: string };

/** First message of a worker: what it runs, or why it cannot. */
export interface Ready {
  ready: true;
  protocol: number;
  /** Which build runs; not the asked one where that has no binary, and `note` then says why. */
  engine: "native" | "wasm";
  runtime: { package: string; version: string; node: string; provider: string };
  clockMs: number;
  /** A graphics provider computes in software. */
  emulated: boolean;
  note?: string;
}
export type FromWorker =
  | Ready
  | { ready: false; error: ErrorData }
  | { id: number; ok: true; value: unknown }
  | { id: number; ok: false; error: ErrorData };

/** The request, checked. Throws an Error that names the first wrong field. */
export function parseRequest(value: unknown): Request {
  const parsed = requestSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0];
  throw new Error(`malformed request at ${path.join(".") || "its top"}: ${message}`);
}
