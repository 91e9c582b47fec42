/** Transformers: which of their widths can be cut, that cuts are what the masked net says, and that they can be ranked. */
import { describe, expect, test } from "vitest";
import { attr } from "../../toolkit/graph/graph.js";
import { inspectModel } from "../../toolkit/inspect.js";
import { costsOf } from "../../toolkit/ops/costs.js";
import type { Criterion } from "../../toolkit/options.js";
import { type ChannelGroups, findGroups, keptPositions } from "../../toolkit/prune/groups.js";
import { reconstruct } from "../../toolkit/prune/reconstruct.js";
import { readerMoments, relativeError, withoutChannels } from "../../toolkit/prune/sensitivity.js";
import { outputsOn } from "../../toolkit/prune/walk.js";
import { rank } from "../../toolkit/ranking.js";
import { randomFeeds, randomKeep } from "../support/graphs.js";
import { Layers } from "../support/layers.js";
import { expectSliceEqualsMask } from "../support/maskVersusSlice.js";
import { type TransformerOptions, visionTransformer } from "../support/transformer.js";

const widths = (groups: ChannelGroups): Record<string, number> =>
  Object.fromEntries(groups.prunable.map((e) => [e.id, e.width]));

describe.each<[string, TransformerOptions]>([
  ["layer norms as operators", {}],
  ["queries, keys and values in one product", { packed: true }],
  ["layer norms in primitive operators", { primitives: true, packed: true }],
])("a vision transformer, %s", (_, options) => {
  const g = visionTransformer(options);
  const groups = findGroups(g);

  test("the stream, the heads and the hidden layers can be cut", () => {
    const block = (i: number) =>
      options.packed
        ? { [`block${i}.qkv`]: 6, [`block${i}.up`]: 20 }
        : { [`block${i}.q`]: 6, [`block${i}.v`]: 6, [`block${i}.up`]: 20 };
    expect(widths(groups)).toEqual({ patch: 12, ...block(0), ...block(1) });
    expect(groups.group("patch").renormalised?.length).toBe(options.primitives ? 10 : 5);
    for (const e of groups.prunable) if (e.id !== "patch") expect(e.renormalised).toBeUndefined();
  });

  test("cut at random, it computes what the masked net does", async () => {
    for (const seed of [1, 2, 3]) {
      const { sliced } = await expectSliceEqualsMask(g, groups, randomKeep(groups, seed, 0.5), randomFeeds(g, seed));
      expect(costsOf(sliced).params).toBeLessThan(0.7 * costsOf(g).params);
    }
  });

  test("inspect says which of its groups see other statistics after a cut", () => {
    const found = inspectModel(g);
    const marked = found.groups.filter((e) => e.renormalisedBy);
    expect(marked.map((e) => e.id)).toEqual(["patch"]);
    expect(marked[0].renormalisedBy).toContain(options.primitives ? "block1.norm2.variance" : "block1.norm2");
  });

  test("every width of it can be ranked and weighed", async () => {
    const batches = [1, 2].map((seed) => randomFeeds(g, seed).x);
    const candidates = new Map(groups.prunable.map((e) => [e.id, [e.width >> 1, e.width]]));
    for (const criterion of ["reconstruction", "l2"] as Criterion[]) {
      const r = await rank(g, groups, { criterion, calibration: batches, labels: [], heldBack: batches, candidates });
      for (const e of groups.prunable) {
        expect([...r.orders.get(e.id)!].sort((p, q) => p - q)).toEqual(Array.from({ length: e.width }, (_x, i) => i));
        const { loss } = r.losses.get(e.id)!;
        expect(loss[1]).toBe(0);
        expect(loss[0]).toBeGreaterThan(1e-6);
      }
    }
  });
});

test("what the measured loss of a width stands for is the cut net itself", async () => {
  // Without any reader that least squares could solve, the loss is that of the plain cut.
  const g = visionTransformer({ blocks: 1 });
  const groups = findGroups(g);
  const batches = [randomFeeds(g, 1).x];
  const candidates = new Map([["block0.q", [3, 6]]]);
  const options = { calibration: batches, labels: [], heldBack: batches, candidates };
  const r = await rank(g, groups, { criterion: "l1", ...options });
  const keep = new Map([["block0.q", r.orders.get("block0.q")!.slice(3).sort()]]);
  const { sliced } = await expectSliceEqualsMask(g, groups, keep, { x: batches[0] });
  const moved = relativeError(await outputsOn(sliced, batches), await outputsOn(g, batches));
  expect(r.losses.get("block0.q")!.loss[0]).toBeCloseTo(moved, 5);
});

test("least squares brings a cut transformer nearer to the original", async () => {
  const g = visionTransformer();
  const groups = findGroups(g);
  const batches = Array.from({ length: 12 }, (_, i) => randomFeeds(g, i + 1).x);
  const unseen = Array.from({ length: 4 }, (_, i) => randomFeeds(g, i + 50).x);
  const keep = randomKeep(groups, 3, 0.75);
  const { sliced } = await expectSliceEqualsMask(g, groups, keep, { x: unseen[0] });
  const repaired = await reconstruct(g, sliced, (name, axis) => keptPositions(groups, keep, name, axis), batches);
  const reference = await outputsOn(g, unseen);
  const [before, after] = [await outputsOn(sliced, unseen), await outputsOn(repaired, unseen)];
  expect(relativeError(after, reference)).toBeLessThan(0.5 * relativeError(before, reference));
});

test("a dead hidden channel with a mean is taken up by the bias that is added behind the product", async () => {
  const g = visionTransformer({ blocks: 1 });
  const [weight, bias] = ["weight", "bias"].map((p) => g.initializers.get(`block0.up.${p}`)?.data as Float32Array);
  // Channels 3 and 11 see nothing; GELU leaves them a constant that the next layer spreads.
  for (const dead of [3, 11]) {
    for (let row = 0; row < 12; row++) weight[row * 20 + dead] = 0;
    bias[dead] = 2;
  }
  const groups = findGroups(g);
  const keep = new Map([
    ["block0.up", Int32Array.from({ length: 20 }, (_, i) => i).filter((i) => i !== 3 && i !== 11)],
  ]);
  const batches = Array.from({ length: 6 }, (_, i) => randomFeeds(g, i + 1).x);
  const unseen = Array.from({ length: 3 }, (_, i) => randomFeeds(g, i + 50).x);
  const { sliced } = await expectSliceEqualsMask(g, groups, keep, { x: unseen[0] });
  const repaired = await reconstruct(g, sliced, (name, axis) => keptPositions(groups, keep, name, axis), batches);
  const reference = await outputsOn(g, unseen);
  expect(relativeError(await outputsOn(sliced, unseen), reference)).toBeGreaterThan(1e-2);
  expect(relativeError(await outputsOn(repaired, unseen), reference)).toBeLessThan(1e-5);
  // So does the measured loss of the width.
  const moments = await readerMoments(g, groups, batches);
  const blind = withoutChannels(g, groups, groups.group("block0.up"), keep.get("block0.up")!, moments);
  expect(relativeError(await outputsOn(blind, unseen), reference)).toBeLessThan(1e-5);
});

test("a mixer: its token layers see channels as rows, and are left alone by the repair", async () => {
  const n = new Layers(20);
  const { b } = n;
  const norm = (name: string, x: string) =>
    b.emit("LayerNormalization", [x, n.parameter(`${name}.g`, [8]), n.parameter(`${name}.b`, [8])], {}, { name });
  const mlp = (name: string, x: string, from: number, hidden: number) => {
    const up = b.matmul(x, n.parameter(`${name}.up`, [from, hidden], -0.5, 0.5), { name: `${name}.up` });
    return b.matmul(b.emit("Gelu", [up]), n.parameter(`${name}.down`, [hidden, from], -0.5, 0.5), {
      name: `${name}.down`,
    });
  };
  let x = b.transpose(b.reshape(n.conv("patch", b.input("x", [1, 3, 4, 4]), 3, 8), [1, 8, 16]), [0, 2, 1]);
  x = b.add(x, b.transpose(mlp("tokens", b.transpose(norm("ln1", x), [0, 2, 1]), 16, 10), [0, 2, 1]));
  x = b.add(x, mlp("channels", norm("ln2", x), 8, 12));
  const g = n.done(b.matmul(b.reduceMean(x, [1], false), n.parameter("head", [8, 4]), { name: "head" }));
  const groups = findGroups(g);
  expect(widths(groups)).toEqual({ patch: 8, "tokens.up": 10, "channels.up": 12 });
  const batches = [1, 2, 3, 4, 5, 6].map((seed) => randomFeeds(g, seed).x);
  const candidates = new Map(groups.prunable.map((e) => [e.id, [e.width >> 1, e.width]]));
  const r = await rank(g, groups, {
    criterion: "reconstruction",
    calibration: batches,
    labels: [],
    heldBack: batches,
    candidates,
  });
  for (const e of groups.prunable) expect(r.losses.get(e.id)!.loss[0]).toBeGreaterThan(1e-6);
  const keep = randomKeep(groups, 1, 0.7);
  const { sliced } = await expectSliceEqualsMask(g, groups, keep, { x: batches[0] });
  const repaired = await reconstruct(g, sliced, (name, axis) => keptPositions(groups, keep, name, axis), batches);
  const reference = await outputsOn(g, batches);
  const [plain, better] = [await outputsOn(sliced, batches), await outputsOn(repaired, batches)];
  expect(relativeError(better, reference)).toBeLessThan(relativeError(plain, reference));
});

describe("attention in other forms", () => {
  async function cutAtRandom(g: ReturnType<typeof visionTransformer>): Promise<ChannelGroups> {
    const groups = findGroups(g);
    for (const seed of [1, 2, 3])
      await expectSliceEqualsMask(g, groups, randomKeep(groups, seed, 0.5), randomFeeds(g, seed), 1e-5);
    return groups;
  }

  test("over windows, with a table of relative places: the stream stays linked through them", async () => {
    const n = new Layers(20);
    const { b } = n;
    const x = b.transpose(n.conv("stem", b.input("x", [1, 3, 4, 4]), 3, 8), [0, 2, 3, 1]);
    const windows = b.reshape(b.transpose(b.reshape(x, [1, 2, 2, 2, 2, 8]), [0, 1, 3, 2, 4, 5]), [4, 4, 8]);
    const [q, k, v] = ["q", "k", "v"].map((name) => {
      const y = b.matmul(windows, n.parameter(`${name}.weight`, [8, 8]), { name });
      return b.transpose(b.reshape(y, [4, 4, 2, 4]), [0, 2, 1, 3]);
    });
    const scores = b.matmul(q, b.transpose(k, [0, 1, 3, 2]));
    const places = b.emit("Gather", [
      n.parameter("table", [9, 2]),
      b.ints(Array.from({ length: 16 }, (_, i) => i % 9)),
    ]);
    const bias = b.transpose(b.reshape(places, [1, 4, 4, 2]), [0, 3, 1, 2]);
    const soft = b.emit("Softmax", [b.add(scores, bias)], { axis: attr.int(-1) });
    const joined = b.reshape(b.transpose(b.matmul(soft, v), [0, 2, 1, 3]), [4, 4, 8]);
    const back = b.reshape(b.transpose(b.reshape(joined, [1, 2, 2, 2, 2, 8]), [0, 1, 3, 2, 4, 5]), [1, 4, 4, 8]);
    const sum = b.add(x, b.matmul(back, n.parameter("o.weight", [8, 8]), { name: "o" }));
    const groups = await cutAtRandom(n.done(n.conv("last", b.transpose(sum, [0, 3, 1, 2]), 8, 2)));
    expect(widths(groups)).toEqual({ stem: 8, q: 4, v: 4 });
  });

  test("more heads than places in a head: whole heads are cut, with their relative places", async () => {
    const n = new Layers(20);
    const { b } = n;
    const x = b.input("x", [1, 5, 6]);
    const [q, k, v] = ["q", "k", "v"].map((name) => {
      const y = b.matmul(x, n.parameter(`${name}.weight`, [6, 8]), { name });
      return b.transpose(b.reshape(y, [1, 5, 4, 2]), [0, 2, 1, 3]);
    });
    const scores = b.add(b.matmul(q, b.transpose(k, [0, 1, 3, 2])), n.parameter("bias", [1, 4, 5, 5]));
    const attended = b.matmul(b.emit("Softmax", [scores], { axis: attr.int(-1) }), v);
    const joined = b.reshape(b.transpose(attended, [0, 2, 1, 3]), [1, 5, 8]);
    const groups = await cutAtRandom(n.done(b.matmul(joined, n.parameter("o.weight", [8, 6]), { name: "o" })));
    expect(widths(groups)).toEqual({ q: 4 });
    expect(groups.group("q").producers.map((p) => p.node)).toEqual(["q", "k", "v"]);
  });

  test("keys and values of grouped queries", async () => {
    const n = new Layers(20);
    const { b } = n;
    const x = b.input("x", [1, 5, 6]);
    const q = b.matmul(x, n.parameter("q.weight", [6, 16]), { name: "q" });
    const queries = b.transpose(b.reshape(q, [1, 5, 4, 4]), [0, 2, 1, 3]);
    const [k, v] = ["k", "v"].map((name) => {
      const y = b.transpose(
        b.reshape(b.matmul(x, n.parameter(`${name}.weight`, [6, 8]), { name }), [1, 5, 2, 4]),
        [0, 2, 1, 3],
      );
      const repeated = b.emit("Expand", [b.emit("Unsqueeze", [y, b.ints([2])]), b.ints([1, 2, 2, 5, 4])]);
      return b.reshape(repeated, [1, 4, 5, 4]);
    });
    const soft = b.emit("Softmax", [b.matmul(queries, b.transpose(k, [0, 1, 3, 2]))], { axis: attr.int(-1) });
    const joined = b.reshape(b.transpose(b.matmul(soft, v), [0, 2, 1, 3]), [1, 5, 16]);
    const groups = await cutAtRandom(n.done(b.matmul(joined, n.parameter("o.weight", [16, 6]), { name: "o" })));
    expect(widths(groups)).toEqual({ q: 4, v: 4 });
  });

  test("attention between channels: its softmax runs over what is left", async () => {
    const n = new Layers(20);
    const { b } = n;
    const x = b.reshape(n.conv("stem", b.input("x", [1, 3, 4, 4]), 3, 6), [1, 6, 16]);
    const [q, k, v] = ["q", "k", "v"].map((name) => b.matmul(n.parameter(`${name}.weight`, [8, 6]), x, { name }));
    const soft = b.emit("Softmax", [b.matmul(q, b.transpose(k, [0, 2, 1]))], { axis: attr.int(-1) }, { name: "soft" });
    const y = b.reshape(b.matmul(soft, v), [1, 8, 4, 4]);
    const groups = await cutAtRandom(n.done(n.conv("last", y, 8, 2)));
    expect(widths(groups)).toEqual({ stem: 6, q: 8, k: 8 });
    expect(groups.group("k").renormalised?.map((r) => r.node)).toEqual(["soft"]);
  });

  test.each(["halves", "neighbours"])("rotary places, %s of a head turned together", async (form) => {
    const n = new Layers(20);
    const { b } = n;
    const x = b.input("x", [1, 5, 6]);
    const turned = (y: string): string => {
      if (form === "halves") {
        const [first, second] = b.emitMany("Split", [y, b.ints([4, 4])], { axis: attr.int(-1) }, { outputs: 2 });
        return b.concat([b.neg(second), first], -1);
      }
      const part = (start: number): string =>
        b.emit("Slice", [y, b.ints([start]), b.ints([99]), b.ints([-1]), b.ints([2])]);
      const pairs = [b.neg(part(1)), part(0)].map((e) => b.emit("Unsqueeze", [e, b.ints([-1])]));
      return b.reshape(b.concat(pairs, -1), [1, 2, 5, 8]);
    };
    const [cos, sin] = ["cos", "sin"].map((name) => n.parameter(name, [5, 8]));
    const [q, k, v] = ["q", "k", "v"].map((name) => {
      const y = b.matmul(x, n.parameter(`${name}.weight`, [6, 16]), { name });
      const heads = b.transpose(b.reshape(y, [1, 5, 2, 8]), [0, 2, 1, 3]);
      return name === "v" ? heads : b.add(b.mul(heads, cos), b.mul(turned(heads), sin));
    });
    const soft = b.emit("Softmax", [b.matmul(q, b.transpose(k, [0, 1, 3, 2]))], { axis: attr.int(-1) });
    const joined = b.reshape(b.transpose(b.matmul(soft, v), [0, 2, 1, 3]), [1, 5, 16]);
    const groups = await cutAtRandom(n.done(b.matmul(joined, n.parameter("o.weight", [16, 6]), { name: "o" })));
    expect(widths(groups)).toEqual({ q: 4, v: 8 });
  });

  test("a product of a map with itself", async () => {
    const n = new Layers(20);
    const rows = n.b.reshape(n.conv("a", n.b.input("x", [1, 3, 4, 4]), 3, 6), [1, 6, 16]);
    const gram = n.b.matmul(n.b.transpose(rows, [0, 2, 1]), rows);
    const groups = await cutAtRandom(n.done(n.b.matmul(gram, n.parameter("w", [16, 2]))));
    expect(widths(groups)).toEqual({ a: 6 });
  });

  test("by Einsum", async () => {
    const n = new Layers(20);
    const { b } = n;
    const x = b.input("x", [1, 5, 6]);
    const einsum = (equation: string, name: string, ...inputs: string[]) =>
      b.emit("Einsum", inputs, { equation: attr.string(equation) }, { name });
    const [q, k, v] = ["q", "k", "v"].map((name) =>
      einsum("btc,chd->bhtd", name, x, n.parameter(`${name}.w`, [6, 2, 4])),
    );
    const soft = b.emit("Softmax", [einsum("bhtd,bhsd->bhts", "scores", q, k)], { axis: attr.int(-1) });
    const y = einsum("bhts,bhsd->bthd", "attended", soft, v);
    const groups = await cutAtRandom(n.done(einsum("bthd,hdc->btc", "o", y, n.parameter("o.w", [2, 4, 6]))));
    expect(widths(groups)).toEqual({ q: 2, "q#2": 4, v: 4 });
  });
});
