/** Random nets of the operators that carry channels around, random cuts: sliced equals masked, and lengths are as predicted. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Ref } from "../../toolkit/graph/builder.js";
import { attr, type Graph, typeOf } from "../../toolkit/graph/graph.js";
import { findGroups } from "../../toolkit/prune/groups.js";
import { randomFeeds, randomKeep } from "../support/graphs.js";
import { Layers } from "../support/layers.js";
import { expectSliceEqualsMask } from "../support/maskVersusSlice.js";

/** A feature map [1, channels, side, side]. */
interface FeatureMap {
  ref: Ref;
  channels: number;
  side: number;
}

interface Step {
  op: number;
  /** Which of the maps made so far it reads. */
  a: number;
  b: number;
  /** A size, a place, or a choice. */
  c: number;
}

interface Draft {
  n: Layers;
  maps: FeatureMap[];
  name: string;
}

/** Emits one operator on map `x`; returns what it made, or nothing where it does not apply. */
type Move = (d: Draft, x: FeatureMap, y: FeatureMap, c: number) => FeatureMap[];

const same = (x: FeatureMap, ref: Ref): FeatureMap[] => [{ ...x, ref }];
const pick = <T>(list: readonly T[], i: number): T => list[i % list.length];

const moves: Record<string, Move> = {
  conv: ({ n, name }, x, _, c) => {
    const channels = 2 + (c % 7);
    return [{ ...x, ref: n.conv(name, x.ref, x.channels, channels, { kernel: 1 + 2 * (c % 2) }), channels }];
  },
  stridedConv: ({ n, name }, x, _, c) =>
    x.side < 4
      ? []
      : [
          {
            ref: n.conv(name, x.ref, x.channels, 4 + (c % 3), { stride: 2, kernel: 3 }),
            channels: 4 + (c % 3),
            side: x.side / 2,
          },
        ],
  groupedConv: ({ n, name }, x, _, c) => {
    const group = [2, 3].find((g) => x.channels % g === 0 && x.channels > g);
    if (!group) return [];
    const channels = group * (1 + (c % 3));
    return [{ ...x, ref: n.conv(name, x.ref, x.channels, channels, { group }), channels }];
  },
  depthwise: ({ n, name }, x, _, c) => {
    const channels = x.channels * (1 + (c % 2));
    return [{ ...x, ref: n.conv(name, x.ref, x.channels, channels, { group: x.channels, kernel: 3 }), channels }];
  },
  batchNorm: ({ n, name }, x) => same(x, n.batchNorm(name, x.ref, x.channels)),
  activation: ({ n }, x, _, c) => same(x, n.b.emit(pick(["Relu", "HardSwish", "Sigmoid", "Tanh"], c), [x.ref])),
  prelu: ({ n, name }, x) => same(x, n.b.emit("PRelu", [x.ref, n.parameter(`${name}.slope`, [x.channels, 1, 1])])),
  scale: ({ n, name }, x) => same(x, n.b.mul(x.ref, n.parameter(`${name}.scale`, [1, x.channels, 1, 1]))),
  add: ({ n }, x, y) => (x.channels === y.channels && x.side === y.side ? same(x, n.b.add(x.ref, y.ref)) : []),
  project: ({ n, name }, x, y) =>
    x.side === y.side ? same(x, n.b.add(x.ref, n.conv(name, y.ref, y.channels, x.channels))) : [],
  gate: ({ n, name }, x, _, c) => {
    const pooled = n.b.emit("GlobalAveragePool", [x.ref]);
    const hidden = n.b.relu(n.conv(`${name}a`, pooled, x.channels, 1 + (c % 4)));
    return same(x, n.b.mul(x.ref, n.b.emit("Sigmoid", [n.conv(`${name}b`, hidden, 1 + (c % 4), x.channels)])));
  },
  spatialGate: ({ n, name }, x) => same(x, n.b.mul(x.ref, n.conv(name, x.ref, x.channels, 1))),
  concat: ({ n }, x, y) =>
    x.side === y.side && x.channels + y.channels < 24
      ? [{ ...x, ref: n.b.concat([x.ref, y.ref], 1), channels: x.channels + y.channels }]
      : [],
  split: ({ n }, x, _, c) => {
    if (x.channels < 2) return [];
    const first = 1 + (c % (x.channels - 1));
    const sizes = [first, x.channels - first];
    const refs = n.b.emitMany("Split", [x.ref, n.b.ints(sizes)], { axis: attr.int(1) }, { outputs: 2 });
    return refs.map((ref, i) => ({ ...x, ref, channels: sizes[i] }));
  },
  halves: ({ n }, x) => {
    if (x.channels % 2) return [];
    const [p, q] = n.b.emitMany("Split", [x.ref], { axis: attr.int(1) }, { outputs: 2 });
    return [{ ...x, ref: n.b.mul(p, n.b.emit("Sigmoid", [q])), channels: x.channels / 2 }];
  },
  slice: ({ n }, x, _, c) => {
    const start = c % x.channels;
    const channels = Math.max(1, Math.min(3, x.channels - start));
    return [
      {
        ...x,
        ref: n.b.emit("Slice", [x.ref, n.b.ints([start]), n.b.ints([start + channels]), n.b.ints([1])]),
        channels,
      },
    ];
  },
  pad: ({ n }, x, _, c) => {
    const [begin, end] = [c % 3, (c >> 2) % 3];
    return [
      {
        ...x,
        ref: n.b.emit("Pad", [x.ref, n.b.ints([0, begin, 0, 0, 0, end, 0, 0])]),
        channels: x.channels + begin + end,
      },
    ];
  },
  shuffle: ({ n }, x) => {
    const g = [2, 3].find((e) => x.channels % e === 0);
    if (!g) return [];
    const split = n.b.reshape(x.ref, [1, g, x.channels / g, x.side, x.side]);
    return same(x, n.b.reshape(n.b.transpose(split, [0, 2, 1, 3, 4]), [1, x.channels, x.side, x.side]));
  },
  gather: ({ n }, x, _, c) => {
    const order = Array.from({ length: x.channels }, (__, i) => (i * 5 + c) % x.channels);
    return same(x, n.b.emit("Gather", [x.ref, n.b.ints(order)], { axis: attr.int(1) }));
  },
  depthToSpace: ({ n }, x, _, c) =>
    x.channels % 4 || x.side > 4
      ? []
      : [
          {
            ref: n.b.emit("DepthToSpace", [x.ref], {
              blocksize: attr.int(2),
              mode: attr.string(pick(["DCR", "CRD"], c)),
            }),
            channels: x.channels / 4,
            side: x.side * 2,
          },
        ],
  spaceToDepth: ({ n }, x) =>
    x.side < 4 || x.channels > 5
      ? []
      : [
          {
            ref: n.b.emit("SpaceToDepth", [x.ref], { blocksize: attr.int(2) }),
            channels: x.channels * 4,
            side: x.side / 2,
          },
        ],
  pool: ({ n }, x, _, c) =>
    x.side < 4
      ? []
      : [
          {
            ...x,
            ref: n.b.emit(pick(["MaxPool", "AveragePool"], c), [x.ref], {
              kernel_shape: attr.ints([2, 2]),
              strides: attr.ints([2, 2]),
            }),
            side: x.side / 2,
          },
        ],
  upsample: ({ n }, x) =>
    x.side > 4
      ? []
      : [
          {
            ...x,
            ref: n.b.emit("Resize", [x.ref, "", "", n.b.ints([1, x.channels, x.side * 2, x.side * 2])], {
              mode: attr.string("nearest"),
            }),
            side: x.side * 2,
          },
        ],
  channelsLast: ({ n, name }, x, _, c) => {
    const rows = n.b.reshape(n.b.transpose(x.ref, [0, 2, 3, 1]), [1, -1, x.channels]);
    const channels = 2 + (c % 5);
    const y = n.b.matmul(rows, n.parameter(`${name}.weight`, [x.channels, channels]), { name });
    const back = n.b.transpose(n.b.reshape(y, [1, x.side, x.side, channels]), [0, 3, 1, 2]);
    return [{ ...x, ref: back, channels }];
  },
  tile: ({ n }, x) =>
    x.channels > 6 ? [] : [{ ...x, ref: n.b.emit("Tile", [x.ref, n.b.ints([1, 2, 1, 1])]), channels: x.channels * 2 }],
  softmax: ({ n }, x) => same(x, n.b.emit("Softmax", [x.ref], { axis: attr.int(1) })),
  everySecond: ({ n }, x) =>
    x.channels < 2
      ? []
      : [
          {
            ...x,
            ref: n.b.emit("Slice", [x.ref, n.b.ints([0]), n.b.ints([99]), n.b.ints([1]), n.b.ints([2])]),
            channels: Math.ceil(x.channels / 2),
          },
        ],
};
const names = Object.keys(moves);

/** The net of a list of steps; every map that nothing reads feeds the output. */
function netOf(steps: readonly Step[], seed: number): Graph {
  const n = new Layers(17, seed);
  const x = n.b.input("x", [1, 3, 4, 4]);
  const maps: FeatureMap[] = [{ ref: n.conv("stem", x, 3, 6), channels: 6, side: 4 }];
  steps.forEach((s, i) => {
    // Later maps are likelier to be read, so that nets are deep as well as wide.
    const from = (k: number): FeatureMap => maps[Math.max(0, maps.length - 1 - k)];
    const move = moves[names[s.op]];
    maps.push(...move({ n, maps, name: `n${i}` }, from(s.a), from(s.b), s.c));
  });
  const read = new Set(n.b.graph.nodes.flatMap((e) => e.inputs));
  const open = maps.filter((m) => !read.has(m.ref));
  const pooled = open.map((m) =>
    n.b.emit("Flatten", [
      n.b.emit("AveragePool", [m.ref], {
        kernel_shape: attr.ints([m.side / 2, m.side / 2]),
        strides: attr.ints([m.side / 2, m.side / 2]),
      }),
    ]),
  );
  const features = open.reduce((s, m) => s + m.channels * 4, 0);
  return n.done(n.gemm("head", pooled.length > 1 ? n.b.concat(pooled, 1) : pooled[0], features, 3));
}

const step = fc.record({
  op: fc.integer({ min: 0, max: names.length - 1 }),
  a: fc.nat({ max: 3 }),
  b: fc.nat({ max: 3 }),
  c: fc.nat({ max: 1000 }),
});

test("a random net, cut at random, computes what the masked one does", async () => {
  let cut = 0;
  const seen = new Set<string>();
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 14, size: "max" }),
      fc.nat({ max: 10_000 }),
      async (steps, seed) => {
        const g = netOf(steps, seed);
        for (const e of g.nodes) seen.add(e.opType);
        const groups = findGroups(g);
        const keep = randomKeep(groups, seed, 0.5);
        const { sliced } = await expectSliceEqualsMask(g, groups, keep, randomFeeds(g, seed));
        if (sliced !== g) cut++;
        for (const value of groups.values()) {
          const lengths = groups
            .symbolicDims(value)
            .map((d) =>
              d.terms.reduce(
                (s, t) => s + t.multiplicity * (keep.get(t.group)?.length ?? groups.group(t.group).width),
                d.fixed,
              ),
            );
          const type = typeOf(sliced, value);
          if (type) expect(type.dims, value).toEqual(lengths);
        }
      },
    ),
    { numRuns: 150, seed: 20 },
  );
  expect(cut).toBeGreaterThan(100);
  expect(seen.size).toBeGreaterThan(20);
}, 120_000);
