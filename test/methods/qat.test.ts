import { describe, expect, test } from "vitest";
import type { Split } from "../../toolkit/data/dataset.js";
import { emptyGraph, GraphBuilder, type Ref } from "../../toolkit/graph/builder.js";
import { checkGraph } from "../../toolkit/graph/check.js";
import { attr, type Graph } from "../../toolkit/graph/graph.js";
import { floats, sizeOf, type Tensor, toFloat32, toNumbers } from "../../toolkit/graph/tensor.js";
import { trainQuantized } from "../../toolkit/methods/qat.js";
import { fromTrainable, toTrainable } from "../../toolkit/methods/quantizedTraining.js";
import { calibrate, type PlaceOptions, placePrepared, prepareForQuantization } from "../../toolkit/quantize/index.js";
import { openSession } from "../../toolkit/runtime/session.js";
import { adamW, constantSchedule, distillation, sgd } from "../../toolkit/train/index.js";
import { gaussian } from "../support/random.js";
import { coarse } from "./coarse.js";

const DIMS = [3, 8, 8];

function randomTensor(dims: readonly number[], seed: number, scale = 1): Tensor {
  const normal = gaussian(seed);
  return floats(
    Float32Array.from({ length: sizeOf(dims) }, () => scale * normal()),
    dims,
  );
}

/** Convolutions plain, depthwise and residual, a constant pad, pools, a dense layer. */
function net(): Graph {
  const g = new GraphBuilder(emptyGraph("net"));
  const conv = (x: Ref, from: number, to: number, kernel: number, seed: number, group = 1): Ref => {
    const w = g.initializer(
      `w${seed}`,
      randomTensor([to, from / group, kernel, kernel], seed, Math.sqrt((2 * group) / (from * kernel ** 2))),
    );
    const pad = (kernel - 1) / 2;
    const b = g.initializer(`b${seed}`, randomTensor([to], seed + 50, 0.2));
    return g.conv(x, w, b, { pads: [pad, pad, pad, pad], group }, { name: `conv${seed}` });
  };
  const x = g.input("x", ["N", ...DIMS]);
  const a = g.relu(conv(x, 3, 8, 3, 1));
  const b = g.clip(conv(a, 8, 8, 3, 2, 8), 0, 6);
  const c = g.relu(g.add(conv(b, 8, 8, 1, 3), a));
  const padded = g.emit("Pad", [c, g.ints([0, 0, 1, 1, 0, 0, 1, 1]), g.const(0.25)]);
  const d = g.emit("MaxPool", [padded], { kernel_shape: attr.ints([2, 2]), strides: attr.ints([2, 2]) });
  const e = g.emit("LeakyRelu", [conv(d, 8, 12, 3, 4)], { alpha: attr.float(0.1) });
  const f = g.emit("Flatten", [g.emit("GlobalAveragePool", [e])]);
  const w = g.initializer("dense", randomTensor([5, 12], 9, 0.4));
  g.output(g.emit("Gemm", [f, w, g.initializer("dense.bias", randomTensor([5], 10))], { transB: attr.int(1) }), {
    elemType: "float32",
    dims: ["N", 5],
  });
  return g.graph;
}

const images = (count: number, seed: number): Tensor => randomTensor([count, ...DIMS], seed);

function split(count: number, seed: number): Split {
  const { data } = images(count, seed) as { data: Float32Array };
  const size = sizeOf(DIMS);
  return {
    count,
    labelled: false,
    async batch(indices) {
      const list = Array.from(indices);
      const out = new Float32Array(list.length * size);
      list.forEach((from, i) => {
        out.set(data.subarray(from * size, (from + 1) * size), i * size);
      });
      return { data: out, dims: [list.length, ...DIMS] };
    },
  };
}

async function quantized(o: PlaceOptions = {}): Promise<{ prepared: Graph; qdq: Graph }> {
  const prepared = prepareForQuantization(net());
  const x = images(64, 1);
  const batches = (async function* () {
    yield { data: x.data as Float32Array, dims: x.dims };
  })();
  const ranges = await calibrate(prepared, batches, { method: { kind: "minmax" } });
  return { prepared, qdq: placePrepared(prepared, ranges, o) };
}

async function outputOf(g: Graph, x: Tensor, level: "all" | "disabled" = "all"): Promise<Float32Array> {
  checkGraph(g);
  const session = await openSession(g, { threads: 1, level });
  try {
    return toFloat32((await session.run({ x }))[g.outputs[0].name]);
  } finally {
    await session.dispose();
  }
}

/** Mean squared distance of scores, but for a common part of all five: distillation leaves that free. */
async function distance(a: Graph, b: Graph): Promise<number> {
  const x = images(128, 77);
  const [p, q] = [await outputOf(a, x), await outputOf(b, x)];
  const d = p.map((v, i) => v - q[i]);
  const mean = (i: number): number => d.subarray(i - (i % 5), i - (i % 5) + 5).reduce((s, v) => s + v, 0) / 5;
  return d.reduce((sum, v, i) => sum + (v - mean(i)) ** 2, 0) / d.length;
}

const learning = (teacher: Graph) => ({
  data: split(256, 5),
  loss: distillation({ teacher, temperature: 1 }),
  batchSize: 32,
  seed: 3,
  threads: 1,
});

test("a graph made trainable and back is what it was", async () => {
  const { prepared, qdq } = await quantized();
  const t = toTrainable(qdq, prepared);
  checkGraph(t.graph);
  const back = fromTrainable(qdq, t, t.graph);
  checkGraph(back);
  expect(back.nodes).toEqual(qdq.nodes);
  for (const [name, tensor] of qdq.initializers) {
    const [before, after] = [toNumbers(tensor), toNumbers(back.initializers.get(name)!)];
    // Biases were rounded once more, at the same scales.
    after.forEach((v, i) => {
      expect(Math.abs(v - before[i])).toBeLessThanOrEqual(tensor.elemType === "int32" ? 64 : 0);
    });
  }
});

describe("after training", () => {
  test.each<[string, PlaceOptions]>([
    ["one scale per channel", {}],
    ["one scale per weight", { perTensor: true }],
    ["7 bits", { reduceRange: true }],
  ])("with %s, ONNX Runtime's integers are within one step of what was trained", async (_, o) => {
    const { prepared, qdq } = await quantized(o);
    const result = await trainQuantized({
      ...learning(prepared),
      graph: qdq,
      float: prepared,
      epochs: 1,
      optimizer: adamW(),
      schedule: constantSchedule(1e-3),
    });
    expect(result.graph.nodes).toEqual(qdq.nodes);
    const x = images(32, 9);
    // The trained form itself: every Quantize and Dequantize on its own, convolutions in float.
    const simulated = toTrainable(result.graph).graph;
    const [integer, float] = [await outputOf(result.graph, x), await outputOf(simulated, x, "disabled")];
    // The dense layer gives floats: its step is that of the products, so its input's step bounds the difference.
    const last = result.graph.nodes.find((n) => n.opType === "Gemm")!;
    const producer = result.graph.nodes.find((n) => n.outputs[0] === last.inputs[0])!;
    const step = toNumbers(result.graph.initializers.get(producer.inputs[1])!)[0];
    const row = toNumbers(prepared.initializers.get("dense")!).map(Math.abs);
    const gain = Math.max(...Array.from({ length: 5 }, (_, c) => Math.max(...row.subarray(12 * c, 12 * c + 12))));
    integer.forEach((v, i) => {
      expect(Math.abs(v - float[i])).toBeLessThanOrEqual(1.01 * step * gain * 12);
    });
    const exact = integer.filter((v, i) => Math.abs(v - float[i]) < 1e-4).length;
    expect(exact / integer.length).toBeGreaterThan(0.8);
    if (o.reduceRange) {
      for (const t of result.graph.initializers.values())
        if (t.elemType === "int8") expect(Math.max(...toNumbers(t).map(Math.abs))).toBeLessThanOrEqual(64);
    }
  });

  test.each([
    ["AdamW", () => adamW({ weightDecay: 0 }), 1e-3],
    ["SGD with LSQ's gradient scale", () => sgd({ momentum: 0.9 }), 2e-3],
  ])(
    "coarse weights come nearer to the float net by %s, and nearer still with learned steps",
    async (_, optimizer, rate) => {
      const { prepared, qdq } = await quantized();
      const start = coarse(qdq);
      const run = async (learnScales: boolean): Promise<number> => {
        const { graph, history } = await trainQuantized({
          ...learning(prepared),
          graph: start,
          float: prepared,
          epochs: 6,
          optimizer: optimizer(),
          schedule: constantSchedule(rate),
          learnScales,
        });
        expect(history[5].loss).toBeLessThan(history[0].loss);
        return distance(prepared, graph);
      };
      const before = await distance(prepared, start);
      const [fixed, learned] = [await run(false), await run(true)];
      expect(fixed).toBeLessThan(0.6 * before);
      expect(learned).toBeLessThan(fixed);
    },
  );

  test("steps that must not move do not: those of integer constants, and all when they are not learned", async () => {
    const { prepared, qdq } = await quantized();
    const t = toTrainable(qdq, prepared);
    // The constant that Pad writes is an integer at the step of what it pads.
    expect(t.fixedScales.size).toBe(1);
    const { graph } = await trainQuantized({
      ...learning(prepared),
      graph: qdq,
      epochs: 1,
      optimizer: adamW(),
      schedule: constantSchedule(1e-3),
    });
    const [fixed] = t.fixedScales;
    expect(graph.initializers.get(fixed)).toEqual(qdq.initializers.get(fixed));
    expect(toNumbers(graph.initializers.get(t.activationScales[0])!)).not.toEqual(
      toNumbers(qdq.initializers.get(t.activationScales[0])!),
    );
  });
});

test("a float graph is refused with what to do", () => {
  expect(() => toTrainable(prepareForQuantization(net()))).toThrowError(
    expect.objectContaining({ code: "not-quantized", hint: expect.stringContaining("quantise") }),
  );
});
