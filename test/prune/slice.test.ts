/** Structures of real nets, each small: which groups they have, and that a cut net computes what the masked one does. */
import { describe, expect, test } from "vitest";
import { attr, type Graph, typeOf } from "../../toolkit/graph/graph.js";
import { fromNumbers, ints } from "../../toolkit/graph/tensor.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { type ChannelGroups, findGroups } from "../../toolkit/prune/groups.js";
import { sliceGraph } from "../../toolkit/prune/slice.js";
import { randomFeeds, randomKeep } from "../support/graphs.js";
import { Layers } from "../support/layers.js";
import { expectSliceEqualsMask } from "../support/maskVersusSlice.js";

const widths = (groups: ChannelGroups): Record<string, number> =>
  Object.fromEntries(groups.prunable.map((e) => [e.id, e.width]));
const reasons = (groups: ChannelGroups): Record<string, string> =>
  Object.fromEntries(groups.groups.flatMap((e) => (e.frozen ? [[e.id, e.frozen]] : [])));

/** Three random cuts; returns the groups. */
async function cutAtRandom(g: Graph): Promise<ChannelGroups> {
  const groups = findGroups(g);
  for (const seed of [1, 2, 3]) {
    await expectSliceEqualsMask(g, groups, randomKeep(groups, seed, 0.5), randomFeeds(g, seed), 1e-5);
  }
  return groups;
}

describe("nets", () => {
  test("branches joined by Concat are groups of their own", async () => {
    const n = new Layers();
    const x = n.b.input("x", ["N", 3, 5, 5]);
    const joined = n.b.concat([n.conv("a", x, 3, 6), n.b.relu(n.conv("b", x, 3, 4))], 1);
    const groups = await cutAtRandom(n.done(n.conv("c", joined, 10, 2)));
    expect(widths(groups)).toEqual({ a: 6, b: 4 });
    expect(groups.group("b").consumers).toEqual([
      { node: "c", input: 0, inputAxis: 1, weight: "c.weight", weightAxis: 1 },
    ]);
    expect(groups.group("b").producers).toEqual([{ node: "b", weight: "b.weight", axis: 0, bias: "b.bias" }]);
  });

  test("a residual stream with a projection is one group, each block's inside another", async () => {
    const n = new Layers();
    const x = n.b.input("x", [1, 3, 8, 8]);
    const stem = n.b.relu(n.batchNorm("bn", n.conv("stem", x, 3, 8, { kernel: 3, bias: false }), 8));
    const inner = n.b.relu(n.conv("inner", stem, 8, 5, { kernel: 3, stride: 2 }));
    const sum = n.b.add(n.conv("outer", inner, 5, 12, { kernel: 3 }), n.conv("projection", stem, 8, 12, { stride: 2 }));
    const again = n.b.add(sum, n.conv("second", n.b.relu(sum), 12, 12, { kernel: 3 }));
    const pool = n.b.emit("GlobalAveragePool", [again]);
    const groups = await cutAtRandom(n.done(n.gemm("fc", n.b.emit("Flatten", [pool]), 12, 4)));
    expect(widths(groups)).toEqual({ stem: 8, inner: 5, outer: 12 });
    expect(groups.group("outer").producers.map((p) => p.node)).toEqual(["outer", "projection", "second"]);
    expect(reasons(groups)).toEqual({ fc: 'it is part of graph output "fc_out"' });
  });

  test("a parameter-free shortcut: Slice strides the image, Pad widens the channels", async () => {
    const n = new Layers();
    const x = n.b.input("x", [1, 3, 8, 8]);
    const stem = n.conv("stem", x, 3, 4);
    const small = n.b.emit("Slice", [stem, n.b.ints([0, 0]), n.b.ints([99, 99]), n.b.ints([2, 3]), n.b.ints([2, 2])]);
    const wide = n.b.emit("Pad", [small, n.b.ints([0, 2, 0, 0, 0, 3, 0, 0])]);
    const sum = n.b.add(n.conv("branch", stem, 4, 9, { kernel: 3, stride: 2 }), wide);
    const groups = await cutAtRandom(n.done(n.conv("last", sum, 9, 2)));
    expect(widths(groups)).toEqual({ stem: 4, branch: 5 });
    expect(groups.symbolicDims(wide)[1]).toEqual({
      fixed: 0,
      terms: [
        { group: "branch", multiplicity: 1 },
        { group: "stem", multiplicity: 1 },
      ],
    });
  });

  test("a channel shuffle ties the same places of all blocks", async () => {
    const n = new Layers();
    const x = n.b.input("x", [1, 3, 4, 4]);
    const wide = n.conv("wide", x, 3, 12);
    const split = n.b.reshape(wide, [1, 3, 4, 4, 4]);
    const shuffled = n.b.reshape(n.b.transpose(split, [0, 2, 1, 3, 4]), [1, 12, 4, 4]);
    const grouped = n.conv("grouped", shuffled, 12, 6, { group: 3, kernel: 3 });
    const groups = await cutAtRandom(n.done(n.conv("last", grouped, 6, 2)));
    expect(widths(groups).grouped).toBe(2);
    expect(groups.group("wide").width).toBeLessThanOrEqual(4);
  });

  test("a channel shuffle alone", async () => {
    const n = new Layers();
    const wide = n.conv("wide", n.b.input("x", [1, 3, 4, 4]), 3, 12);
    const split = n.b.reshape(wide, [1, 2, 6, 4, 4]);
    const shuffled = n.b.reshape(n.b.transpose(split, [0, 2, 1, 3, 4]), [1, 12, 4, 4]);
    const groups = await cutAtRandom(n.done(n.conv("last", shuffled, 12, 2)));
    expect(widths(groups)).toEqual({ wide: 6 });
  });

  test("a grouped convolution keeps its blocks equal", async () => {
    const n = new Layers();
    const a = n.conv("a", n.b.input("x", [1, 3, 4, 4]), 3, 8);
    const groups = await cutAtRandom(n.done(n.conv("last", n.conv("grouped", a, 8, 12, { group: 4 }), 12, 2)));
    expect(widths(groups)).toEqual({ a: 2, grouped: 3 });
  });

  test("a depthwise convolution with multiplier follows its input", async () => {
    const n = new Layers();
    const a = n.conv("a", n.b.input("x", [1, 3, 4, 4]), 3, 5);
    const deep = n.conv("deep", a, 5, 15, { group: 5, kernel: 3 });
    const g = n.done(n.conv("last", deep, 15, 2));
    const groups = await cutAtRandom(g);
    expect(widths(groups)).toEqual({ a: 5 });
    const sliced = sliceGraph(g, groups, new Map([["a", Int32Array.of(1, 4)]]));
    expect(sliced.nodes.find((e) => e.name === "deep")?.attributes.group).toEqual(attr.int(2));
    expect(sliced.initializers.get("deep.weight")?.dims).toEqual([6, 1, 3, 3]);
    expect(typeOf(sliced, "deep_out")?.dims).toEqual([1, 6, 4, 4]);
  });

  test.each([
    ["GlobalAveragePool", {}],
    ["ReduceMean", { axes: attr.ints([2, 3]) }],
  ])("a squeeze-and-excite gate over %s goes with what it gates", async (pool, attributes) => {
    const n = new Layers();
    const a = n.b.emit("HardSwish", [n.conv("a", n.b.input("x", [1, 3, 6, 6]), 3, 8, { kernel: 3 })]);
    const hidden = n.b.relu(n.conv("squeeze", n.b.emit(pool, [a], attributes), 8, 4));
    const gate = n.b.emit("HardSigmoid", [n.conv("excite", hidden, 4, 8)]);
    const groups = await cutAtRandom(n.done(n.conv("last", n.b.mul(a, gate), 8, 2)));
    expect(widths(groups)).toEqual({ a: 8, squeeze: 4 });
    expect(groups.group("a").producers.map((p) => p.node)).toEqual(["a", "excite"]);
  });

  test("PRelu slopes: one per channel are cut, a shared one is not", async () => {
    const n = new Layers();
    const a = n.b.emit("PRelu", [n.conv("a", n.b.input("x", [1, 3, 4, 4]), 3, 6), n.parameter("slopes", [6, 1, 1])]);
    const b = n.b.emit("PRelu", [n.conv("b", a, 6, 5), n.parameter("slope", [1])]);
    const g = n.done(n.conv("last", b, 5, 2));
    const groups = await cutAtRandom(g);
    const sliced = sliceGraph(
      g,
      groups,
      new Map([
        ["a", Int32Array.of(0, 5)],
        ["b", Int32Array.of(3)],
      ]),
    );
    expect(sliced.initializers.get("slopes")?.dims).toEqual([2, 1, 1]);
    expect(sliced.initializers.get("slope")?.dims).toEqual([1]);
  });

  test.each(["Flatten", "Reshape", "Squeeze", "ReduceMean without keepdims"])(
    "pooled features reach a Gemm through %s",
    async (how) => {
      const n = new Layers();
      const a = n.conv("a", n.b.input("x", ["N", 3, 4, 4]), 3, 7);
      const pool = n.b.emit("GlobalAveragePool", [a]);
      const flat = {
        Flatten: () => n.b.emit("Flatten", [pool]),
        Reshape: () => n.b.reshape(pool, [-1, 7]),
        Squeeze: () => n.b.emit("Squeeze", [pool, n.b.ints([2, 3])]),
        "ReduceMean without keepdims": () => n.b.reduceMean(a, [-1, -2], false),
      }[how as "Flatten"]();
      const groups = await cutAtRandom(n.done(n.gemm("fc", flat, 7, 3)));
      expect(widths(groups)).toEqual({ a: 7 });
    },
  );

  test("a flattened map: each channel owns height x width columns", async () => {
    const n = new Layers();
    const flat = n.b.emit("Flatten", [n.conv("a", n.b.input("x", ["N", 3, 2, 3]), 3, 5)], {}, { out: "flat" });
    const groups = await cutAtRandom(n.done(n.gemm("fc", flat, 30, 3)));
    expect(widths(groups)).toEqual({ a: 5 });
    expect(groups.symbolicDims("flat")).toEqual([
      { fixed: 1, terms: [] },
      { fixed: 0, terms: [{ group: "a", multiplicity: 6 }] },
    ]);
  });

  test("a batch that the model asks for at run time", async () => {
    const n = new Layers();
    const a = n.conv("a", n.b.input("x", ["N", 3, 2, 3]), 3, 5);
    const size = n.b.emit("Gather", [n.b.emit("Shape", [a]), n.b.ints(0)], { axis: attr.int(0) });
    const shape = n.b.concat([n.b.emit("Unsqueeze", [size, n.b.ints([0])]), n.b.ints([30])], 0);
    const groups = await cutAtRandom(n.done(n.gemm("fc", n.b.emit("Reshape", [a, shape]), 30, 3)));
    expect(widths(groups)).toEqual({ a: 5 });
  });

  test.each(["DCR", "CRD"])("DepthToSpace in %s order ties what becomes one channel", async (mode) => {
    const n = new Layers();
    const attributes = { blocksize: attr.int(2), mode: attr.string(mode) };
    const y = n.b.emit("DepthToSpace", [n.conv("a", n.b.input("x", [1, 3, 4, 4]), 3, 12)], attributes);
    const groups = await cutAtRandom(n.done(n.conv("last", y, 3, 2)));
    expect(widths(groups)).toEqual({ a: 3 });
  });

  test("a pixel shuffle written as Reshape, Transpose, Reshape", async () => {
    const n = new Layers();
    const a = n.conv("a", n.b.input("x", [1, 3, 4, 4]), 3, 16);
    const y = n.b.reshape(n.b.transpose(n.b.reshape(a, [1, 4, 2, 2, 4, 4]), [0, 1, 4, 2, 5, 3]), [1, 4, 8, 8]);
    const groups = await cutAtRandom(n.done(n.conv("last", y, 4, 2)));
    expect(widths(groups)).toEqual({ a: 4 });
  });

  test("Split in chunks: gated halves are tied, free halves are groups of their own", async () => {
    const n = new Layers();
    const [value, gate] = n.b.emitMany(
      "Split",
      [n.conv("a", n.b.input("x", [1, 3, 4, 4]), 3, 8)],
      { axis: attr.int(1) },
      { outputs: 2 },
    );
    const glu = n.b.mul(value, n.b.emit("Sigmoid", [gate]));
    const [p, q] = n.b.emitMany(
      "Split",
      [n.conv("b", glu, 4, 6), n.b.ints([2, 4])],
      { axis: attr.int(1) },
      { outputs: 2 },
    );
    const groups = await cutAtRandom(n.done(n.conv("last", p, 2, 2), n.conv("end", n.b.relu(q), 4, 2)));
    expect(widths(groups)).toEqual({ a: 4, b: 2, "b#2": 4 });
  });

  test("chunks cut to unequal lengths are written out, old and new operator sets", async () => {
    for (const opset of [11, 13, 18]) {
      const n = new Layers(opset);
      const attributes = { axis: attr.int(1), ...(opset === 18 ? { num_outputs: attr.int(2) } : {}) };
      const [p, q] = n.b.emitMany("Split", [n.conv("a", n.b.input("x", [1, 3, 4, 4]), 3, 8)], attributes, {
        outputs: 2,
      });
      const g = n.done(n.conv("last", p, 4, 2), n.conv("end", q, 4, 2));
      const groups = findGroups(g);
      expect(widths(groups)).toEqual({ a: 4, "a#2": 4 });
      await expectSliceEqualsMask(g, groups, new Map([["a", Int32Array.of(1)]]), randomFeeds(g, 1), 1e-5);
    }
  });

  test("tokens: MatMul with bias, transposed to rows of channels", async () => {
    const n = new Layers();
    const a = n.conv("a", n.b.input("x", [1, 3, 4, 4]), 3, 6);
    const tokens = n.b.transpose(n.b.reshape(a, [1, 6, -1]), [0, 2, 1]);
    const hidden = n.b.add(n.b.matmul(tokens, n.parameter("w1", [6, 10]), { name: "up" }), n.parameter("b1", [10]));
    const g = n.done(n.b.matmul(n.b.emit("Erf", [hidden]), n.parameter("w2", [10, 3]), { name: "down" }));
    expect(widths(await cutAtRandom(g))).toEqual({ a: 6, up: 10 });
  });

  test("attention: queries and keys share a group, values have one", async () => {
    const n = new Layers();
    const x = n.b.input("x", [1, 5, 6]);
    const [q, k, v] = ["q", "k", "v"].map((name) => n.b.matmul(x, n.parameter(`w${name}`, [6, 8]), { name }));
    const scores = n.b.emit("Softmax", [n.b.matmul(q, n.b.transpose(k, [0, 2, 1]))], { axis: attr.int(-1) });
    const g = n.done(n.b.matmul(n.b.matmul(scores, v), n.parameter("wo", [8, 6]), { name: "o" }));
    expect(widths(await cutAtRandom(g))).toEqual({ q: 8, v: 8 });
  });

  test("a matrix per channel goes with its channel; its columns are channels of their own", async () => {
    const n = new Layers();
    const a = n.conv("a", n.b.input("x", [1, 3, 4, 4]), 3, 6);
    const each = n.b.matmul(a, n.parameter("each.weight", [6, 4, 5]), { name: "each" });
    const next = n.b.matmul(each, n.parameter("next.weight", [5, 4]), { name: "next" });
    const g = n.done(n.conv("last", next, 6, 2));
    const groups = await cutAtRandom(g);
    expect(widths(groups)).toEqual({ a: 6, each: 5 });
    const sliced = sliceGraph(g, groups, new Map([["a", Int32Array.of(1, 2)]]));
    expect(sliced.initializers.get("each.weight")?.dims).toEqual([2, 4, 5]);
  });

  test("channels that a Gather reorders", async () => {
    const n = new Layers();
    const y = n.b.emit("Gather", [n.conv("a", n.b.input("x", [1, 3, 4, 4]), 3, 5), n.b.ints([4, 2, 0, 1, 3])], {
      axis: attr.int(1),
    });
    expect(widths(await cutAtRandom(n.done(n.conv("last", y, 5, 2))))).toEqual({ a: 5 });
  });

  test("upsampling and addition, as in feature pyramids", async () => {
    const n = new Layers();
    const a = n.conv("a", n.b.input("x", [1, 3, 8, 8]), 3, 6);
    const low = n.conv(
      "low",
      n.b.emit("MaxPool", [a], { kernel_shape: attr.ints([2, 2]), strides: attr.ints([2, 2]) }),
      6,
      6,
    );
    const sizes = n.b.ints([1, 6, 8, 8]);
    const up = n.b.emit("Resize", [low, "", "", sizes], { mode: attr.string("nearest") });
    const other = n.b.emit("Resize", [n.conv("free", low, 6, 6), "", "", sizes], { mode: attr.string("nearest") });
    const groups = await cutAtRandom(n.done(n.conv("last", n.b.add(a, up), 6, 2), n.conv("end", other, 6, 2)));
    expect(widths(groups)).toEqual({ a: 6, free: 6 });
  });

  test("one weight for two branches ties them", async () => {
    const n = new Layers();
    const x = n.b.input("x", [1, 3, 4, 4]);
    const [a, b] = [n.conv("a", x, 3, 6), n.conv("b", x, 3, 6)];
    const shared = n.parameter("shared", [5, 6, 1, 1]);
    const [p, q] = [n.b.conv(a, shared, "", {}, { name: "p" }), n.b.conv(b, shared, "", {}, { name: "q" })];
    const groups = await cutAtRandom(n.done(n.conv("last", n.b.concat([p, q], 1), 10, 2)));
    expect(widths(groups)).toEqual({ a: 6, p: 5 });
  });

  test("a parameter that another node needs whole is not cut", () => {
    const n = new Layers();
    const x = n.b.input("x", [1, 3, 4, 4]);
    const w = n.parameter("w", [5, 3, 1, 1]);
    const y = n.conv("last", n.b.conv(x, w, "", {}, { name: "a" }), 5, 2);
    const norm = n.b.reduceSum(n.b.mul(w, n.b.input("s", [5, 3, 1, 1])), [0, 1, 2, 3], false, { name: "norm" });
    const groups = findGroups(n.done(y, norm));
    expect(groups.group("a").frozen).toContain('shares the parameter "w"');
  });
});

describe("statistics over channels are taken over what is left", () => {
  const renormalised = (groups: ChannelGroups): Record<string, string[]> =>
    Object.fromEntries(
      groups.groups.flatMap((e) => (e.renormalised ? [[e.id, e.renormalised.map((r) => r.node)]] : [])),
    );

  test("Softmax over channels", async () => {
    const n = new Layers();
    const soft = n.b.emit(
      "Softmax",
      [n.conv("a", n.b.input("x", [1, 3, 4, 4]), 3, 6)],
      { axis: attr.int(1) },
      { name: "soft" },
    );
    const groups = await cutAtRandom(n.done(n.conv("last", soft, 6, 2)));
    expect(widths(groups)).toEqual({ a: 6 });
    expect(renormalised(groups)).toEqual({ a: ["soft"] });
  });

  test("a residual stream with LayerNormalization; the hidden layer is free of it", async () => {
    const n = new Layers(20);
    const norm = (name: string, x: string) =>
      n.b.emit("LayerNormalization", [x, n.parameter(`${name}.g`, [6]), n.parameter(`${name}.b`, [6])], {}, { name });
    const stream = n.b.matmul(n.b.input("t", [1, 5, 3]), n.parameter("w", [3, 6]), { name: "embed" });
    const hidden = n.b.matmul(norm("ln1", stream), n.parameter("up.w", [6, 9]), { name: "up" });
    const back = n.b.matmul(n.b.emit("Gelu", [hidden]), n.parameter("down.w", [9, 6]), { name: "down" });
    const sum = n.b.add(stream, n.b.add(n.parameter("down.b", [6]), back));
    const g = n.done(n.b.matmul(norm("ln2", sum), n.parameter("v", [6, 2]), { name: "end" }));
    const groups = await cutAtRandom(g);
    expect(widths(groups)).toEqual({ embed: 6, up: 9 });
    expect(renormalised(groups)).toEqual({ embed: ["ln1", "ln2"] });
  });

  test("the same written out in primitive operators", async () => {
    const n = new Layers();
    const x = n.b.matmul(n.b.input("t", [1, 5, 3]), n.parameter("w", [3, 6]), { name: "embed" });
    const centred = n.b.sub(x, n.b.reduceMean(x, [-1]));
    const variance = n.b.reduceMean(n.b.mul(centred, centred), [-1]);
    const norm = n.b.div(centred, n.b.sqrt(n.b.add(variance, n.b.const(1e-5))));
    const scaled = n.b.add(n.b.mul(norm, n.parameter("g", [6])), n.parameter("b", [6]));
    const groups = await cutAtRandom(n.done(n.b.matmul(scaled, n.parameter("v", [6, 2]), { name: "end" })));
    expect(widths(groups)).toEqual({ embed: 6 });
    expect(renormalised(groups).embed).toHaveLength(2);
  });

  test("GroupNormalization is cut in whole groups, which keeps its statistics exactly", async () => {
    const n = new Layers(21);
    const norm = n.b.emit(
      "GroupNormalization",
      [n.conv("a", n.b.input("x", [1, 3, 4, 4]), 3, 12), n.parameter("g", [12]), n.parameter("b", [12])],
      { num_groups: attr.int(4) },
      { name: "norm" },
    );
    const g = n.done(n.conv("last", norm, 12, 2));
    const groups = await cutAtRandom(g);
    expect(widths(groups)).toEqual({ a: 4 });
    expect(renormalised(groups)).toEqual({});
    const sliced = sliceGraph(g, groups, new Map([["a", Int32Array.of(0, 3)]]));
    expect(sliced.nodes.find((e) => e.name === "norm")?.attributes.num_groups).toEqual(attr.int(2));
  });

  test("group normalisation written as Reshape, InstanceNormalization, Reshape: the groups are cut, not their places", async () => {
    const n = new Layers();
    const a = n.conv("a", n.b.input("x", [1, 3, 4, 4]), 3, 12);
    const rows = n.b.reshape(a, [0, 3, -1]);
    const norm = n.b.emit("InstanceNormalization", [rows, n.parameter("ones", [3]), n.parameter("zeros", [3])]);
    const scaled = n.b.mul(n.b.reshape(norm, [1, 12, 4, 4]), n.parameter("g", [12, 1, 1]));
    const groups = await cutAtRandom(n.done(n.conv("last", scaled, 12, 2)));
    expect(widths(groups)).toEqual({ a: 3 });
    expect(renormalised(groups)).toEqual({});
  });

  test("one group over all channels, in the same form, is renormalised", async () => {
    const n = new Layers();
    const a = n.conv("a", n.b.input("x", [1, 3, 4, 4]), 3, 8);
    const norm = n.b.emit(
      "InstanceNormalization",
      [n.b.reshape(a, [0, 1, -1]), n.parameter("one", [1]), n.parameter("zero", [1])],
      {},
      { name: "norm" },
    );
    const groups = await cutAtRandom(n.done(n.conv("last", n.b.reshape(norm, [1, 8, 4, 4]), 8, 2)));
    expect(widths(groups)).toEqual({ a: 8 });
    expect(renormalised(groups)).toEqual({ a: ["norm"] });
  });

  test("a convolution that slides over the channels' means (efficient channel attention)", async () => {
    const n = new Layers();
    const a = n.b.relu(n.conv("a", n.b.input("x", [1, 3, 6, 6]), 3, 8));
    const row = n.b.transpose(n.b.emit("Squeeze", [n.b.emit("GlobalAveragePool", [a]), n.b.ints([3])]), [0, 2, 1]);
    const p = { pads: attr.ints([1, 1]) };
    const slid = n.b.emit("Conv", [row, n.parameter("w", [1, 1, 3])], p, { name: "slide" });
    const gate = n.b.emit("Unsqueeze", [n.b.transpose(n.b.emit("Sigmoid", [slid]), [0, 2, 1]), n.b.ints([3])]);
    const groups = await cutAtRandom(n.done(n.conv("last", n.b.mul(a, gate), 8, 2)));
    expect(widths(groups)).toEqual({ a: 8 });
    expect(renormalised(groups)).toEqual({ a: ["slide"] });
  });

  test("the same, with reshapes that merge the convolution's one channel with the row", async () => {
    const n = new Layers();
    const a = n.b.relu(n.conv("a", n.b.input("x", [1, 3, 6, 6]), 3, 8));
    const row = n.b.emit("Reshape", [n.b.reduceMean(a, [2, 3], false), n.b.ints([1, 1, -1])]);
    const p = { pads: attr.ints([1, 1]) };
    const slid = n.b.emit("Conv", [row, n.parameter("w", [1, 1, 3])], p, { name: "slide" });
    const gate = n.b.emit("Sigmoid", [n.b.emit("Reshape", [slid, n.b.ints([1, -1, 1, 1])])]);
    const groups = await cutAtRandom(n.done(n.conv("last", n.b.mul(a, gate), 8, 2)));
    expect(widths(groups)).toEqual({ a: 8 });
    expect(renormalised(groups)).toEqual({ a: ["slide"] });
  });

  test("a spatial gate over the mean and the maximum of all channels", async () => {
    const n = new Layers();
    const a = n.b.relu(n.conv("a", n.b.input("x", [1, 3, 6, 6]), 3, 8));
    const mean = n.b.reduceMean(a, [1], true, { name: "mean" });
    const max = n.b.emit("ReduceMax", [a], { axes: attr.ints([1]) }, { name: "max" });
    const gate = n.b.emit("Sigmoid", [n.conv("gate", n.b.concat([mean, max], 1), 2, 1, { kernel: 3 })]);
    const groups = await cutAtRandom(n.done(n.conv("last", n.b.mul(a, gate), 8, 2)));
    expect(widths(groups)).toEqual({ a: 8 });
    expect(renormalised(groups)).toEqual({ a: ["mean", "max"] });
  });
});

describe("what cannot be cut", () => {
  test("an operator without a rule freezes its channels and is named", async () => {
    const n = new Layers();
    const a = n.conv("a", n.b.input("x", [1, 3, 4, 4]), 3, 6);
    const y = n.b.emit("Sparkle", [a], {}, { name: "odd", domain: "org.example" });
    n.b.output(n.conv("last", n.conv("b", y, 6, 4), 4, 2));
    expect(() => inferShapes(n.b.graph)).toThrow('org.example.Sparkle "odd": edgefit has no rule for operator');
    const g = inferShapes(n.b.graph, { unknown: (_, [x]) => [x ?? { elemType: "other" }] });
    const groups = findGroups(g);
    expect(reasons(groups).a).toBe('org.example.Sparkle "odd": edgefit has no rule for this operator');
    expect(widths(groups)).toEqual({ b: 4 });
  });

  test("the best channel's number and outputs freeze, each with its reason", () => {
    const n = new Layers();
    const x = n.b.input("x", [1, 3, 4, 4]);
    const best = n.b.emit("ArgMax", [n.conv("a", x, 3, 6)], { axis: attr.int(1) }, { name: "best" });
    const groups = findGroups(n.done(best, n.conv("last", n.conv("b", x, 3, 1), 1, 2)));
    expect(reasons(groups)).toEqual({
      a: 'ArgMax "best" numbers its channels',
      b: 'Conv "b" makes it, alone of its kind: one channel always stays',
      last: 'it is part of graph output "last_out"',
    });
  });

  test("what is tied into one channel says by whom", () => {
    const n = new Layers();
    const a = n.conv("a", n.b.input("x", [1, 3, 4, 4]), 3, 6);
    const groups = findGroups(
      n.done(n.conv("last", n.conv("two", n.conv("three", a, 6, 6, { group: 3 }), 6, 4, { group: 2 }), 4, 2)),
    );
    expect(widths(groups)).toEqual({ a: 2, two: 2 });
    expect(reasons(groups).three).toBe('Conv "two" ties its 6 channels into one');
  });

  test("keep sets are checked", () => {
    const n = new Layers();
    const g = n.done(n.conv("last", n.conv("a", n.b.input("x", [1, 3, 4, 4]), 3, 4), 4, 2));
    const groups = findGroups(g);
    const cut =
      (id: string, ...kept: number[]) =>
      () =>
        sliceGraph(g, groups, new Map([[id, Int32Array.from(kept)]]));
    expect(cut("a")).toThrow("would lose its last channel");
    expect(cut("a", 4)).toThrow("has 4 channels, channel 4 is not among them");
    expect(cut("a", 2, 1)).toThrow("out of order");
    expect(cut("last", 0)).toThrow('cannot be cut: it is part of graph output "last_out"');
    expect(cut("nowhere", 0)).toThrow('no channel group "nowhere"');
    expect(cut("a", 0, 1, 2, 3)()).toBe(g);
  });

  test("shared shape constants are left alone for their other readers", async () => {
    const n = new Layers();
    const shape = n.b.initializer("shape", ints([1, 6, 16]));
    const x = n.b.input("x", [1, 3, 4, 4]);
    const a = n.b.emit("Reshape", [n.conv("a", x, 3, 6), shape], {}, { name: "ra" });
    const b = n.b.emit("Reshape", [n.conv("b", x, 3, 6), shape], {}, { name: "rb" });
    const g = n.done(
      n.b.reduceMean(n.b.emit("Softmax", [a], { axis: attr.int(1) }), [2]),
      n.b.matmul(n.b.transpose(b, [0, 2, 1]), n.parameter("w", [6, 2])),
    );
    const groups = findGroups(g);
    const { sliced } = await expectSliceEqualsMask(
      g,
      groups,
      new Map([["b", Int32Array.of(0, 2)]]),
      randomFeeds(g, 1),
      1e-5,
    );
    expect(sliced.initializers.get("shape")).toEqual(fromNumbers("int64", [1, 6, 16], [3]));
  });
});
