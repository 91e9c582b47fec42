import { describe, expect, test } from "vitest";
import type { GraphBuilder, Ref } from "../../toolkit/graph/builder.js";
import { checkGraph } from "../../toolkit/graph/check.js";
import { attr, type Graph } from "../../toolkit/graph/graph.js";
import { calibrate, type PlaceOptions, placeQdq, sqnrDb } from "../../toolkit/quantize/index.js";
import { batches, conv3, images, net, noise, optimisedOps, outputOf } from "./support.js";

const dims = ["N", 3, 8, 8];

function conv1(g: GraphBuilder, x: Ref, inputs: number, outputs: number, seed: number): Ref {
  const w = g.initializer(`w${seed}`, noise([outputs, inputs, 1, 1], seed, 1 / Math.sqrt(inputs)));
  return g.conv(x, w, g.initializer(`b${seed}`, noise([outputs], seed + 100, 0.2)), {}, { name: `conv${seed}` });
}

function classifier(g: GraphBuilder, x: Ref, channels: number): Ref {
  const flat = g.emit("Flatten", [g.emit("GlobalAveragePool", [x])], { axis: attr.int(1) });
  return g.emit("Gemm", [flat, g.initializer("fc_w", noise([channels, 5], 90)), g.initializer("fc_b", noise([5], 91))]);
}

function residual(g: GraphBuilder, x: Ref): Ref {
  const stem = g.relu(conv3(g, x, 3, 8, 1));
  const branch = conv3(g, g.relu(conv3(g, stem, 8, 8, 2)), 8, 8, 3);
  return classifier(g, g.relu(g.add(stem, branch)), 8);
}

function inverted(g: GraphBuilder, x: Ref): Ref {
  const stem = g.clip(conv3(g, x, 3, 8, 1), 0, 6);
  const wide = g.clip(conv1(g, stem, 8, 16, 2), 0, 6);
  const deep = g.clip(conv3(g, wide, 16, 16, 3, 16), 0, 6);
  return classifier(g, g.add(stem, conv1(g, deep, 16, 8, 4)), 8);
}

function squeezed(g: GraphBuilder, x: Ref): Ref {
  const y = g.relu(conv3(g, x, 3, 8, 1));
  const inner = g.relu(conv1(g, g.emit("GlobalAveragePool", [y]), 8, 4, 2));
  const gate = g.emit("Sigmoid", [conv1(g, inner, 4, 8, 3)]);
  return classifier(g, g.relu(conv3(g, g.mul(y, gate), 8, 8, 4)), 8);
}

function joined(g: GraphBuilder, x: Ref): Ref {
  const y = g.relu(conv3(g, x, 3, 8, 1));
  const pooled = g.emit("MaxPool", [y], {
    kernel_shape: attr.ints([3, 3]),
    pads: attr.ints([1, 1, 1, 1]),
    strides: attr.ints([1, 1]),
  });
  const parts = [g.relu(conv1(g, y, 8, 4, 2)), g.relu(conv3(g, y, 8, 4, 3)), conv1(g, pooled, 8, 4, 4)];
  return classifier(g, g.relu(conv1(g, g.concat(parts, 1), 12, 8, 5)), 8);
}

const nets: Record<string, { body: (g: GraphBuilder, x: Ref) => Ref; ops: Record<string, number> }> = {
  "residual net": {
    body: residual,
    ops: { QLinearConv: 3, QLinearAdd: 1, QLinearGlobalAveragePool: 1, Flatten: 1, QGemm: 1 },
  },
  "inverted residual net": {
    body: inverted,
    ops: { QLinearConv: 4, QLinearAdd: 1, QLinearGlobalAveragePool: 1, Flatten: 1, QGemm: 1 },
  },
  "squeeze and excitation": {
    body: squeezed,
    ops: { QLinearConv: 4, QLinearSigmoid: 1, QLinearMul: 1, QLinearGlobalAveragePool: 2, Flatten: 1, QGemm: 1 },
  },
  "concatenating net": {
    body: joined,
    ops: { QLinearConv: 5, MaxPool: 1, QLinearConcat: 1, QLinearGlobalAveragePool: 1, Flatten: 1, QGemm: 1 },
  },
};

const schemes: Record<string, PlaceOptions> = {
  "QDQ, u8": {},
  "QDQ, u8, 7-bit weights": { reduceRange: true },
  "QDQ, u8 symmetric": { symmetric: true },
  "QDQ, one scale per weight": { perTensor: true },
  "QOperator, u8": { format: "qoperator" },
  "QOperator, s8": { format: "qoperator", activations: "int8" },
  "QOperator, one scale per weight": { format: "qoperator", perTensor: true },
};

async function quantized(g: Graph, o: PlaceOptions): Promise<{ q: Graph; db: number; fusedDb: number }> {
  const batch = images([8, 3, 8, 8]);
  const q = placeQdq(g, await calibrate(g, batches(batch), { method: { kind: "minmax" } }), o);
  checkGraph(q);
  const y = await outputOf(g, batch);
  return {
    q,
    db: sqnrDb(y, await outputOf(q, batch, "disabled")),
    fusedDb: sqnrDb(y, await outputOf(q, batch)),
  };
}

/** Changes of layout left out; the pooling that works in another layout counts as the one it stands for. */
const withoutLayout = (ops: Record<string, number>): Record<string, number> => {
  const { Transpose: _, NhwcMaxPool, ...others } = ops;
  return NhwcMaxPool ? { ...others, MaxPool: NhwcMaxPool } : others;
};

describe.each(Object.entries(nets))("%s", (_, { body, ops }) => {
  test.each(Object.entries(schemes))("%s: integers from the first Quantize to the float result", async (_, scheme) => {
    const { q, db, fusedDb } = await quantized(net(dims, body), scheme);
    for (const level of ["extended", "all"] as const) {
      expect(withoutLayout(await optimisedOps(q, level))).toEqual({ QuantizeLinear: 1, ...ops });
    }
    expect(fusedDb).toBeGreaterThan(25);
    // Fusion changes roundings at most.
    expect(Math.abs(fusedDb - db)).toBeLessThan(2);
  });

  test("signed activations fuse where the runtime allows them, as it does on ARM", async () => {
    const { q, fusedDb } = await quantized(net(dims, body), { activations: "int8" });
    const found = await optimisedOps(q, "extended", { session: { qdqisint8allowed: "1" } });
    expect(withoutLayout(found)).toEqual({ QuantizeLinear: 1, ...ops });
    expect(fusedDb).toBeGreaterThan(25);
  });

  test.each(["uint16", "int16"] as const)("%s activations are nearer to float than 8 bits", async (activations) => {
    const wide = await quantized(net(dims, body), { activations });
    const narrow = await quantized(net(dims, body), {});
    expect(wide.db).toBeGreaterThan(narrow.db);
    // Below operator set 21 the wide types belong to the runtime's own domain.
    const domains = (g: Graph) => new Set(g.nodes.filter((n) => n.opType === "QuantizeLinear").map((n) => n.domain));
    expect(domains(wide.q)).toEqual(new Set(["com.microsoft"]));
    const new21 = await quantized(net(dims, body, 21), { activations });
    expect(domains(new21.q)).toEqual(new Set([""]));
    expect(new21.db).toBeCloseTo(wide.db, 1);
  });

  test("symmetric signed activations have zero point 0 in either format", async () => {
    for (const format of ["qdq", "qoperator"] as const) {
      const { q, db } = await quantized(net(dims, body), { format, activations: "int8", symmetric: true });
      const points = [...q.initializers].filter(([name]) => name.includes("_zero_point"));
      expect(points.length).toBeGreaterThan(3);
      for (const [, t] of points) expect((t.data as Int8Array).every((v) => v === 0)).toBe(true);
      expect(db).toBeGreaterThan(22);
    }
  });
});

test("the QOperator format refuses 16 bits with the reason", async () => {
  const g = net(dims, residual);
  const ranges = await calibrate(g, batches(images([2, 3, 8, 8])));
  expect(() => placeQdq(g, ranges, { format: "qoperator", activations: "uint16" })).toThrow(
    expect.objectContaining({ code: "qoperator-wide" }),
  );
});

test("both formats compute the same integers", async () => {
  const g = net(dims, residual);
  const batch = images([8, 3, 8, 8]);
  const ranges = await calibrate(g, batches(batch));
  const qdq = await outputOf(placeQdq(g, ranges), batch);
  const operators = await outputOf(placeQdq(g, ranges, { format: "qoperator" }), batch);
  expect(sqnrDb(qdq, operators)).toBeGreaterThan(60);
});

test.each(["qdq", "qoperator"] as const)("%s: a node kept float really is, and only it", async (format) => {
  const { q, db } = await quantized(net(dims, residual), { format, keepFloat: new Set(["conv2"]) });
  const ops = await optimisedOps(q);
  expect((ops.Conv ?? 0) + (ops.FusedConv ?? 0)).toBe(1);
  expect(ops.QLinearConv).toBe(2);
  expect(ops.QuantizeLinear).toBe(2);
  expect(ops.DequantizeLinear).toBe(1);
  expect(db).toBeGreaterThan(25);
});

test("an integer value that is also an output comes out as floats under its name, in both formats", async () => {
  const g = net(dims, (b, x) => {
    const y = b.relu(conv3(b, x, 3, 8, 1));
    b.output(y);
    return conv3(b, y, 8, 8, 2);
  });
  const batch = images([2, 3, 8, 8]);
  const ranges = await calibrate(g, batches(batch));
  for (const format of ["qdq", "qoperator"] as const) {
    const q = placeQdq(g, ranges, { format });
    expect(q.outputs.map((v) => v.name)).toEqual(g.outputs.map((v) => v.name));
    expect(sqnrDb(await outputOf(g, batch), await outputOf(q, batch))).toBeGreaterThan(30);
  }
});

test("MatMul: per column, with an integer and with a float result", async () => {
  const g = net(["N", 6, 12], (b, x) => {
    const first = b.relu(b.matmul(x, b.initializer("m1", noise([12, 16], 1, 0.3))));
    return b.matmul(first, b.initializer("m2", noise([16, 7], 2, 0.3)));
  });
  const batch = images([4, 6, 12]);
  const ranges = await calibrate(g, batches(batch), { method: { kind: "minmax" } });
  for (const format of ["qdq", "qoperator"] as const) {
    const q = placeQdq(g, ranges, { format });
    const ops = await optimisedOps(q);
    expect(ops).toEqual({ QuantizeLinear: 1, QLinearMatMul: 1, MatMulIntegerToFloat: 1 });
    expect(sqnrDb(await outputOf(g, batch), await outputOf(q, batch))).toBeGreaterThan(30);
  }
});

describe("activations of several operators", () => {
  const silu = (g: GraphBuilder, y: Ref): Ref => g.mul(y, g.emit("Sigmoid", [y]));
  const forms: Record<string, (g: GraphBuilder, y: Ref) => Ref> = {
    SiLU: silu,
    "HardSwish by HardSigmoid": (g, y) =>
      g.mul(y, g.emit("HardSigmoid", [y], { alpha: attr.float(1 / 6), beta: attr.float(0.5) })),
    "HardSwish by Clip": (g, y) => g.div(g.mul(y, g.clip(g.add(y, g.const(3)), 0, 6)), g.const(6)),
    "HardSwish in one operator": (g, y) => g.emit("HardSwish", [y]),
  };

  test.each(Object.entries(forms))("%s is rounded in front and behind, nowhere inside", async (_, form) => {
    const g = net(dims, (b, x) => conv3(b, form(b, conv3(b, x, 3, 8, 1)), 8, 8, 2));
    for (const format of ["qdq", "qoperator"] as const) {
      const { q, db } = await quantized(g, { format });
      const ops = await optimisedOps(q);
      // The image, and the activation's result; what goes into it and what comes out at the end.
      expect(ops.QuantizeLinear).toBe(2);
      // The runtime gives every reader a Dequantize of its own: the gate and the product have one each.
      expect(ops.DequantizeLinear).toBeLessThanOrEqual(3);
      expect(ops.QLinearConv).toBe(2);
      expect(ops.QLinearMul ?? 0).toBe(0);
      expect(ops.QLinearSigmoid ?? 0).toBe(0);
      expect(db).toBeGreaterThan(30);
    }
  });

  test("in one piece it is nearer to float than with its gate rounded as well", async () => {
    const g = net(dims, (b, x) => conv3(b, silu(b, conv3(b, x, 3, 8, 1)), 8, 8, 2));
    const { db } = await quantized(g, {});
    // The same net with the gate behind something that is no element-wise operator, so that it is seen as a gate.
    const apart = net(dims, (b, x) => {
      const y = conv3(b, x, 3, 8, 1);
      const turned = b.transpose(b.transpose(y, [0, 1, 3, 2]), [0, 1, 3, 2]);
      return conv3(b, b.mul(y, b.emit("Sigmoid", [turned])), 8, 8, 2);
    });
    expect(db).toBeGreaterThan((await quantized(apart, {})).db);
  });
});

describe("operators without an integer kernel are written in those that have one", () => {
  test("a mean over all positions is a pooling", async () => {
    for (const keepdims of [0, 1]) {
      const g = net(dims, (b, x) => {
        const y = b.relu(conv3(b, x, 3, 8, 1));
        const mean = b.emit("ReduceMean", [y], { axes: attr.ints([2, 3]), keepdims: attr.int(keepdims) });
        const flat = keepdims ? b.emit("Flatten", [mean], { axis: attr.int(1) }) : mean;
        return b.emit("Gemm", [flat, b.initializer("fc", noise([8, 5], 9)), b.initializer("fb", noise([5], 8))]);
      });
      const { q, db } = await quantized(g, {});
      expect(await optimisedOps(q)).toMatchObject({ QLinearConv: 1, QLinearGlobalAveragePool: 1, QGemm: 1 });
      expect((await optimisedOps(q)).DequantizeLinear ?? 0).toBe(0);
      expect(db).toBeGreaterThan(25);
    }
  });

  test("a HardSigmoid gate is the end of its convolution's range", async () => {
    const g = net(dims, (b, x) => {
      const y = b.relu(conv3(b, x, 3, 8, 1));
      const inner = b.relu(conv1(b, b.emit("GlobalAveragePool", [y]), 8, 4, 2));
      const gate = b.emit("HardSigmoid", [conv1(b, inner, 4, 8, 3)], {
        alpha: attr.float(1 / 6),
        beta: attr.float(0.5),
      });
      return conv3(b, b.mul(y, gate), 8, 8, 4);
    });
    const { q, db } = await quantized(g, {});
    expect(await optimisedOps(q)).toEqual({
      QuantizeLinear: 1,
      QLinearConv: 4,
      QLinearGlobalAveragePool: 1,
      QLinearMul: 1,
      DequantizeLinear: 1,
    });
    expect(db).toBeGreaterThan(28);
  });
});
