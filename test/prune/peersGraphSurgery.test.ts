/** Failures that users of other pruners report, each as a small model that must come out right. */
import { describe, expect, test } from "vitest";
import { checkGraph } from "../../toolkit/graph/check.js";
import { attr, type Graph, typeOf } from "../../toolkit/graph/graph.js";
import { floats, ints, sizeOf } from "../../toolkit/graph/tensor.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { inspectModel } from "../../toolkit/inspect.js";
import { costsOf } from "../../toolkit/ops/costs.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { type ChannelGroups, findGroups, keptPositions } from "../../toolkit/prune/groups.js";
import { reconstruct } from "../../toolkit/prune/reconstruct.js";
import { relativeError } from "../../toolkit/prune/sensitivity.js";
import { sliceGraph } from "../../toolkit/prune/slice.js";
import { outputsOn } from "../../toolkit/prune/walk.js";
import { randomFeeds, randomKeep, runGraph } from "../support/graphs.js";
import { Layers } from "../support/layers.js";
import { expectSliceEqualsMask } from "../support/maskVersusSlice.js";

const widths = (groups: ChannelGroups): Record<string, number> =>
  Object.fromEntries(groups.prunable.map((e) => [e.id, e.width]));

/** Three random cuts of a tidied model; returns the graph and its groups. */
async function cutAtRandom(built: Graph): Promise<{ g: Graph; groups: ChannelGroups }> {
  const g = inferShapes(tidy(built));
  const groups = findGroups(g);
  expect(groups.prunable.length).toBeGreaterThan(0);
  for (const seed of [1, 2, 3])
    await expectSliceEqualsMask(g, groups, randomKeep(groups, seed, 0.5), randomFeeds(g, seed), 1e-5);
  return { g, groups };
}

const picture = (n: Layers, side = 6): string => n.b.input("x", ["N", 3, side, side]);

test("branches of a Concat are chosen separately", async () => {
  const n = new Layers();
  const x = picture(n);
  const joined = n.b.concat(
    ["a", "b", "c"].map((name, i) => n.conv(name, x, 3, 4 + i)),
    1,
  );
  const { g, groups } = await cutAtRandom(n.done(n.conv("last", joined, 15, 2)));
  expect(widths(groups)).toEqual({ a: 4, b: 5, c: 6 });
  const sliced = sliceGraph(g, groups, new Map([["b", Int32Array.of(4)]]));
  expect(sliced.initializers.get("last.weight")?.dims[1]).toBe(4 + 1 + 6);
  expect(sliced.initializers.get("a.weight")).toBe(g.initializers.get("a.weight"));
});

test("a channel shuffle written as view, transpose, view is followed, and what remains is divisible by its groups", async () => {
  const n = new Layers();
  const [left, right] = n.b.emitMany(
    "Split",
    [n.conv("stem", picture(n), 3, 8)],
    { axis: attr.int(1) },
    { outputs: 2 },
  );
  const branch = n.conv("in", n.conv("deep", n.conv("out", right, 4, 4), 4, 4, { group: 4, kernel: 3 }), 4, 4);
  const joined = n.b.concat([left, branch], 1);
  const rows = n.b.reshape(joined, [0, 2, 4, 6, 6], { out: "rows" });
  const shuffled = n.b.reshape(n.b.transpose(rows, [0, 2, 1, 3, 4]), [0, -1, 6, 6]);
  const { g, groups } = await cutAtRandom(n.done(n.conv("last", shuffled, 8, 2)));
  for (const seed of [4, 5]) {
    const sliced = sliceGraph(g, groups, randomKeep(groups, seed, 0.4));
    expect((typeOf(sliced, joined)?.dims?.[1] as number) % 2).toBe(0);
    expect(typeOf(sliced, "rows")?.dims?.[1]).toBe(2);
  }
});

describe("grouped convolutions", () => {
  test("keep as many channels in every group, before and behind", async () => {
    const n = new Layers();
    const a = n.conv("a", picture(n), 3, 12);
    const { g, groups } = await cutAtRandom(
      n.done(n.conv("last", n.conv("grouped", a, 12, 8, { group: 4, kernel: 3 }), 8, 2)),
    );
    expect(widths(groups)).toEqual({ a: 3, grouped: 2 });
    const sliced = sliceGraph(
      g,
      groups,
      new Map([
        ["a", Int32Array.of(2)],
        ["grouped", Int32Array.of(0)],
      ]),
    );
    expect(sliced.initializers.get("grouped.weight")?.dims).toEqual([4, 1, 3, 3]);
    expect(sliced.nodes.find((e) => e.name === "grouped")?.attributes.group).toEqual(attr.int(4));
  });

  test("of differing numbers of groups one after the other keep what suits both, or say why nothing can go", async () => {
    const n = new Layers();
    const a = n.conv("a", picture(n), 3, 8);
    const two = n.conv("two", a, 8, 12, { group: 2 });
    const { groups } = await cutAtRandom(n.done(n.conv("last", n.conv("four", two, 12, 8, { group: 4 }), 8, 2)));
    // Blocks of 6 on one side and of 3 on the other: what is left must be equal in every third.
    expect(widths(groups)).toEqual({ a: 4, two: 3, four: 2 });

    const m = new Layers();
    const three = m.conv("three", m.conv("b", picture(m), 3, 6), 6, 6, { group: 3 });
    const odd = findGroups(m.done(m.conv("end", m.conv("pair", three, 6, 4, { group: 2 }), 4, 2)));
    expect(odd.group("three").frozen).toBe('Conv "pair" ties its 6 channels into one');
  });

  test("transposed, and depthwise with a multiplier", async () => {
    const n = new Layers();
    const a = n.conv("a", picture(n), 3, 8);
    const up = n.b.emit(
      "ConvTranspose",
      [a, n.parameter("up.weight", [8, 3, 2, 2]), n.parameter("up.bias", [6])],
      { group: attr.int(2), strides: attr.ints([2, 2]) },
      { name: "up" },
    );
    const deep = n.conv("deep", up, 6, 18, { group: 6, kernel: 3 });
    const { groups } = await cutAtRandom(n.done(n.conv("last", deep, 18, 2)));
    expect(widths(groups)).toEqual({ a: 4, up: 3 });
  });
});

test.each(["DCR", "CRD"])("pixel shuffle in %s order is cut in blocks of r x r", async (mode) => {
  const n = new Layers();
  const a = n.conv("a", n.b.input("x", [1, 3, 4, 4]), 3, 18);
  const y = n.b.emit("DepthToSpace", [a], { blocksize: attr.int(3), mode: attr.string(mode) }, { out: "large" });
  const { g, groups } = await cutAtRandom(n.done(n.conv("last", y, 2, 2)));
  expect(widths(groups)).toEqual({ a: 2 });
  const sliced = sliceGraph(g, groups, new Map([["a", Int32Array.of(1)]]));
  const kept = keptPositions(groups, new Map([["a", Int32Array.of(1)]]), "a.weight", 0);
  const expected = mode === "CRD" ? [9, 10, 11, 12, 13, 14, 15, 16, 17] : [1, 3, 5, 7, 9, 11, 13, 15, 17];
  expect(Array.from(kept ?? [])).toEqual(expected);
  expect(typeOf(sliced, "large")?.dims).toEqual([1, 1, 12, 12]);
});

describe("a convolution followed by a gate is pruned, not passed over", () => {
  type Squeeze = (n: Layers, x: string) => string;
  const squeezes: [string, Squeeze][] = [
    ["GlobalAveragePool", (n, x) => n.b.emit("GlobalAveragePool", [x])],
    ["ReduceMean", (n, x) => n.b.reduceMean(x, [2, 3])],
    ["AveragePool over the whole map", (n, x) => n.b.emit("AveragePool", [x], { kernel_shape: attr.ints([6, 6]) })],
  ];

  test.each(squeezes)("squeeze and excite over %s", async (_, squeeze) => {
    const n = new Layers();
    const a = n.b.relu(n.conv("a", picture(n), 3, 8));
    const gate = n.conv("excite", n.b.relu(n.conv("squeeze", squeeze(n, a), 8, 3)), 3, 8);
    const { groups } = await cutAtRandom(n.done(n.conv("last", n.b.mul(a, n.b.emit("Sigmoid", [gate])), 8, 2)));
    expect(widths(groups)).toEqual({ a: 8, squeeze: 3 });
  });

  test.each(squeezes)("effective squeeze and excite (one layer) over %s", async (_, squeeze) => {
    const n = new Layers();
    const a = n.b.relu(n.conv("a", picture(n), 3, 8));
    const gate = n.b.emit("HardSigmoid", [n.conv("gate", squeeze(n, a), 8, 8)]);
    const { groups } = await cutAtRandom(n.done(n.conv("last", n.b.mul(gate, a), 8, 2)));
    expect(widths(groups)).toEqual({ a: 8 });
    expect(groups.group("a").producers.map((p) => p.node)).toEqual(["a", "gate"]);
  });

  test("the gate as a dense layer on flattened features", async () => {
    const n = new Layers();
    const a = n.b.relu(n.conv("a", picture(n), 3, 8));
    const flat = n.b.emit("Flatten", [n.b.emit("GlobalAveragePool", [a])]);
    const gate = n.gemm("excite", n.b.relu(n.gemm("squeeze", flat, 8, 3)), 3, 8);
    const map = n.b.reshape(n.b.emit("Sigmoid", [gate]), [-1, 8, 1, 1]);
    const { groups } = await cutAtRandom(n.done(n.conv("last", n.b.mul(a, map), 8, 2)));
    expect(widths(groups)).toEqual({ a: 8, squeeze: 3 });
  });
});

test("slopes of PRelu follow their channels; a slope shared by all is left alone", async () => {
  const n = new Layers();
  const a = n.b.emit("PRelu", [n.conv("a", picture(n), 3, 6), n.parameter("own", [6, 1, 1])]);
  const b = n.b.emit("PRelu", [n.conv("b", a, 6, 5), n.parameter("shared", [1, 1, 1])]);
  const { g, groups } = await cutAtRandom(n.done(n.conv("last", b, 5, 2)));
  const keep = new Map([
    ["a", Int32Array.of(1, 4)],
    ["b", Int32Array.of(0, 2)],
  ]);
  const sliced = sliceGraph(g, groups, keep);
  expect(sliced.initializers.get("own")?.dims).toEqual([2, 1, 1]);
  expect(sliced.initializers.get("shared")).toBe(g.initializers.get("shared"));
});

describe("the last convolution before the dense layer is pruned", () => {
  const ends: [string, (n: Layers, x: string) => string][] = [
    ["Flatten", (n, x) => n.b.emit("Flatten", [x])],
    ["Squeeze", (n, x) => n.b.emit("Squeeze", [x, n.b.ints([2, 3])])],
    ["Reshape to (batch, -1)", (n, x) => n.b.reshape(x, [0, -1])],
    [
      "view() as Shape, Gather, Concat, Reshape",
      (n, x) => {
        const batch = n.b.emit("Gather", [n.b.emit("Shape", [x]), n.b.ints(0)], { axis: attr.int(0) });
        const shape = n.b.concat([n.b.emit("Unsqueeze", [batch, n.b.ints([0])]), n.b.ints([-1])], 0);
        return n.b.emit("Reshape", [x, shape]);
      },
    ],
    [
      "view() with its sizes multiplied at run time",
      (n, x) => {
        const size = (axis: number) =>
          n.b.emit("Gather", [n.b.emit("Shape", [x]), n.b.ints([axis])], { axis: attr.int(0) });
        const shape = n.b.concat([size(0), n.b.mul(n.b.mul(size(1), size(2)), size(3))], 0);
        return n.b.emit("Reshape", [x, shape]);
      },
    ],
  ];

  test.each(ends)("through %s", async (_, end) => {
    const n = new Layers();
    const pooled = n.b.emit("GlobalAveragePool", [n.b.relu(n.conv("a", picture(n), 3, 7))]);
    const { groups } = await cutAtRandom(n.done(n.gemm("fc", end(n, pooled), 7, 3)));
    expect(widths(groups)).toEqual({ a: 7 });
  });

  test.each(ends.filter(([name]) => name !== "Squeeze"))(
    "through %s, each channel owning height x width columns",
    async (_, end) => {
      const n = new Layers();
      const { g, groups } = await cutAtRandom(
        n.done(n.gemm("fc", end(n, n.b.relu(n.conv("a", picture(n, 2), 3, 7))), 28, 3)),
      );
      expect(widths(groups)).toEqual({ a: 7 });
      const sliced = sliceGraph(g, groups, new Map([["a", Int32Array.of(0, 6)]]));
      expect(sliced.initializers.get("fc.weight")?.dims).toEqual([3, 8]);
    },
  );
});

describe("removing a channel is not zeroing it", () => {
  /** Channels 1 and 3 of `a` are dead: their scale is 0, but their shift is not. */
  function withDeadChannels(): Graph {
    const n = new Layers();
    const b = n.b.relu(n.batchNorm("bn", n.conv("a", n.b.input("x", ["N", 3, 6, 6]), 3, 5), 5));
    const g = n.done(n.conv("last", b, 5, 2));
    const scale = Float32Array.from(g.initializers.get("bn.scale")?.data as Float32Array);
    scale[1] = 0;
    scale[3] = 0;
    g.initializers.set("bn.scale", floats(scale));
    return g;
  }
  const batches = [1, 2, 3, 4].map((seed) => randomFeeds(withDeadChannels(), seed, [-1, 1], 4).x);

  test("a dead channel with a shift is taken up by the next bias", async () => {
    const g = withDeadChannels();
    const groups = findGroups(g);
    const keep = new Map([["a", Int32Array.of(0, 2, 4)]]);
    const sliced = sliceGraph(g, groups, keep);
    const reference = await outputsOn(g, batches);
    expect(relativeError(await outputsOn(sliced, batches), reference)).toBeGreaterThan(1e-3);
    const repaired = await reconstruct(g, sliced, (name, axis) => keptPositions(groups, keep, name, axis), batches);
    expect(relativeError(await outputsOn(repaired, batches), reference)).toBeLessThan(1e-8);
  });

  test("truly dead channels (scale and shift 0) go without a trace", async () => {
    const g = withDeadChannels();
    const shift = Float32Array.from(g.initializers.get("bn.shift")?.data as Float32Array);
    const mean = Float32Array.from(g.initializers.get("bn.mean")?.data as Float32Array);
    for (const dead of [1, 3]) [shift[dead], mean[dead]] = [0, 0];
    g.initializers.set("bn.shift", floats(shift)).set("bn.mean", floats(mean));
    const sliced = sliceGraph(g, findGroups(g), new Map([["a", Int32Array.of(0, 2, 4)]]));
    expect(relativeError(await outputsOn(sliced, batches), await outputsOn(g, batches))).toBeLessThan(1e-10);
  });
});

describe("an edit is made as a whole or not at all", () => {
  test("a reshape does not lose what was cut: input and output counts agree behind it", async () => {
    const n = new Layers();
    const a = n.conv("a", picture(n, 4), 3, 6);
    const tokens = n.b.transpose(n.b.reshape(a, [0, 6, 16]), [0, 2, 1]);
    const up = n.b.matmul(tokens, n.parameter("up.weight", [6, 8]), { name: "up" });
    const back = n.b.reshape(n.b.transpose(up, [0, 2, 1]), [0, 8, 4, 4], { out: "back" });
    const { g, groups } = await cutAtRandom(n.done(n.conv("last", back, 8, 2)));
    expect(widths(groups)).toEqual({ a: 6, up: 8 });
    const sliced = sliceGraph(
      g,
      groups,
      new Map([
        ["a", Int32Array.of(5)],
        ["up", Int32Array.of(0, 3, 7)],
      ]),
    );
    expect(typeOf(sliced, "back")?.dims?.slice(1)).toEqual([3, 4, 4]);
    expect(sliced.initializers.get("up.weight")?.dims).toEqual([1, 3]);
    expect(sliced.initializers.get("last.weight")?.dims).toEqual([2, 3, 1, 1]);
  });

  test("a keep set that does not fit leaves the graph as it was", () => {
    const n = new Layers();
    const g = n.done(n.conv("last", n.conv("b", n.conv("a", picture(n), 3, 6), 6, 5), 5, 2));
    const before = new Map(g.initializers);
    const groups = findGroups(g);
    const keep = new Map([
      ["a", Int32Array.of(0, 1)],
      ["b", Int32Array.of(0, 9)],
    ]);
    expect(() => sliceGraph(g, groups, keep)).toThrow('channel group "b" has 5 channels, channel 9 is not among them');
    expect([...g.initializers]).toEqual([...before]);
    checkGraph(g);
  });
});

describe("operators that are not on a list", () => {
  test.each([
    "HardSwish",
    "HardSigmoid",
    "Mish",
    "Softplus",
    "Softsign",
    "Elu",
    "Celu",
    "Selu",
    "ThresholdedRelu",
    "Erf",
  ])("%s passes channels", async (op) => {
    const n = new Layers(18);
    const { groups } = await cutAtRandom(n.done(n.conv("last", n.b.emit(op, [n.conv("a", picture(n), 3, 6)]), 6, 2)));
    expect(widths(groups)).toEqual({ a: 6 });
  });

  test("an unknown one freezes what meets it, and is listed with its name, operator and node", () => {
    const n = new Layers();
    const odd = n.b.emit("Sparkle", [n.conv("a", picture(n), 3, 6)], {}, { name: "odd", domain: "org.example" });
    n.b.output(n.conv("last", n.conv("b", odd, 6, 4), 4, 2));
    n.b.graph.valueTypes.set(odd, { elemType: "float32", dims: ["N", 6, 6, 6] });
    n.b.graph.opsets.set("org.example", 1);
    const found = inspectModel(n.b.graph);
    expect(found.groups.map((e) => e.id)).toEqual(["b"]);
    expect(found.frozen.find((e) => e.id === "a")?.reason).toBe(
      'org.example.Sparkle "odd": edgefit has no rule for this operator',
    );
    expect(found.unknownOps).toEqual({ "org.example.Sparkle": 1 });
  });

  test("control flow freezes what it captures, and is named", () => {
    const n = new Layers();
    const a = n.conv("a", picture(n), 3, 6);
    const branch = (name: string, op: string): Graph => {
      const inner = new Layers();
      inner.b.graph.nodes.push({ name, opType: op, domain: "", inputs: [a], outputs: [`${name}.y`], attributes: {} });
      inner.b.output(`${name}.y`, { elemType: "float32", dims: ["N", 6, 6, 6] });
      return inner.b.graph;
    };
    const y = n.b.emit(
      "If",
      [n.b.input("flag", [], "bool")],
      {
        then_branch: { type: "graph", value: branch("yes", "Relu") },
        else_branch: { type: "graph", value: branch("no", "Neg") },
      },
      { name: "choice" },
    );
    n.b.output(n.conv("last", n.conv("b", y, 6, 4), 4, 2));
    n.b.graph.valueTypes.set(y, { elemType: "float32", dims: ["N", 6, 6, 6] });
    const found = inspectModel(n.b.graph);
    expect(found.groups.map((e) => e.id)).toEqual(["b"]);
    expect(found.frozen.find((e) => e.id === "a")?.reason).toContain('If "choice"');
  });

  test("every frozen group has a sentence that names a node or an output", () => {
    const n = new Layers();
    const a = n.conv("a", picture(n), 3, 6);
    const best = n.b.emit("ArgMax", [n.conv("b", a, 6, 4)], { axis: attr.int(1) }, { name: "best" });
    const found = inspectModel(n.done(best, n.conv("one", a, 6, 1), n.conv("out", n.conv("last", a, 6, 4), 4, 2)));
    const names = new Set([...found.nodes.map((e) => e.name), ...found.outputs.map((e) => e.name)]);
    expect(found.frozen.length).toBeGreaterThan(2);
    for (const { reason } of found.frozen) {
      const quoted = [...reason.matchAll(/"([^"]+)"/g)].map((m) => m[1]);
      expect(
        quoted.some((name) => names.has(name)),
        reason,
      ).toBe(true);
    }
  });
});

describe("a pruned model is a smaller model", () => {
  async function cut(): Promise<{ g: Graph; sliced: Graph }> {
    const n = new Layers();
    const stem = n.b.relu(n.conv("stem", picture(n), 3, 8));
    const gate = n.b.emit("Sigmoid", [n.conv("gate", n.b.emit("GlobalAveragePool", [stem]), 8, 8)]);
    const split = n.b.emitMany("Split", [n.b.mul(stem, gate)], { axis: attr.int(1) }, { outputs: 2 });
    const shape = n.b.initializer("shape", ints([0, 8, 36]));
    const joined = n.b.emit("Reshape", [n.b.concat([split[1], split[0]], 1), shape]);
    const g = inferShapes(tidy(n.done(n.b.matmul(n.parameter("w", [4, 8]), joined, { name: "end" }))));
    const groups = findGroups(g);
    const keep = new Map(groups.prunable.map((e) => [e.id, Int32Array.of(e.width - 1)]));
    const { sliced } = await expectSliceEqualsMask(g, groups, keep, randomFeeds(g, 1));
    return { g, sliced };
  }

  test("no operator is added: no gathers, no masks", async () => {
    const { g, sliced } = await cut();
    expect(sliced.nodes.map((n) => n.opType)).toEqual(g.nodes.map((n) => n.opType));
    expect(sliced.nodes.map((n) => n.name)).toEqual(g.nodes.map((n) => n.name));
  });

  test("removed weights are gone, not zero", async () => {
    const { g, sliced } = await cut();
    const elements = (e: Graph): number => [...e.initializers.values()].reduce((s, t) => s + sizeOf(t.dims), 0);
    expect(elements(sliced)).toBeLessThan(0.5 * elements(g));
    expect(costsOf(sliced).macs).toBeLessThan(0.5 * costsOf(g).macs);
    for (const [name, t] of sliced.initializers)
      if (t.elemType === "float32")
        expect(
          Array.from(t.data as Float32Array).every((v) => v !== 0),
          name,
        ).toBe(true);
    expect(Object.keys(await runGraph(sliced, randomFeeds(sliced, 2)))).toEqual(g.outputs.map((v) => v.name));
  });
});
