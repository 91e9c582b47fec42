/**
 * Runs of a comparison on disk, each in a folder named after everything that decides its result. A finished run is read back; one that was
 * stopped goes on from the checkpoints of its trainings, with the measurements that it had taken.
 */
import { createHash } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Graph } from "./graph/graph.js";
import { readCached, structuralHash, writeCached } from "./latency/index.js";
import type { MethodResult } from "./methods/index.js";
import { readModelFile, writeModelFile } from "./onnx/index.js";

export interface StoredRun {
  folder: string;
  /** What an earlier call finished. */
  finished(): Promise<MethodResult | undefined>;
  finish(r: MethodResult): Promise<void>;
  /** A measurement that is taken once per shape of net, so that a run that goes on chooses what it chose before. */
  remember(measure: (g: Graph) => Promise<number>): (g: Graph) => Promise<number>;
  /** Throws away what an unfinished run left. */
  restart(): Promise<void>;
}

/** Everything that decides a result, in words and numbers. */
export type RunKey = Readonly<Record<string, unknown>>;

const RESULT = "result.json";
const NET = "net.onnx";
const MEASURED = "measured.json";

/** The run of a method with a key, in a folder of its own under `folder`. */
export async function openRun(folder: string, method: string, key: RunKey): Promise<StoredRun> {
  const hash = createHash("sha256").update(JSON.stringify(key)).digest("hex").slice(0, 12);
  const own = join(folder, `${method}-${hash}`);
  await mkdir(own, { recursive: true });
  await writeCached(own, "settings.json", encode(key));
  return {
    folder: own,
    async finished() {
      const text = await readCached(join(own, RESULT));
      if (text === undefined) return undefined;
      const { widths, ...rest } = JSON.parse(text) as Omit<MethodResult, "graph" | "widths"> & {
        widths?: [string, number][];
      };
      const graph = await readModelFile(join(own, NET));
      return { ...rest, graph, ...(widths ? { widths: new Map(widths) } : {}) };
    },
    async finish({ graph, widths, ...rest }) {
      await writeModelFile(join(own, NET), graph);
      const stored = { ...rest, ...(widths ? { widths: [...widths] } : {}) };
      await writeCached(own, RESULT, encode(stored));
    },
    remember(measure) {
      return async (g) => {
        const known = JSON.parse((await readCached(join(own, MEASURED))) ?? "{}") as Record<string, number>;
        const shape = structuralHash(g);
        if (known[shape] !== undefined) return known[shape];
        const value = await measure(g);
        await writeCached(own, MEASURED, encode({ ...known, [shape]: value }));
        return value;
      };
    },
    async restart() {
      await rm(own, { recursive: true });
      await mkdir(own, { recursive: true });
      await writeCached(own, "settings.json", encode(key));
    },
  };
}

const encode = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
