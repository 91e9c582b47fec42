/**
 * Memory for a model whose weights are in a file beside it: read, inspect, cut, write, read again.
 *
 *   npx tsx test/bench/externalData.ts [--layers 10] [--width 8192] [--folder DIR]
 *
 * The model is a chain of dense layers, 4 * width² bytes each (default: ten of 256 MiB, 2.5 GiB in one file). It is made in DIR (default:
 * the system's temporary folder), and removed afterwards. Wanted: the peak of the process's memory (resident set) stays below the memory
 * before the first read plus 1.5 times the largest tensor plus 100 MB.
 */
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { tidy } from "../../toolkit/graph/tidy.js";
import { inspectModel } from "../../toolkit/inspect.js";
import { readModelFile, writeModelFile } from "../../toolkit/onnx/index.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { findGroups } from "../../toolkit/prune/groups.js";
import { sliceGraph } from "../../toolkit/prune/slice.js";
import { randomKeep } from "../support/graphs.js";
import { addModel } from "../support/protos.js";
import { head, row } from "./header.js";

const FIXED_BYTES = 100e6;

const { values: flags } = parseArgs({
  options: {
    layers: { type: "string", default: "10" },
    width: { type: "string", default: "8192" },
    folder: { type: "string", default: tmpdir() },
  },
});
const [layers, width] = [Number(flags.layers), Number(flags.width)];
const tensorBytes = 4 * width * width;

/** A chain of MatMul and Relu, weights in `w.bin`. */
async function makeModel(folder: string): Promise<string> {
  const file = await open(join(folder, "w.bin"), "w");
  const piece = Float32Array.from({ length: 2 ** 20 }, (_, i) => Math.sin(i * 0.37) / 100);
  for (let done = 0; done < layers * tensorBytes; done += piece.byteLength)
    await file.write(piece, 0, Math.min(piece.byteLength, layers * tensorBytes - done));
  await file.close();
  const type = {
    value: {
      case: "tensorType" as const,
      value: {
        elemType: 1,
        shape: { dim: [1, width].map((d) => ({ value: { case: "dimValue" as const, value: BigInt(d) } })) },
      },
    },
  };
  const path = join(folder, "chain.onnx");
  writeFileSync(
    path,
    addModel({
      input: [{ name: "x0", type }],
      output: [{ name: `x${layers}`, type }],
      initializer: Array.from({ length: layers }, (_, i) => ({
        name: `w${i}`,
        dims: [BigInt(width), BigInt(width)],
        dataType: 1,
        dataLocation: 1 as const,
        externalData: Object.entries({ location: "w.bin", offset: `${i * tensorBytes}`, length: `${tensorBytes}` }).map(
          ([key, value]) => ({ key, value }),
        ),
      })),
      node: Array.from({ length: layers }, (_, i) => [
        { name: `matmul${i}`, opType: "MatMul", input: [`x${i}`, `w${i}`], output: [`h${i}`] },
        { name: `relu${i}`, opType: "Relu", input: [`h${i}`], output: [`x${i + 1}`] },
      ]).flat(),
    }),
  );
  return path;
}

const peakBytes = (): number => process.resourceUsage().maxRSS * 1024;
const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);

const folder = mkdtempSync(join(flags.folder, "edgefit-external-"));
try {
  const path = await makeModel(folder);
  const before = peakBytes();
  const allowed = before + 1.5 * tensorBytes + FIXED_BYTES;
  console.log(
    `${layers} tensors of ${megabytes(tensorBytes)} MB in one file of ${megabytes(statSync(join(folder, "w.bin")).size)} MB; Node ${process.versions.node}; ${new Date().toISOString().slice(0, 10)}\n`,
  );
  console.log(head("step", "seconds", "peak MB", "above start, as tensors", "within"));
  const step = async <T>(name: string, work: () => T | Promise<T>): Promise<T> => {
    const start = performance.now();
    const out = await work();
    const peak = peakBytes();
    console.log(
      row(
        name,
        ((performance.now() - start) / 1000).toFixed(1),
        megabytes(peak),
        ((peak - before) / tensorBytes).toFixed(2),
        peak <= allowed ? "yes" : "NO",
      ),
    );
    if (peak > allowed) process.exitCode = 1;
    return out;
  };
  console.log(row("before", "", megabytes(before), "0.00", ""));
  const read = await step("read", () => readModelFile(path));
  await step("inspect", () => inspectModel(read));
  const g = inferShapes(tidy(read));
  const copy = join(folder, "copy.onnx");
  await step("write", () => writeModelFile(copy, g));
  const groups = findGroups(g);
  const cut = await step("cut", () => sliceGraph(g, groups, randomKeep(groups, 1)));
  const small = join(folder, "small.onnx");
  await step("write what is left", () => writeModelFile(small, cut));
  const again = await step("read again", () => readModelFile(small));
  await step("all weights, one after the other", () => {
    let sum = 0;
    for (const t of again.initializers.values()) sum += (t.data as Float32Array)[1];
    return sum;
  });
  for (const name of readdirSync(folder))
    if (name !== basename(path)) console.log(`\n${name}: ${megabytes(statSync(join(folder, name)).size)} MB`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
