/** What a page says of itself when it joins, and how it is started. Shared by both sides. */
import { z } from "zod";

export const providers = ["wasm", "webgpu"] as const;
export type WebProvider = (typeof providers)[number];

const text = z.string().max(300);

/** First message of a page. */
export const helloSchema = z.object({
  ready: z.literal(true),
  protocol: z.number().int(),
  runtime: z.object({ package: text, version: text, provider: text }),
  clockMs: z.number().nonnegative(),
  page: z.object({
    provider: z.enum(providers),
    /** Threads that really run: 1 without cross-origin isolation. */
    threads: z.number().int().min(1).max(256),
    userAgent: text,
    cores: z.number().int().min(1).max(4096),
    /** Rounded by the browser, and absent in an insecure context. */
    memoryBytes: z.number().positive().nullable(),
    isolated: z.boolean(),
    secure: z.boolean(),
    /** WebGPU's adapter, where that is what computes. */
    adapter: z.object({ vendor: text, architecture: text, isFallback: z.boolean() }).nullable(),
  }),
});
export type Hello = z.infer<typeof helloSchema>;

/** The page could not start the runtime. */
export const refusalSchema = z.object({ ready: z.literal(false), error: z.object({ code: text, message: text }) });

/** What the page tells its worker. */
export interface Setup {
  /** Address of the hub's socket, token included. */
  socket: string;
  provider: WebProvider;
  threads: number;
}

/** What the worker tells its page, for people to see. */
export type Status =
  | { state: "starting" | "joined" | "lost" }
  | { state: "failed"; reason: string }
  | { state: "working"; what: string; done: number }
  | { state: "measured"; p50Ms: number; p95Ms: number; samples: number };
