import { describe, expect, test } from "vitest";
import { emptyGraph, GraphBuilder, type Ref } from "../../../toolkit/graph/builder.js";
import { checkGraph } from "../../../toolkit/graph/check.js";
import { attr, type Graph } from "../../../toolkit/graph/graph.js";
import { floats, sizeOf, type Tensor, toNumbers } from "../../../toolkit/graph/tensor.js";
import { prepareForQuantization } from "../../../toolkit/quantize/index.js";
import {
  absorbBiases,
  crossLayerEqualization,
  equalize,
  type FloatRepair,
  migrateActivations,
} from "../../../toolkit/quantize/repair/index.js";
import { findScaleGroups } from "../../../toolkit/quantize/repair/scaleGroups.js";
import { openSession } from "../../../toolkit/runtime/session.js";
import { noise } from "../support.js";

/** Noise whose output rows differ by up to `spread` in size, as training with batch norms leaves them. */
function rows(dims: readonly number[], seed: number, spread = 50): Tensor {
  const t = noise(dims, seed, 0.5);
  const inner = sizeOf(dims.slice(1));
  const data = Float32Array.from(t.data as Float32Array, (v, i) => {
    const row = Math.floor(i / inner);
    return (v * spread ** (((row * 7) % dims[0]) / dims[0])) / spread ** 0.5;
  });
  return floats(data, dims);
}

const batch = (dims: readonly number[], seed = 1): Tensor => noise(dims, seed, 2);

interface Shapes {
  input: readonly (number | string)[];
  image: readonly number[];
}
const pictures: Shapes = { input: ["N", 3, 8, 8], image: [6, 3, 8, 8] };

function net(shapes: Shapes, body: (g: GraphBuilder, x: Ref) => Ref, opset = 17): Graph {
  const g = new GraphBuilder(emptyGraph("net", opset));
  const x = g.input("x", shapes.input);
  g.output(body(g, x));
  return prepareForQuantization(g.graph);
}

let counter = 0;
function conv(g: GraphBuilder, x: Ref, from: number, to: number, kernel = 3, group = 1, pad = (kernel - 1) / 2): Ref {
  const seed = ++counter;
  const w = g.initializer(`w${seed}`, rows([to, from / group, kernel, kernel], seed));
  return g.conv(x, w, g.initializer(`b${seed}`, noise([to], seed + 100, 0.3)), { pads: [pad, pad, pad, pad], group });
}

async function outputs(g: Graph, x: Tensor): Promise<Float64Array> {
  checkGraph(g);
  const session = await openSession(g, { threads: 1 });
  try {
    return toNumbers((await session.run({ [g.inputs[0].name]: x }))[g.outputs[0].name]);
  } finally {
    await session.dispose();
  }
}

/** Largest difference, relative to the largest output. */
async function difference(a: Graph, b: Graph, x: Tensor): Promise<number> {
  const [p, q] = [await outputs(a, x), await outputs(b, x)];
  const peak = p.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
  return p.reduce((m, v, i) => Math.max(m, Math.abs(v - q[i])), 0) / peak;
}

/** How much of the tensor's range its smallest row takes up, the smallest over all layers but the last, whose rows nobody reads. */
function smallestShare(g: Graph): number {
  let least = 1;
  for (const n of g.nodes.filter((m) => m.opType === "Conv").slice(0, -1)) {
    const w = g.initializers.get(n.inputs[1])!;
    const inner = sizeOf(w.dims.slice(1));
    const values = toNumbers(w).map(Math.abs);
    const peaks = Array.from({ length: w.dims[0] }, (_, r) => Math.max(...values.subarray(r * inner, (r + 1) * inner)));
    least = Math.min(least, Math.min(...peaks) / Math.max(...peaks));
  }
  return least;
}

const separable = (activation: (g: GraphBuilder, y: Ref) => Ref): Graph =>
  net(pictures, (g, x) => {
    const a = activation(g, conv(g, x, 3, 8));
    const b = activation(g, conv(g, a, 8, 8, 3, 8));
    const c = activation(g, conv(g, b, 8, 12, 1));
    const d = activation(g, conv(g, c, 12, 12, 3, 12));
    return g.emit("Flatten", [g.emit("GlobalAveragePool", [conv(g, d, 12, 5, 1)])]);
  });

/** Name -> net in which factors can be moved. */
const nets: Record<string, { g: Graph; shapes?: Shapes; groups: number }> = {
  "depthwise chain with ReLU": { g: separable((g, y) => g.relu(y)), groups: 4 },
  "depthwise chain with ReLU6": { g: separable((g, y) => g.clip(y, 0, 6)), groups: 4 },
  "depthwise chain with a bound that nothing reaches": { g: separable((g, y) => g.clip(y, 0, 600)), groups: 4 },
  "chain clamped on both sides": { g: separable((g, y) => g.clip(y, -1, 2)), groups: 4 },
  "chain with LeakyRelu": {
    g: separable((g, y) => g.emit("LeakyRelu", [y], { alpha: attr.float(0.1) })),
    groups: 4,
  },
  "chain with PRelu": {
    g: net(pictures, (g, x) =>
      conv(g, g.emit("PRelu", [conv(g, x, 3, 8), g.initializer("slope", noise([8, 1, 1], 5))]), 8, 4),
    ),
    groups: 1,
  },
  "residual sum with two writers and three readers": {
    g: net(pictures, (g, x) => {
      const a = g.relu(conv(g, x, 3, 8));
      const b = g.relu(g.add(a, conv(g, g.relu(conv(g, a, 8, 6)), 6, 8)));
      return g.add(conv(g, b, 8, 4), conv(g, b, 8, 4, 1));
    }),
    groups: 2,
  },
  "pools, padding, a constant added, a constant multiplied, reshapes": {
    g: net(pictures, (g, x) => {
      const a = g.add(conv(g, x, 3, 8), g.initializer("added", noise([8, 1, 1], 3)));
      const b = g.add(g.relu(a), g.initializer("scalar", noise([1], 4)));
      const c = g.mul(b, g.initializer("factor", noise([8, 1, 1], 8)));
      const pool = { kernel_shape: attr.ints([2, 2]), strides: attr.ints([2, 2]) };
      const d = g.emit("MaxPool", [g.emit("Pad", [c, g.ints([0, 0, 1, 1, 0, 0, 1, 1])])], pool);
      const f = g.emit("Flatten", [d]);
      const w = g.initializer("dense", rows([10, 8 * 25], 9));
      const h = g.relu(g.emit("Gemm", [f, w, g.initializer("db", noise([10], 10))], { transB: attr.int(1) }));
      return g.emit("Gemm", [h, g.initializer("dense2", rows([10, 4], 11))]);
    }),
    groups: 2,
  },
  "grouped and transposed convolutions": {
    g: net(pictures, (g, x) => {
      const a = g.relu(conv(g, x, 3, 8));
      const b = g.relu(conv(g, a, 8, 12, 3, 4));
      const t = { strides: attr.ints([2, 2]), group: attr.int(3) };
      const w = g.initializer("wt", rows([12, 2, 2, 2], 77));
      return conv(g, g.relu(g.emit("ConvTranspose", [b, w, g.initializer("bt", noise([6], 5))], t)), 6, 4);
    }),
    groups: 3,
  },
  "LayerNormalization into MatMul, with an added bias behind": {
    g: net({ input: ["N", 5, 12], image: [4, 5, 12] }, (g, x) => {
      const scale = g.initializer("scale", noise([12], 1, 4));
      const y = g.emit("LayerNormalization", [x, scale, g.initializer("shift", noise([12], 2))], {
        axis: attr.int(-1),
      });
      const h = g.add(g.matmul(y, g.initializer("m1", rows([12, 16], 3))), g.initializer("mb", noise([16], 4)));
      return g.matmul(g.relu(h), g.initializer("m2", rows([16, 6], 5)));
    }),
    shapes: { input: ["N", 5, 12], image: [4, 5, 12] },
    groups: 2,
  },
  "a constant per channel behind an activation that lets nothing past": {
    g: net(pictures, (g, x) => {
      const a = g.emit("HardSwish", [conv(g, x, 3, 8)]);
      return conv(g, g.relu(g.mul(a, g.initializer("gain", noise([8, 1, 1], 6, 5)))), 8, 4);
    }),
    groups: 1,
  },
  "a weight that two layers share": {
    g: net(pictures, (g, x) => {
      const w = g.initializer("shared", rows([3, 3, 3, 3], 8));
      const same = (y: Ref): Ref => g.conv(y, w, "", { pads: [1, 1, 1, 1] });
      return same(g.relu(same(g.relu(same(x)))));
    }),
    groups: 2,
  },
};

const repairs: Record<string, FloatRepair> = {
  "equalisation, bounds held": crossLayerEqualization,
  "equalisation, bounds moved": (g, c) => equalize(g, c, { clamps: "move" }),
  migration: migrateActivations,
  absorption: absorbBiases,
};

describe.each(Object.entries(nets))("%s", (_, { g, shapes = pictures, groups }) => {
  test("has the chains that one expects", () => {
    expect(findScaleGroups(g)).toHaveLength(groups);
  });

  test.each(Object.entries(repairs))("%s leaves the outputs on the images as they were", async (_name, repair) => {
    const images = [batch(shapes.image, 1), batch(shapes.image, 2)];
    const repaired = await repair(g, { batches: images });
    for (const x of images) expect(await difference(g, repaired, x)).toBeLessThan(1e-5);
  });
});

describe("equalisation", () => {
  const images = [batch(pictures.image, 1)];

  test("with moved bounds it is exact on images that it has not seen", async () => {
    const { g } = nets["depthwise chain with ReLU6"];
    const moved = await equalize(g, { batches: images }, { clamps: "move" });
    expect(moved.nodes.some((n) => n.opType === "Min")).toBe(true);
    const far = floats(
      (batch(pictures.image, 9).data as Float32Array).map((v) => 10 * v),
      pictures.image,
    );
    expect(await difference(g, moved, far)).toBeLessThan(1e-5);
  });

  test("brings the rows of every layer nearer to each other", async () => {
    const { g } = nets["depthwise chain with ReLU"];
    const after = await equalize(g, { batches: images }, { activations: false });
    expect(smallestShare(g)).toBeLessThan(0.08);
    expect(smallestShare(after)).toBeGreaterThan(3 * smallestShare(g));
  });

  test("two layers end with equal ranges per channel, as the closed form says", async () => {
    const g = net(pictures, (b, x) => conv(b, b.relu(conv(b, x, 3, 6)), 6, 4));
    const after = await equalize(g, { batches: images }, { activations: false });
    const peaks = (graph: Graph): [number[], number[]] => {
      const [w1, w2] = graph.nodes
        .filter((n) => n.opType === "Conv")
        .map((n) => toNumbers(graph.initializers.get(n.inputs[1])!).map(Math.abs));
      const first = Array.from({ length: 6 }, (_, c) => Math.max(...w1.subarray(c * 27, (c + 1) * 27)));
      const second = Array.from({ length: 6 }, (_, c) =>
        Math.max(...w2.filter((_v, i) => Math.floor(i / 9) % 6 === c)),
      );
      return [first, second];
    };
    const [r1, r2] = peaks(g);
    const [s1, s2] = peaks(after);
    const share = (v: number[], c: number): number => v[c] / Math.max(...v);
    for (let c = 0; c < 6; c++) {
      expect(share(s1, c)).toBeCloseTo(share(s2, c), 2);
      // What the two layers make of a channel together cannot change.
      expect(s1[c] * s2[c]).toBeCloseTo(r1[c] * r2[c], 5);
    }
  });

  test("a bound that no channel reaches becomes a plain rectifier", async () => {
    const after = await crossLayerEqualization(nets["depthwise chain with a bound that nothing reaches"].g, {
      batches: images,
    });
    expect(after.nodes.map((n) => n.opType)).not.toContain("Clip");
    expect(after.nodes.filter((n) => n.opType === "Relu")).toHaveLength(4);
  });

  test("nothing crosses a fork one of whose readers cannot take factors, a graph output or an unknown operator", () => {
    const fork = net(pictures, (g, x) => {
      const a = g.relu(conv(g, x, 3, 8));
      return g.add(conv(g, a, 8, 4), g.emit("Sigmoid", [conv(g, g.emit("Sigmoid", [a]), 8, 4)]));
    });
    expect(findScaleGroups(fork)).toHaveLength(0);
    const output = net(pictures, (g, x) => {
      const a = conv(g, x, 3, 8);
      g.output(a);
      return conv(g, a, 8, 4);
    });
    expect(findScaleGroups(output)).toHaveLength(0);
    const swish = net(pictures, (g, x) => conv(g, g.emit("HardSwish", [conv(g, x, 3, 8)]), 8, 4));
    expect(findScaleGroups(swish)).toHaveLength(0);
  });

  test("a net without images is refused", async () => {
    await expect(
      crossLayerEqualization(
        separable((g, y) => g.relu(y)),
        { batches: [] },
      ),
    ).rejects.toMatchObject({
      code: "no-data",
    });
  });
});

describe("migration and absorption", () => {
  const images = [batch(pictures.image, 1)];
  const peaksOf = async (g: Graph, value: string): Promise<number[]> => {
    const v = await outputs({ ...g, outputs: [{ name: value, type: { elemType: "float32" } }] }, images[0]);
    return Array.from({ length: 8 }, (_, c) =>
      v.reduce((m, e, i) => (Math.floor(i / 64) % 8 === c ? Math.max(m, e) : m), 0),
    );
  };

  test("migration narrows the gap between wide and narrow channels", async () => {
    const g = net(pictures, (b, x) => conv(b, b.relu(conv(b, x, 3, 8)), 8, 4));
    const value = g.nodes[1].outputs[0];
    const spread = (p: number[]): number => Math.max(...p) / Math.min(...p);
    const after = await migrateActivations(g, { batches: images });
    expect(spread(await peaksOf(after, value))).toBeLessThan(0.5 * spread(await peaksOf(g, value)));
  });

  test("absorption lowers a channel that never comes down to zero", async () => {
    const g = net(pictures, (b, x) => {
      const high = b.initializer("high", floats([9, 0, 0, 0, 0, 0, 0, 12]));
      const y = b.conv(x, b.initializer("w", noise([8, 3, 1, 1], 3)), high);
      return conv(b, b.relu(y), 8, 4, 1);
    });
    const value = g.nodes[1].outputs[0];
    const after = await absorbBiases(g, { batches: images });
    const [before, lowered] = [await peaksOf(g, value), await peaksOf(after, value)];
    expect(lowered[7]).toBeLessThan(0.7 * before[7]);
    expect(lowered[1]).toBeCloseTo(before[1], 4);
  });

  test("absorption leaves a channel alone whose reader pads with zeros", async () => {
    const g = net(pictures, (b, x) => {
      const y = b.conv(
        x,
        b.initializer("w", noise([8, 3, 1, 1], 3)),
        b.initializer("high", floats(new Array(8).fill(9))),
      );
      return conv(b, b.relu(y), 8, 4, 3);
    });
    const after = await absorbBiases(g, { batches: images });
    expect(after.initializers.get("high")).toBe(g.initializers.get("high"));
  });
});
