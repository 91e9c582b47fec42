/** Whether an answer of a device can be true. What comes from a socket is checked before a story builds on it. */
import { z } from "zod";
import { DeviceError } from "../errors.js";
import { type Request, tensorSchema } from "../protocol.js";
import type { Measurement, NodeProfile } from "../runner.js";
import { helloSchema } from "../web/hello.js";

const finite = z.number().nonnegative().finite();
const bytes = z.number().nonnegative().finite();
const times = z
  .custom<Float64Array>((v) => v instanceof Float64Array, "no list of times")
  .refine((v) => v.length > 0, "an empty list of times")
  .refine((v) => v.every((t) => Number.isFinite(t) && t >= 0), "a time that is negative or no number");
const value = z.object({
  name: z.string(),
  elemType: z.string(),
  dims: z.array(z.union([z.number(), z.string()])),
});

const schemas = {
  load: z.object({
    id: z.number().int(),
    initMs: finite,
    inputs: z.array(value),
    outputs: z.array(value),
    residentBytes: z.object({ before: bytes, after: bytes }).nullable(),
  }),
  run: z.record(z.string(), tensorSchema),
  measure: z.array(
    z.object({
      model: z.number().int(),
      firstRunMs: finite,
      warmups: z.number().int().nonnegative(),
      samplesMs: times,
      callsPerSample: z.number().int().positive(),
      drift: z.number().finite(),
      saturation: z.enum(["zero-dominated", "low-distinct", "zero-mad"]).nullable(),
      stopped: z.enum(["enough", "cap"]),
      peakMemoryBytes: bytes.nullable(),
    }),
  ),
  profile: z.object({
    nodes: z.array(
      z.object({
        name: z.string(),
        opType: z.string(),
        provider: z.string(),
        inputDims: z.array(z.array(z.number())),
        outputDims: z.array(z.array(z.number())),
        durationsUs: times,
      }),
    ),
    callsUs: times,
  }),
  unload: z.undefined().or(z.null()),
  configure: helloSchema,
} as const satisfies Record<Request["type"], z.ZodType>;

/** Clocks of two machines differ a little, and a coarse one rounds. */
const CLOCK_SHARE = 1.1;
const CLOCK_MS = 200;

/**
 * Throws DeviceError `device-nonsense`, naming the device and what is wrong: a missing field, a time that is no number, or
 * more time measured than has passed here between question and answer.
 */
export function checkAnswer(device: string, request: Request, answer: unknown, elapsedMs: number): void {
  const refuse = (what: string): never => {
    throw new DeviceError("device-nonsense", `${device} answered "${request.type}" with ${what}`, {
      hint: "its runtime or its clock is broken; nothing of this answer was used",
    });
  };
  const parsed = schemas[request.type].safeParse(answer);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0];
    refuse(`nonsense at ${path.join(".") || "its top"}: ${message}`);
  }
  const claimedMs = request.type === "measure" ? measuredMs(answer as Measurement[]) : profiledMs(request, answer);
  if (claimedMs > elapsedMs * CLOCK_SHARE + CLOCK_MS)
    refuse(`${seconds(claimedMs)} of measured time, ${seconds(elapsedMs)} after it was asked`);
  if (request.type === "measure") {
    const asked = request.models.map((m) => m.id).join();
    const got = (answer as Measurement[]).map((m) => m.model).join();
    if (asked !== got) refuse(`the models ${got || "none"}, asked were ${asked}`);
  }
}

const sum = (a: Float64Array): number => a.reduce((x, y) => x + y, 0);

const measuredMs = (rows: readonly Measurement[]): number =>
  rows.reduce((total, m) => total + sum(m.samplesMs) * m.callsPerSample, 0);

const profiledMs = (request: Request, answer: unknown): number =>
  request.type === "profile" ? sum((answer as NodeProfile).callsUs) / 1000 : 0;

const seconds = (ms: number): string => `${(ms / 1000).toPrecision(3)} s`;
