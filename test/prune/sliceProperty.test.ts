/** Random nets of the operators that carry channels around, random cuts: sliced equals masked, and lengths are as predicted. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Ref } from "../../toolkit/graph/builder.js";
import { attr, type Graph, typeOf } from "../../toolkit/graph/graph.js";
import { fromNumbers } from "../../toolkit/graph/tensor.js";
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
  transposedConv: ({ n, name }, x, _, c) => {
    if (x.side > 4) return [];
    const group = [2, 3].find((g) => c % 2 === 1 && x.channels % g === 0) ?? 1;
    const perGroup = 1 + (c % 3);
    const w = n.parameter(`${name}.weight`, [x.channels, perGroup, 2, 2]);
    const attributes = { group: attr.int(group), strides: attr.ints([2, 2]) };
    const ref = n.b.emit("ConvTranspose", [x.ref, w, n.parameter(`${name}.bias`, [perGroup * group])], attributes, {
      name,
    });
    return [{ ref, channels: perGroup * group, side: x.side * 2 }];
  },
  layerNorm: ({ n, name }, x) => {
    const p = [n.parameter(`${name}.g`, [x.channels]), n.parameter(`${name}.b`, [x.channels])];
    const norm = n.b.emit("LayerNormalization", [n.b.transpose(x.ref, [0, 2, 3, 1]), ...p], {}, { name });
    return same(x, n.b.transpose(norm, [0, 3, 1, 2]));
  },
  primitiveNorm: ({ n }, x) => {
    const centred = n.b.sub(x.ref, n.b.reduceMean(x.ref, [1]));
    const variance = n.b.reduceMean(n.b.mul(centred, centred), [1]);
    return same(x, n.b.div(centred, n.b.sqrt(n.b.add(variance, n.b.const(0.1)))));
  },
  groupNorm: ({ n, name }, x, _, c) => {
    const g = pick([1, ...[2, 3].filter((e) => x.channels % e === 0)], c);
    const p = [n.parameter(`${name}.g`, [g]), n.parameter(`${name}.b`, [g])];
    const norm = n.b.emit(
      "InstanceNormalization",
      [n.b.reshape(x.ref, [0, g, -1]), ...p],
      { epsilon: attr.float(0.1) },
      { name },
    );
    return same(x, n.b.reshape(norm, [1, x.channels, x.side, x.side]));
  },
  unitNorm: ({ n }, x) => same(x, n.b.emit("LpNormalization", [n.b.add(x.ref, n.b.const(0.5))], { axis: attr.int(1) })),
  spatialAttention: ({ n, name }, x) => {
    const axes = { axes: attr.ints([1]) };
    const parts = [
      n.b.reduceMean(x.ref, [1]),
      n.b.emit("ReduceMax", [x.ref], axes),
      n.b.emit("ReduceL2", [x.ref], axes),
    ];
    return same(x, n.b.mul(x.ref, n.b.emit("Sigmoid", [n.conv(name, n.b.concat(parts, 1), 3, 1, { kernel: 3 })])));
  },
  attention: ({ n, name }, x, _, c) => {
    const heads = 1 + (c % 2);
    const size = 2 + (c % 3);
    const tokens = x.side * x.side;
    const rows = n.b.transpose(n.b.reshape(x.ref, [1, x.channels, tokens]), [0, 2, 1]);
    const [q, k, v] = ["q", "k", "v"].map((p) => {
      const y = n.b.matmul(rows, n.parameter(`${name}.${p}`, [x.channels, heads * size]), { name: `${name}${p}` });
      return n.b.transpose(n.b.reshape(y, [1, tokens, heads, size]), [0, 2, 1, 3]);
    });
    const soft = n.b.emit("Softmax", [n.b.matmul(q, n.b.transpose(k, [0, 1, 3, 2]))], { axis: attr.int(-1) });
    const joined = n.b.reshape(n.b.transpose(n.b.matmul(soft, v), [0, 2, 1, 3]), [1, tokens, heads * size]);
    const o = n.b.matmul(joined, n.parameter(`${name}.o`, [heads * size, x.channels]), { name: `${name}o` });
    return same(x, n.b.add(x.ref, n.b.reshape(n.b.transpose(o, [0, 2, 1]), [1, x.channels, x.side, x.side])));
  },
  einsum: ({ n, name }, x, _, c) => {
    const channels = 2 + (c % 4);
    const w = n.parameter(`${name}.weight`, [channels, x.channels]);
    return [
      { ...x, ref: n.b.emit("Einsum", [x.ref, w], { equation: attr.string("bchw,oc->bohw") }, { name }), channels },
    ];
  },
  weightOnTheLeft: ({ n, name }, x, _, c) => {
    const channels = 2 + (c % 4);
    const columns = n.b.reshape(x.ref, [1, x.channels, x.side * x.side]);
    const y = n.b.matmul(n.parameter(`${name}.weight`, [channels, x.channels]), columns, { name });
    return [{ ...x, ref: n.b.reshape(y, [1, channels, x.side, x.side]), channels }];
  },
  integerWeight: ({ n, name }, x, _, c) => {
    const channels = 2 + (c % 4);
    const values = Float64Array.from({ length: channels * x.channels }, (__, i) => ((i * 29 + c) % 200) - 100);
    const w = n.b.initializer(`${name}.q`, fromNumbers("int8", values, [channels, x.channels, 1, 1]));
    const scale = n.parameter(`${name}.s`, [channels], 0.005, 0.02);
    const weight = n.b.emit("DequantizeLinear", [w, scale], { axis: attr.int(0) });
    return [{ ...x, ref: n.b.conv(x.ref, weight, n.parameter(`${name}.bias`, [channels]), {}, { name }), channels }];
  },
  where: ({ n }, x, y) =>
    x.channels === y.channels && x.side === y.side
      ? same(x, n.b.emit("Where", [n.b.emit("Greater", [x.ref, y.ref]), n.b.neg(x.ref), y.ref]))
      : [],
  clip: ({ n }, x) => same(x, n.b.clip(x.ref, -1, 1)),
  constantChannels: ({ n, name }, x, _, c) => {
    const channels = 1 + (c % 3);
    const more = n.b.emit("Expand", [
      n.parameter(`${name}.more`, [1, channels, 1, 1]),
      n.b.ints([1, channels, x.side, x.side]),
    ]);
    return x.channels > 12 ? [] : [{ ...x, ref: n.b.concat([x.ref, more], 1), channels: x.channels + channels }];
  },
  pickOne: ({ n }, x, _, c) => {
    const one = n.b.emit("Gather", [x.ref, n.b.ints(c % x.channels)], { axis: attr.int(1) });
    return same(x, n.b.mul(x.ref, n.b.emit("Unsqueeze", [one, n.b.ints([1])])));
  },
  reverse: ({ n }, x) =>
    same(x, n.b.emit("Slice", [x.ref, n.b.ints([-1]), n.b.ints([-99]), n.b.ints([1]), n.b.ints([-1])])),
  neighbours: ({ n }, x) => same(x, n.b.emit("LRN", [x.ref], { size: attr.int(3) })),
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
    { numRuns: 250, seed: 20 },
  );
  expect(cut).toBeGreaterThan(180);
  expect(seen.size).toBeGreaterThan(40);
}, 240_000);
