/**
 * Cost against the number of nodes: read, tidy, infer shapes, find groups, cut, write, and the whole `inspect`.
 *
 *   npx tsx test/bench/scaleNodes.ts [--nodes 100,1000,10000] [--repeats 3] [--net chain]
 *
 * Five generated nets of small layers: a chain of Conv and Relu, the same with every Relu as an output, residual blocks that share one group of channels, a long skip
 * connection into every block by Concat, and Reshapes to shapes computed from a dynamic batch. Best of the repeats in ms of processor
 * time (which other work on the machine does not change); the last column is the growth of the whole for ten times the nodes (10 where cost is linear).
 */
import { parseArgs } from "node:util";
import { emptyGraph, GraphBuilder, type Ref } from "../../toolkit/graph/builder.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { floats, ints, sizeOf } from "../../toolkit/graph/tensor.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { inspectModel } from "../../toolkit/inspect.js";
import { readModel, writeModel } from "../../toolkit/onnx/index.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { findGroups } from "../../toolkit/prune/groups.js";
import { sliceGraph } from "../../toolkit/prune/slice.js";
import { randomKeep } from "../support/graphs.js";
import { head, row } from "./header.js";

const CHANNELS = 8;

/** A layer with weights of its own. */
function conv(b: GraphBuilder, x: Ref, inputs = CHANNELS): Ref {
  const dims = [CHANNELS, inputs, 1, 1];
  return b.conv(x, b.initializer("w", floats(new Float32Array(sizeOf(dims)).fill(0.1), dims)), "");
}

/** Body of a net: appends one block to `x`, `first` being the net's first feature map. */
type Block = (b: GraphBuilder, x: Ref, first: Ref) => Ref;

const blocks: Readonly<Record<string, Block>> = {
  chain: (b, x) => b.relu(conv(b, x)),
  residual: (b, x) => b.relu(b.add(conv(b, b.relu(conv(b, x))), x)),
  concat: (b, x, first) => b.relu(conv(b, b.concat([x, first], 1), 2 * CHANNELS)),
  outputs: (b, x) => b.output(b.relu(conv(b, x))),
  reshape: (b, x) => {
    const batch = b.emit("Gather", [b.emit("Shape", [x]), b.initializer("zero", ints([0]))]);
    const shape = b.concat([batch, b.initializer("rest", ints([CHANNELS, 4, 4]))], 0);
    return b.relu(b.emit("Reshape", [conv(b, x), shape]));
  },
};

function netOf(block: Block, nodes: number): Graph {
  const b = new GraphBuilder(emptyGraph("net"));
  const first = conv(b, b.input("x", ["N", CHANNELS, 4, 4]));
  let x = first;
  while (b.graph.nodes.length < nodes) x = block(b, x, first);
  b.output(b.emit("GlobalAveragePool", [conv(b, x)], {}, { out: "y" }));
  return b.graph;
}

const steps = ["read", "tidy", "infer", "groups", "slice", "write", "inspect"] as const;

/** Milliseconds of processor time of every step on one net. */
function measure(bytes: Uint8Array): number[] {
  const out: number[] = [];
  const timed = <T>(f: () => T): T => {
    const start = process.cpuUsage();
    const value = f();
    const { user, system } = process.cpuUsage(start);
    out.push((user + system) / 1000);
    return value;
  };
  const read = timed(() => readModel(bytes));
  const tidied = timed(() => tidy(read));
  const g = timed(() => inferShapes(tidied));
  const groups = timed(() => findGroups(g));
  const keep = randomKeep(groups, 1);
  const cut = timed(() => sliceGraph(g, groups, keep));
  timed(() => writeModel(cut));
  timed(() => inspectModel(readModel(bytes)));
  return out;
}

const { values: flags } = parseArgs({
  options: {
    nodes: { type: "string", default: "100,1000,10000" },
    repeats: { type: "string", default: "3" },
    net: { type: "string", default: "" },
  },
});
console.log(head("net", "nodes", ...steps, "whole", "growth"));
for (const [name, block] of Object.entries(blocks)) {
  if (flags.net && name !== flags.net) continue;
  let before: { whole: number; nodes: number } | undefined;
  for (const nodes of flags.nodes.split(",").map(Number)) {
    const net = netOf(block, nodes);
    const bytes = writeModel(net);
    const runs = Array.from({ length: Number(flags.repeats) }, () => measure(bytes));
    const best = steps.map((_, i) => Math.min(...runs.map((r) => r[i])));
    const whole = best.slice(0, -1).reduce((a, v) => a + v);
    const growth = before ? ((10 * (whole / before.whole)) / (nodes / before.nodes)).toFixed(1) : "";
    console.log(row(name, net.nodes.length, ...best.map((v) => v.toFixed(1)), whole.toFixed(1), growth));
    before = { whole, nodes };
  }
}
