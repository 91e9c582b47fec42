/**
 * Time of the graph passes: read + groups + slice + write of a large net, and `inspect` of chains of growing length.
 *
 *   taskset -c 0 npx tsx test/bench/surgery.ts MODEL.onnx … [--repeat 5]
 *
 * Each model is read and cut (60 % of the channels of every group stay) in the same process, first the cold call, then the
 * median of the repeats. The chains are residual blocks of convolution, batch norm and ReLU, 16 channels wide.
 * All times are processor time of this process.
 */
import { statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { median } from "simple-statistics";
import { GraphBuilder, type Ref } from "../../toolkit/graph/builder.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { floats } from "../../toolkit/graph/tensor.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { inspectModel } from "../../toolkit/inspect.js";
import { readModelFile, writeModelFile } from "../../toolkit/onnx/index.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { findGroups } from "../../toolkit/prune/groups.js";
import { sliceGraph } from "../../toolkit/prune/slice.js";
import { randomKeep, uniform } from "../support/graphs.js";
import { head, row } from "./header.js";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { repeat: { type: "string", default: "5" } },
});

/** Time that this process was on a core: what the clock shows on a core of one's own. */
const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

interface Seconds {
  read: number;
  infer: number;
  groups: number;
  slice: number;
  write: number;
}

async function surgery(path: string, out: string): Promise<Seconds> {
  const times: number[] = [cpuMs()];
  const lap = <T>(v: T): T => {
    times.push(cpuMs());
    return v;
  };
  const read = lap(await readModelFile(path));
  const g = lap(inferShapes(tidy(read)));
  const groups = lap(findGroups(g));
  const sliced = lap(sliceGraph(g, groups, randomKeep(groups, 1)));
  lap(await writeModelFile(out, sliced));
  const [a, b, c, d, e] = times.slice(1).map((t, i) => (t - times[i]) / 1000);
  return { read: a, infer: b, groups: c, slice: d, write: e };
}

const total = (s: Seconds): number => Object.values(s).reduce((x: number, y: number) => x + y, 0);

/** Residual blocks until there are `nodes` nodes. */
function chain(nodes: number): Graph {
  const b = new GraphBuilder();
  const next = uniform(1);
  const random = (name: string, dims: number[]): Ref =>
    b.initializer(name, floats(Float32Array.from({ length: dims.reduce((x, y) => x * y, 1) }, next), dims));
  const block = (x: Ref, inputs: number, name: string): Ref => {
    const y = b.conv(x, random(`${name}.w`, [16, inputs, 3, 3]), "", { pads: [1, 1, 1, 1] }, { name });
    return b.emit("BatchNormalization", [y, ...["s", "b", "m", "v"].map((p) => random(`${name}.${p}`, [16]))]);
  };
  let x = b.relu(block(b.input("x", [1, 3, 32, 32]), 3, "stem"));
  for (let i = 0; b.graph.nodes.length + 6 <= nodes; i++) {
    const inner = b.relu(block(x, 16, `a${i}`));
    x = b.relu(b.add(x, block(inner, 16, `b${i}`)));
  }
  b.output(x, { elemType: "float32", dims: [1, 16, 32, 32] });
  return b.graph;
}

const folder = await mkdtemp(join(tmpdir(), "edgefit-surgery-"));
try {
  console.log(head("model", "MB", "call", "read", "infer", "groups", "slice", "write", "total s"));
  for (const path of positionals) {
    const runs: Seconds[] = [];
    for (let i = 0; i <= Number(flags.repeat); i++) runs.push(await surgery(path, join(folder, "cut.onnx")));
    const later = runs.slice(1).sort((a, b) => total(a) - total(b));
    for (const [call, s] of [
      ["first", runs[0]],
      ["median", later[later.length >> 1]],
    ] as const) {
      const cells = Object.values(s).map((v: number) => v.toFixed(3));
      console.log(row(basename(path), (statSync(path).size / 1e6).toFixed(0), call, ...cells, total(s).toFixed(2)));
    }
  }
  console.log(`\n${head("nodes", "inspect ms", "ms per 1,000 nodes")}`);
  for (const nodes of [100, 1000, 10_000]) {
    const g = chain(nodes);
    const times = Array.from({ length: Number(flags.repeat) }, () => {
      const start = cpuMs();
      inspectModel(g);
      return cpuMs() - start;
    });
    const ms = median(times);
    console.log(row(g.nodes.length, ms.toFixed(1), ((1000 * ms) / g.nodes.length).toFixed(1)));
  }
} finally {
  await rm(folder, { recursive: true });
}
