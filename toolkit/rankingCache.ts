/** Rankings kept between runs: they depend on the model, the images and the settings, and on no device. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import * as z from "zod";
import type { Tensor } from "./graph/tensor.js";
import { readCached, writeCached } from "./latency/index.js";
import type { Ranking } from "./ranking.js";

/** Raised whenever a ranking of the same inputs may come out differently. */
const RANKING_VERSION = 3;

const schema = z.object({
  orders: z.record(z.string(), z.array(z.number().int().nonnegative())),
  losses: z.record(
    z.string(),
    z.object({ widths: z.array(z.number().int().nonnegative()), loss: z.array(z.number().nonnegative()) }),
  ),
});

export interface RankingKey {
  /** Of the model file. */
  sha256: string;
  /** With its seed, where it draws by chance. */
  criterion: string;
  candidates: ReadonlyMap<string, readonly number[]>;
  calibration: readonly Tensor[];
  labels: readonly Int32Array[];
  heldBack: readonly Tensor[];
}

/** Name of the file that holds the ranking of these inputs: a hash over every one of them, image values included. */
export function rankingFile(k: RankingKey): string {
  const hash = createHash("sha256");
  hash.update(JSON.stringify([RANKING_VERSION, k.sha256, k.criterion, [...k.candidates], k.labels.map((l) => [...l])]));
  for (const t of [...k.calibration, ...k.heldBack]) {
    const data = t.data as Float32Array;
    hash.update(JSON.stringify(t.dims));
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return `ranking-${hash.digest("hex").slice(0, 24)}.json`;
}

/** The ranking in that file; undefined when there is none. A file that does not fit the schema is measured anew. */
export async function readRanking(folder: string, name: string): Promise<Ranking | undefined> {
  const text = await readCached(join(folder, name));
  if (text === undefined) return undefined;
  const parsed = schema.safeParse(parseJson(text));
  if (!parsed.success) return undefined;
  return {
    orders: new Map(Object.entries(parsed.data.orders).map(([id, order]) => [id, Int32Array.from(order)])),
    losses: new Map(Object.entries(parsed.data.losses)),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Keeps a ranking under that name. */
export async function writeRanking(folder: string, name: string, r: Ranking): Promise<void> {
  const plain = {
    orders: Object.fromEntries([...r.orders].map(([id, order]) => [id, [...order]])),
    losses: Object.fromEntries(r.losses),
  };
  await writeCached(folder, name, JSON.stringify(plain));
}
