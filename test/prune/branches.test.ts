/** Which residual branches may go, and that a net without them computes what it computes with their last weights at zero. */
import { describe, expect, test } from "vitest";
import { GraphBuilder, type Ref } from "../../toolkit/graph/builder.js";
import { checkGraph } from "../../toolkit/graph/check.js";
import { cloneGraph, type Graph } from "../../toolkit/graph/graph.js";
import { floats } from "../../toolkit/graph/tensor.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import {
  type Branch,
  branchMeans,
  dropBranches,
  droppedBranches,
  findBranches,
  withMeanBranch,
} from "../../toolkit/prune/branches.js";
import { findGroups } from "../../toolkit/prune/groups.js";
import { reconstruct } from "../../toolkit/prune/reconstruct.js";
import { relativeError } from "../../toolkit/prune/sensitivity.js";
import { observe, outputsOn } from "../../toolkit/prune/walk.js";
import { withSession } from "../../toolkit/runtime/session.js";
import { gaussian } from "../support/random.js";
import { imageBatches } from "./residualNet.js";

const WIDTH = 6;

/** A net is a stem, blocks made by `body`, and a head. */
class Net {
  readonly b = new GraphBuilder();
  private readonly normal = gaussian(5);
  x: Ref;

  constructor() {
    this.x = this.b.relu(this.conv(this.b.input("x", ["N", 3, 8, 8]), "stem", 3, WIDTH));
  }

  conv(x: Ref, name: string, inputs: number, outputs: number, o: { stride?: number; size?: number } = {}): Ref {
    const { stride = 1, size = 3 } = o;
    const random = (kind: string, dims: number[]) =>
      this.b.initializer(
        `${name}.${kind}`,
        floats(
          Float32Array.from({ length: dims.reduce((a, c) => a * c, 1) }, () => 0.3 * this.normal()),
          dims,
        ),
      );
    const pad = size >> 1;
    return this.b.conv(
      x,
      random("weight", [outputs, inputs, size, size]),
      random("bias", [outputs]),
      { pads: [pad, pad, pad, pad], strides: [stride, stride] },
      { name },
    );
  }

  /** `relu(x + conv(relu(conv(x))))`. */
  block(name: string): this {
    const inner = this.b.relu(this.conv(this.x, `${name}.inner`, WIDTH, WIDTH + 1));
    this.x = this.b.relu(this.b.add(this.conv(inner, `${name}.outer`, WIDTH + 1, WIDTH), this.x));
    return this;
  }

  done(x: Ref = this.x): Graph {
    const logits = this.b.emit("Flatten", [this.b.emit("GlobalAveragePool", [x])], {}, { out: "logits" });
    this.b.output(logits, { elemType: "float32", dims: ["N", WIDTH] });
    return inferShapes(tidy(this.b.graph));
  }
}

const branchesOf = (g: Graph): Branch[] => findBranches(g, findGroups(g));

/** The net with the weights of these convolutions at zero. */
function silenced(g: Graph, names: readonly string[]): Graph {
  const out = cloneGraph(g);
  for (const name of names) {
    for (const kind of ["weight", "bias"]) {
      const t = out.initializers.get(`${name}.${kind}`)!;
      out.initializers.set(`${name}.${kind}`, floats(new Float32Array(t.data.length), t.dims));
    }
  }
  return out;
}

const image = floats(Float32Array.from({ length: 2 * 3 * 64 }, gaussian(8)), [2, 3, 8, 8]);

async function expectSame(a: Graph, b: Graph): Promise<void> {
  const [x, y] = await Promise.all([a, b].map((g) => withSession(g, {}, (s) => s.run({ x: image }))));
  for (const [i, v] of (x.logits.data as Float32Array).entries())
    expect(Number(y.logits.data[i])).toBeCloseTo(Number(v), 5);
}

describe("branches that may be left out", () => {
  test("one or several blocks of a residual net, in a row or not", async () => {
    const g = new Net().block("a").block("b").block("c").done();
    const all = branchesOf(g);
    expect(all.map((b) => b.group)).toEqual(["a.inner", "b.inner", "c.inner"]);
    for (const keep of [[0], [1], [2], [0, 2], [1, 2], []]) {
      const gone = all.filter((_, i) => !keep.includes(i));
      const smaller = dropBranches(g, gone);
      checkGraph(inferShapes(smaller));
      // Two convolutions, the inner activation, the sum, and the activation that the skipped side has been through.
      expect(smaller.nodes).toHaveLength(g.nodes.length - 5 * gone.length);
      await expectSame(
        silenced(
          g,
          gone.map((b) => b.group.replace("inner", "outer")),
        ),
        smaller,
      );
    }
  });

  test("a sum with nothing behind it, as in inverted residuals; another activation behind it stays", async () => {
    const net = new Net();
    const inner = net.b.relu(net.conv(net.x, "inner", WIDTH, 9));
    const sum = net.b.add(net.x, net.conv(inner, "outer", 9, WIDTH, { size: 1 }));
    const g = net.done(net.b.emit("Sigmoid", [sum]));
    const [branch, ...more] = branchesOf(g);
    expect(more).toEqual([]);
    const smaller = dropBranches(g, [branch]);
    expect(smaller.nodes.map((n) => n.opType)).toEqual(["Conv", "Relu", "Sigmoid", "GlobalAveragePool", "Flatten"]);
    await expectSame(silenced(g, ["outer"]), smaller);
  });

  test("a projection remains of a block that changes dims, with its activation", async () => {
    const net = new Net();
    const inner = net.b.relu(net.conv(net.x, "inner", WIDTH, 9, { stride: 2 }));
    const outer = net.conv(inner, "outer", 9, 8);
    const g = net.done(net.b.relu(net.b.add(outer, net.conv(net.x, "projection", WIDTH, 8, { stride: 2, size: 1 }))));
    const [branch, ...more] = branchesOf(g);
    expect(branch.group).toBe("inner");
    expect(more).toEqual([]);
    await expectSame(silenced(g, ["outer"]), dropBranches(g, [branch]));
  });

  test("squeeze-and-excitation inside a branch goes with it", async () => {
    const net = new Net();
    const inner = net.b.relu(net.conv(net.x, "inner", WIDTH, 8));
    const gate = net.b.emit("Sigmoid", [net.conv(net.b.emit("GlobalAveragePool", [inner]), "gate", 8, 8, { size: 1 })]);
    const g = net.done(net.b.relu(net.b.add(net.conv(net.b.mul(inner, gate), "outer", 8, WIDTH), net.x)));
    const [branch] = branchesOf(g);
    const smaller = dropBranches(g, [branch]);
    expect(smaller.nodes.map((n) => n.opType)).toEqual(["Conv", "Relu", "GlobalAveragePool", "Flatten"]);
    await expectSame(silenced(g, ["outer"]), smaller);
  });

  test("not where something else reads what the branch computes, nor where the sum is a result", () => {
    const net = new Net();
    const inner = net.b.relu(net.conv(net.x, "inner", WIDTH, WIDTH));
    const sum = net.b.relu(net.b.add(net.conv(inner, "outer", WIDTH, WIDTH), net.x));
    // The inner channels leave the branch: they are tied to the stream, so no group lies in the branch alone.
    expect(branchesOf(net.done(net.b.add(sum, inner)))).toEqual([]);
    const other = new Net();
    const y = other.b.add(other.x, other.conv(other.b.relu(other.conv(other.x, "i", WIDTH, 5)), "o", 5, WIDTH));
    other.b.output(y, { elemType: "float32", dims: ["N", WIDTH, 8, 8] });
    expect(branchesOf(inferShapes(tidy(other.b.graph)))).toEqual([]);
  });

  test("not two streams that know nothing of each other", () => {
    const net = new Net();
    const other = net.b.input("other", ["N", 3, 8, 8]);
    const side = net.conv(net.b.relu(net.conv(other, "i", 3, 5)), "o", 5, WIDTH);
    // Leaving out either side would make the net blind to one of its inputs.
    expect(branchesOf(net.done(net.b.add(net.x, side)))).toEqual([]);
  });

  test("an idle activation is one that changes nothing any more: clipped to 6 after clipped to 6, not after Relu", () => {
    const clip = (net: Net, x: Ref): Ref =>
      net.b.emit("Clip", [x, net.b.const(Float32Array.of(0), []), net.b.const(Float32Array.of(6), [])]);
    for (const [first, gone] of [
      ["Clip", true],
      ["Relu", false],
    ] as const) {
      const net = new Net();
      const x = first === "Clip" ? clip(net, net.conv(net.x, "a", WIDTH, WIDTH)) : net.x;
      const inner = net.b.relu(net.conv(x, "inner", WIDTH, 5));
      const g = net.done(clip(net, net.b.add(net.conv(inner, "outer", 5, WIDTH), x)));
      const smaller = dropBranches(g, branchesOf(g));
      expect(smaller.nodes.filter((n) => n.opType === "Clip")).toHaveLength(1);
      expect(branchesOf(g)[0].nodes.size).toBe(gone ? 5 : 4);
    }
  });

  test("width 0 of a group stands for its branch", () => {
    const branches = branchesOf(new Net().block("a").block("b").done());
    const widths = new Map([
      ["a.inner", 3],
      ["b.inner", 0],
    ]);
    expect(droppedBranches(branches, widths).map((b) => b.group)).toEqual(["b.inner"]);
  });

  test("repair takes up what a branch left behind", async () => {
    const g = new Net().block("a").block("b").block("c").done();
    const smaller = dropBranches(g, branchesOf(g).slice(0, 1));
    const batches = imageBatches(4, 4, 64);
    const heldBack = imageBatches(99, 1, 64);
    const reference = await outputsOn(g, heldBack);
    const repaired = await reconstruct(g, smaller, () => undefined, batches);
    const before = relativeError(await outputsOn(smaller, heldBack), reference);
    const after = relativeError(await outputsOn(repaired, heldBack), reference);
    expect(after).toBeLessThan(before / 3);
  });
});

test("what a branch adds on average: a sum that reads its mean instead gives the same mean", async () => {
  const g = new Net().block("a").done();
  const [branch] = branchesOf(g);
  const batches = imageBatches(4, 3, 5);
  const mean = (await branchMeans(g, [branch], batches)).get(branch.sum)!;
  expect(mean.dims).toEqual([1, WIDTH, 8, 8]);
  const outer = g.nodes.find((n) => n.name === "a.outer")!.outputs[0];
  const values: number[][] = [];
  await observe(
    g,
    batches,
    () => ({ outer }),
    (seen) => {
      const data = seen.outer.data as Float32Array;
      for (let i = 0; i < 5; i++) values.push([...data.slice(i * WIDTH * 64, (i + 1) * WIDTH * 64)]);
    },
  );
  for (const i of [0, 100, WIDTH * 64 - 1])
    expect((mean.data as Float32Array)[i]).toBeCloseTo(values.reduce((s, v) => s + v[i], 0) / 15, 5);
  const variant = withMeanBranch(g, branch, mean);
  checkGraph(variant);
  expect(variant.nodes).toHaveLength(g.nodes.length);
  const reference = await outputsOn(g, batches);
  const kept = relativeError(await outputsOn(variant, batches), reference);
  const plain = relativeError(await outputsOn(dropBranches(g, [branch]), batches), reference);
  expect(kept).toBeGreaterThan(0);
  expect(kept).toBeLessThan(plain);
});
