/** One damaged file of the fuzzer: how it is made, and the way of edgefit that it goes. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { checkGraph } from "../../toolkit/graph/check.js";
import { isEdgefitError } from "../../toolkit/graph/errors.js";
import { type Graph, opsetOf, typeOf } from "../../toolkit/graph/graph.js";
import { storageOf } from "../../toolkit/graph/stored.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { externalFiles } from "../../toolkit/onnx/external.js";
import { readModel, writeModel } from "../../toolkit/onnx/index.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { RAISED_OPSET, raiseOpset } from "../../toolkit/ops/raiseOpset.js";
import { findGroups } from "../../toolkit/prune/groups.js";
import { sliceGraph } from "../../toolkit/prune/slice.js";
import { builtSeeds, EXTERNAL_BYTES, operatorSeeds, sharedSeeds } from "./fuzzSeeds.js";
import { randomKeep } from "./graphs.js";
import { Draw, mutate } from "./mutate.js";
import { type FieldNode, treeOf } from "./protoTree.js";

export interface FuzzFile {
  model: string;
  mutations: string[];
  bytes: Uint8Array;
  seed: number;
}

export interface CaseResult {
  outcome: "accepted" | "refused" | "unhandled";
  /** Code of the refusal. */
  code?: string;
  /** The refusal says that it is a bug of edgefit. */
  blamed?: boolean;
  detail?: string;
  cpuMs: number;
  /** Most memory that the process has had. */
  peakBytes: number;
}

/** Share of the files that start from third-party models, where there are some: they are large, and slow to write. */
const SHARED_SHARE = 0.1;

const trees = new Map<string, FieldNode[]>();
let shared: ReturnType<typeof sharedSeeds> | undefined;

/** File number `index` of a run. */
export function makeCase(seed: number, index: number): FuzzFile {
  shared ??= sharedSeeds();
  const d = new Draw(seed * 1_000_003 + index);
  const from =
    shared.length > 0 && d.chance(SHARED_SHARE) ? d.of(shared) : d.of(d.chance(0.5) ? operatorSeeds : builtSeeds);
  let tree = trees.get(from.name);
  if (!tree) trees.set(from.name, (tree = treeOf(from.bytes)));
  return { model: from.name, seed: index, ...mutate(tree, d) };
}

/** Byte that fills the file beside the model's folder, which no model may read. */
const SECRET = 0xa5;

/** Makes the folder `model` with the data file of the seed with external data, and a file that must not be read beside it. */
export function prepareFolder(root: string): void {
  mkdirSync(join(root, "model"), { recursive: true });
  writeFileSync(join(root, "model", "w.bin"), new Uint8Array(EXTERNAL_BYTES));
  writeFileSync(join(root, "secret.bin"), new Uint8Array(EXTERNAL_BYTES).fill(SECRET));
}

/** Sends a file all the way. Throws nothing. */
export function runCase(c: FuzzFile, folder: string): Omit<CaseResult, "cpuMs" | "peakBytes"> {
  try {
    const read = readModel(c.bytes, { where: "damaged.onnx", external: externalFiles(folder) });
    expectNoSecret(read);
    const back = writeModel(read);
    checkGraph(readModel(back, { where: "written again" }), { names: "any" });
    const unknown = (n: Graph["nodes"][number]) =>
      n.outputs.map((y) => typeOf(read, y) ?? ({ elemType: "other" } as const));
    let g = inferShapes(tidy(read), { unknown });
    if (opsetOf(g) < RAISED_OPSET && c.seed % 2 === 0) g = inferShapes(raiseOpset(g), { unknown });
    checkGraph(g);
    const groups = findGroups(g);
    const sliced = sliceGraph(g, groups, randomKeep(groups, c.seed));
    checkGraph(readModel(writeModel(sliced), { where: "cut and written" }), { names: "any" });
    return { outcome: "accepted" };
  } catch (e) {
    if (!isEdgefitError(e)) {
      const error = e as Error;
      const at = /\(?([^\s(]*toolkit[^\s)]*|[^\s(]*node_modules[^\s)]*)\)?/.exec(
        error.stack?.split("\n").slice(1).join("\n") ?? "",
      );
      return {
        outcome: "unhandled",
        detail: `${error.name}: ${error.message} at ${at?.[1]?.replace(/^.*\/(toolkit|node_modules)\//, "$1/")}`,
      };
    }
    // A sound model that was read must be sound when written: a refusal of our own file is a fault.
    if (e.where === "written again" || e.where === "cut and written")
      return { outcome: "unhandled", detail: `refuses what it wrote (${e.where}): ${e.message}` };
    const blamed = `${e.message} ${e.hint ?? ""}`.includes("bug in edgefit");
    return { outcome: "refused", code: e.code, ...(blamed ? { blamed, detail: `${e.code}: ${e.message}` } : {}) };
  }
}

function expectNoSecret(g: Graph): void {
  for (const t of g.initializers.values()) {
    const stored = storageOf(t);
    const first = stored
      ? stored.read(0, Math.min(4, stored.byteLength))
      : Array.isArray(t.data)
        ? []
        : new Uint8Array(t.data.buffer, t.data.byteOffset, Math.min(4, t.data.byteLength));
    if (first.length === 4 && first.every((b) => b === SECRET))
      throw new Error("a file outside the model's folder was read");
  }
}
