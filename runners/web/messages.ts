/** What a page and its worker tell each other. */
import type { FromHost, FromWorker } from "../protocol.js";
import type { Hello, WebProvider } from "./hello.js";

/** What the page tells its worker first. */
export interface Setup {
  provider: WebProvider;
  threads: number;
  /** Nobody is there to wait for a cool device: a headless browser. */
  unattended: boolean;
  /** A sample takes at least this long: shorter calls are timed several at a time. */
  minSampleMs: number;
}

/** And later: requests of the hub, and what a person or the system does. */
export type ToWorker = { setup: Setup } | { message: FromHost } | { hidden: boolean } | { goOn: true };

/** How a job goes, for the screen and the hub. */
export interface Live {
  p50Ms: number;
  p95Ms: number;
  /** Latest samples, oldest first, in milliseconds. */
  recent: number[];
  samples: number;
  /** Share of the job, 0..1. */
  done: number;
}

/** What the worker tells its page. */
export type FromPageWorker =
  | { started: Pick<Hello, "runtime" | "clockMs"> & { threads: number } }
  | { failed: { code: string; message: string } }
  | { answer: FromWorker }
  | { alive: true }
  | { live: Live }
  /** The reference computation: `slower` by this share than at its best. */
  | { pace: { slower: number; waiting: boolean } };
