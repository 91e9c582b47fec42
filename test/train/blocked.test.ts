/** Training graphs for the runtime's blocked kernels compute what the portable ones do. */
import { describe, expect, it } from "vitest";
import { emptyGraph, GraphBuilder, type Ref } from "../../toolkit/graph/builder.js";
import { checkGraph } from "../../toolkit/graph/check.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { floats, sizeOf, toFloat32 } from "../../toolkit/graph/tensor.js";
import { BLOCKED_DOMAIN, blockLength } from "../../toolkit/runtime/blockedKernels.js";
import { withSession } from "../../toolkit/runtime/session.js";
import { buildForward } from "../../toolkit/train/forward.js";
import { crossEntropy, sgd, Trainer } from "../../toolkit/train/index.js";
import { findParameters, gather } from "../../toolkit/train/parameters.js";
import { gradientGraph } from "../../toolkit/train/step.js";
import { gaussian } from "../support/random.js";
import { stripeNet, stripes } from "./nets.js";

const block = await blockLength();

interface Layer {
  to: number;
  kernel: readonly [number, number];
  stride?: number;
  pads?: readonly number[];
  dilation?: number;
  depthwise?: boolean;
  bias?: boolean;
  norm?: boolean;
  activation?: "Relu" | "Clip" | "Sigmoid" | "none";
  /** Adds the layer's input to its output. */
  residual?: boolean;
}

/** Layers from an image [N, channels, size, size] to two logits. */
function net(channels: number, size: number, layers: readonly Layer[]): Graph {
  const normal = gaussian(3);
  const g = new GraphBuilder(emptyGraph("net"));
  const random = (name: string, dims: number[], centre = 0, spread = 1): Ref =>
    g.initializer(
      name,
      floats(
        Float32Array.from({ length: sizeOf(dims) }, () => centre + spread * normal()),
        dims,
      ),
    );
  let x = g.input("image", ["N", channels, size, size]);
  let from = channels;
  layers.forEach((l, i) => {
    const name = `layer${i}`;
    const inputs = l.depthwise ? 1 : from;
    const w = random(
      `${name}.weight`,
      [l.to, inputs, ...l.kernel],
      0,
      1 / Math.sqrt(inputs * l.kernel[0] * l.kernel[1]),
    );
    let y = g.conv(x, w, l.bias ? random(`${name}.bias`, [l.to]) : "", {
      strides: [l.stride ?? 1, l.stride ?? 1],
      pads: l.pads ?? [1, 1, 1, 1],
      dilations: [l.dilation ?? 1, l.dilation ?? 1],
      group: l.depthwise ? l.to : 1,
    });
    if (l.norm) {
      const statistics = [
        random(`${name}.mean`, [l.to]),
        g.initializer(`${name}.variance`, floats(new Float32Array(l.to).fill(1))),
      ];
      y = g.emit("BatchNormalization", [
        y,
        random(`${name}.scale`, [l.to], 1, 0.2),
        random(`${name}.shift`, [l.to], 0.3, 0.2),
        ...statistics,
      ]);
    }
    if (l.residual) y = g.add(y, x);
    const { activation = "Relu" } = l;
    if (activation === "Clip") y = g.clip(y, 0, 6);
    else if (activation !== "none") y = g.emit(activation, [y]);
    x = y;
    from = l.to;
  });
  const pooled = g.reshape(g.emit("GlobalAveragePool", [x]), [0, -1]);
  g.output(g.emit("Gemm", [pooled, random("dense", [from, 2])], {}, { out: "logits" }), {
    elemType: "float32",
    dims: ["N", 2],
  });
  return g.graph;
}

/** Gradients by both kinds of kernels, and the largest difference of any relative to the largest gradient of its tensor. */
async function compare(graph: Graph, images: number, channels: number, size: number) {
  const normal = gaussian(5);
  const dims = [images, channels, size, size];
  const forward = buildForward(graph, dims, crossEntropy(), "batch");
  const layout = findParameters(graph, forward.graph);
  const data = Float32Array.from({ length: sizeOf(dims) }, normal);
  const labels = Int32Array.from({ length: images }, (_, i) => i % 2);
  const feeds = {
    [forward.input]: floats(data, dims),
    ...(await forward.built.feeds({ data, dims, labels })),
    parameters: floats(gather(graph, layout)),
  };
  const blocked = gradientGraph(forward, layout, { block });
  checkGraph(blocked);
  const [a, b] = await Promise.all(
    [gradientGraph(forward, layout), blocked].map((g) => withSession(g, { threads: 1 }, (s) => s.run(feeds))),
  );
  const [own, other] = [a, b].map((r) => toFloat32(r.gradient));
  const largest = own.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
  const errors = layout.entries.map((e) => {
    const range = Array.from({ length: e.length }, (_, i) => e.offset + i);
    // A bias before a normalisation has a gradient of rounding errors only.
    const scale = range.reduce((m, i) => Math.max(m, Math.abs(own[i])), 1e-3 * largest);
    return { name: e.name, error: Math.max(...range.map((i) => Math.abs(own[i] - other[i]))) / scale };
  });
  const reorders = blocked.nodes.filter((n) => n.domain === BLOCKED_DOMAIN && n.opType === "ReorderOutput").length;
  const convolutions = blocked.nodes.filter((n) => n.opType === "Conv");
  return {
    errors: errors.filter((e) => !(e.error < 2e-4)),
    loss: Math.abs(toFloat32(a.loss)[0] - toFloat32(b.loss)[0]),
    reorders,
    portableConvolutions: convolutions.filter((n) => n.domain === "").length,
    blockedConvolutions: convolutions.filter((n) => n.domain === BLOCKED_DOMAIN).length,
  };
}

const k3 = [3, 3] as const;
const k1 = [1, 1] as const;

describe.skipIf(!block)("gradients by blocked kernels (skipped where the runtime has none)", () => {
  it.each<[string, number, readonly Layer[]]>([
    [
      "a residual net",
      9,
      [
        { to: 16, kernel: k3, norm: true },
        { to: 16, kernel: k3, norm: true, residual: true },
      ],
    ],
    [
      "strides over even and odd sizes",
      9,
      [
        { to: 16, kernel: k3, norm: true, stride: 2 },
        { to: 32, kernel: k3, norm: true, stride: 2 },
        { to: 32, kernel: k1, stride: 2, pads: [0, 0, 0, 0], norm: true },
      ],
    ],
    [
      "a stride over an even size",
      8,
      [
        { to: 16, kernel: k3, norm: true },
        { to: 32, kernel: k3, stride: 2, norm: true },
      ],
    ],
    [
      "depthwise layers and ReLU6",
      8,
      [
        { to: 32, kernel: k1, pads: [0, 0, 0, 0], norm: true, activation: "Clip" },
        { to: 32, kernel: k3, depthwise: true, norm: true, activation: "Clip" },
        { to: 32, kernel: k3, depthwise: true, stride: 2, norm: true, activation: "Clip" },
        { to: 16, kernel: k1, pads: [0, 0, 0, 0], norm: true, activation: "none" },
      ],
    ],
    [
      "channels that fill no block",
      8,
      [
        { to: 24, kernel: k3, norm: true },
        { to: 20, kernel: k3, norm: true, activation: "Sigmoid" },
        { to: 20, kernel: k3, depthwise: true, norm: true },
        { to: 18, kernel: k3, norm: true, residual: false },
      ],
    ],
    [
      "odd windows, biases and no normalisation",
      10,
      [
        { to: 16, kernel: [5, 3], bias: true, pads: [2, 0, 1, 1] },
        { to: 16, kernel: [1, 7], bias: true, pads: [0, 2, 0, 3], activation: "Sigmoid" },
        { to: 16, kernel: k3, bias: true, dilation: 2, pads: [2, 2, 2, 2] },
        { to: 32, kernel: [4, 2], bias: true, stride: 3, pads: [1, 1, 2, 0] },
      ],
    ],
  ])("agree for %s", async (_, size, layers) => {
    const result = await compare(net(3, size, layers), 16, 3, size);
    expect(result.errors).toEqual([]);
    expect(result.loss).toBeLessThan(1e-5);
    expect(result.blockedConvolutions).toBeGreaterThan(layers.length);
  });

  it("agree where the batch fills no block, and the weights' gradients are computed otherwise", async () => {
    const layers = [
      { to: 16, kernel: k3, norm: true },
      { to: 16, kernel: k3, norm: true },
    ];
    const result = await compare(net(3, 8, layers), 6, 3, 8);
    expect(result.errors).toEqual([]);
  });

  it("stay in blocks from the image to the pool", async () => {
    const layers = [
      { to: 16, kernel: k3, norm: true },
      { to: 16, kernel: k3, norm: true, residual: true },
    ];
    const result = await compare(net(3, 8, layers), 16, 3, 8);
    expect(result.reorders).toBe(0);
    expect(result.portableConvolutions).toBe(0);
  });
});

describe("a trainer", () => {
  it("takes the same steps with either kind of kernels, and gives an ordinary net", async () => {
    const data = stripes(64, 3);
    const losses: number[][] = [];
    for (const kernels of ["portable", "blocked"] as const) {
      const trainer = await Trainer.open({
        graph: stripeNet(),
        batchDims: [32, 1, 8, 8],
        loss: crossEntropy(),
        optimizer: sgd(),
        threads: 1,
        kernels,
      });
      const own: number[] = [];
      for (let s = 0; s < 4; s++) {
        own.push(await trainer.step(await data.batch(Array.from({ length: 32 }, (_, i) => (32 * s + i) % 64)), 0.02));
      }
      losses.push(own);
      expect(trainer.graph().nodes.filter((n) => n.domain !== "")).toEqual([]);
      await trainer.dispose();
    }
    losses[0].forEach((loss, s) => {
      expect(losses[1][s]).toBeCloseTo(loss, 3);
    });
  });
});
