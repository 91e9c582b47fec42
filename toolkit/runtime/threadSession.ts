/**
 * A session in a thread of its own, so that this one can read and prepare data while the runtime works: onnxruntime-node
 * holds the calling thread for the length of a run.
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { type ErrorFacts, ModelError } from "../graph/errors.js";
import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/tensor.js";
import { writeModel } from "../onnx/index.js";
import type { Session, SessionOptions, SessionValue } from "./session.js";

/** What the thread is started with. */
export interface ThreadStart {
  bytes: Uint8Array;
  options: SessionOptions;
}

export type ToThread =
  | { type: "run"; feeds: Record<string, Tensor>; outputs: readonly string[] | undefined }
  | { type: "close" };

export type FromThread =
  | { type: "open"; inputs: readonly SessionValue[]; outputs: readonly SessionValue[] }
  | { type: "results"; results: Record<string, Tensor> }
  | { type: "error"; message: string; facts: ErrorFacts }
  | { type: "bug"; message: string };

/** Like `openSession`, in a thread of its own. Runs are served one after the other. */
export async function openThreadSession(model: Graph | Uint8Array, o: SessionOptions = {}): Promise<Session> {
  const start: ThreadStart = { bytes: model instanceof Uint8Array ? model : writeModel(model), options: o };
  const worker = new Worker(entry(), { workerData: start, execArgv: [] });
  const answer = answersOf(worker);
  const opened = await answer();
  if (opened.type !== "open") throw await failure(worker, opened);
  let last: Promise<unknown> = Promise.resolve();
  let open = true;
  const run = async (
    feeds: Record<string, Tensor>,
    outputs: readonly string[] | undefined,
  ): Promise<Record<string, Tensor>> => {
    worker.postMessage({ type: "run", feeds, outputs } satisfies ToThread);
    const m = await answer();
    if (m.type !== "results") throw errorOf(m);
    return m.results;
  };
  return {
    inputs: opened.inputs,
    outputs: opened.outputs,
    run(feeds, outputs) {
      if (!open) throw new Error("this session was disposed of already: this is a bug in edgefit, please report it");
      const result = last.then(() => run(feeds, outputs));
      last = result.catch(() => {}); // the caller of that run hears of it
      return result;
    },
    async dispose() {
      if (!open) return;
      open = false;
      await last;
      const gone = new Promise((resolve) => worker.once("exit", resolve));
      worker.postMessage({ type: "close" } satisfies ToThread);
      await gone;
    },
  };
}

/** The thread's program. From source it is TypeScript, for which a thread needs the loader registered anew. */
function entry(): URL {
  const here = fileURLToPath(import.meta.url);
  if (!here.endsWith(".ts")) return pathToFileURL(join(here, "../sessionThread.js"));
  const loader = pathToFileURL(
    createRequire(import.meta.url)
      .resolve("tsx/esm/api")
      .replace(/cjs$/, "mjs"),
  ).href;
  const program = pathToFileURL(join(here, "../sessionThread.ts")).href;
  const text = `import { register } from ${JSON.stringify(loader)}; register(); await import(${JSON.stringify(program)});`;
  return new URL(`data:text/javascript,${encodeURIComponent(text)}`);
}

/** The next message of the thread; its end and its failures come as messages too. */
function answersOf(worker: Worker): () => Promise<FromThread> {
  const messages: FromThread[] = [];
  let waiting: ((m: FromThread) => void) | undefined;
  const put = (m: FromThread): void => {
    if (!waiting) {
      messages.push(m);
      return;
    }
    waiting(m);
    waiting = undefined;
  };
  worker.on("message", put);
  worker.on("error", (e) => put({ type: "bug", message: e.message }));
  worker.on("exit", (code) => code !== 0 && put({ type: "bug", message: `it ended with status ${code}` }));
  return () =>
    new Promise((resolve) => {
      const m = messages.shift();
      if (m) resolve(m);
      else waiting = resolve;
    });
}

function errorOf(m: FromThread): Error {
  if (m.type === "error") return new ModelError(m.facts.code, m.message, m.facts);
  return new Error(`the runtime's thread failed: ${m.type === "bug" ? m.message : `it answered "${m.type}"`}`);
}

async function failure(worker: Worker, m: FromThread): Promise<Error> {
  await worker.terminate();
  return errorOf(m);
}
