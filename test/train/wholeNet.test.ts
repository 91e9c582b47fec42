import { describe, expect, it } from "vitest";
import { emptyGraph, GraphBuilder } from "../../toolkit/graph/builder.js";
import { attr } from "../../toolkit/graph/graph.js";
import { floats, toFloat32 } from "../../toolkit/graph/tensor.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { readModelFile } from "../../toolkit/onnx/index.js";
import { withSession } from "../../toolkit/runtime/session.js";
import { type BatchNormMode, buildForward } from "../../toolkit/train/forward.js";
import { crossEntropy, outputEnergy, parameterGradients } from "../../toolkit/train/index.js";
import { findParameters, gather } from "../../toolkit/train/parameters.js";
import { gradientGraph } from "../../toolkit/train/step.js";
import { gaussian } from "../support/random.js";
import { hasShared, sharedPath } from "../support/shared.js";
import { stripeNet, stripes } from "./nets.js";

describe.skipIf(!hasShared)("the gradient of resnet20's loss (third-party model)", () => {
  it.each<BatchNormMode>(["batch", "running"])("agrees with finite differences, statistics: %s", async (mode) => {
    const g = tidy(await readModelFile(sharedPath("models/resnet-cifar10/resnet20-cifar10.onnx")));
    const normal = gaussian(2);
    const dims = [4, 3, 32, 32];
    const batch = {
      data: Float32Array.from({ length: 4 * 3 * 32 * 32 }, normal),
      dims,
      labels: Int32Array.of(1, 3, 5, 7),
    };
    const forward = buildForward(g, dims, crossEntropy(), mode);
    const layout = findParameters(g, forward.graph);
    const parameters = gather(g, layout);
    await withSession(gradientGraph(forward, layout), { threads: 1 }, async (session) => {
      const feeds = { [forward.input]: floats(batch.data, dims), ...(await forward.built.feeds(batch)) };
      const run = (p: Float32Array) => session.run({ ...feeds, parameters: floats(p) });
      const gradient = toFloat32((await run(parameters)).gradient);
      // One direction per tensor: along its own gradient, so that the derivative is the gradient's length and well above rounding.
      for (const e of layout.entries.filter((_, i) => i % 6 === 0)) {
        const own = gradient.subarray(e.offset, e.offset + e.length);
        const norm = Math.hypot(...own);
        expect(norm).toBeGreaterThan(0);
        // Short enough to meet few kinks of ReLU, long enough for float32.
        const h = 0.002 / norm;
        const loss = async (sign: number): Promise<number> => {
          const p = parameters.slice();
          for (let i = 0; i < e.length; i++) p[e.offset + i] += (sign * h * own[i]) / norm;
          return toFloat32((await run(p)).loss)[0];
        };
        const slope = ((await loss(1)) - (await loss(-1))) / (2 * h);
        expect(Math.abs(slope - norm) / norm, e.name).toBeLessThan(0.01);
      }
    });
  });
});

describe("gradients of a net's parameters", () => {
  it("are the mean of the batches' own", async () => {
    const data = stripes(48, 2);
    const batches = [
      await data.batch([0, 1, 2, 3, 4, 5]),
      await data.batch([6, 7, 8, 9, 10, 11]),
      await data.batch([12, 13]),
    ];
    const each: Float32Array[] = [];
    const mean = await parameterGradients(stripeNet(), batches, crossEntropy(), {
      threads: 1,
      onBatch: (e) => each.push(e.gradients.get("second.weight")!),
    });
    expect(each).toHaveLength(3);
    expect([...mean.keys()]).not.toContain("first.bn.mean");
    mean.get("second.weight")!.forEach((v, i) => {
      expect(v).toBeCloseTo((each[0][i] + each[1][i] + each[2][i]) / 3, 6);
    });
  });

  it("go through an old Softmax that normalises several axes at once", async () => {
    const g = new GraphBuilder(emptyGraph("net", 11, 6));
    const x = g.input("x", ["N", 3]);
    const y = g.emit("MatMul", [
      x,
      g.initializer(
        "w",
        floats(
          Float32Array.from({ length: 18 }, (_, i) => Math.sin(i)),
          [3, 6],
        ),
      ),
    ]);
    const cube = g.emit("Reshape", [y, g.ints([0, 2, 3])]);
    g.output(g.emit("Softmax", [cube], { axis: attr.int(1) }, { out: "soft" }), {
      elemType: "float32",
      dims: ["N", 2, 3],
    });
    const batch = { data: Float32Array.of(1, -2, 0.5, 0.3, 0.8, -1), dims: [2, 3] };
    const gradients = await parameterGradients(g.graph, [batch], outputEnergy(), { threads: 1 });
    // outputEnergy: half the mean square of the twelve outputs.
    const energy = (w: readonly number[]): number => {
      let sum = 0;
      for (const row of [0, 1]) {
        const scores = Array.from({ length: 6 }, (_, o) =>
          [0, 1, 2].reduce((s, i) => s + batch.data[3 * row + i] * w[6 * i + o], 0),
        );
        const total = scores.reduce((s, v) => s + Math.exp(v), 0);
        sum += scores.reduce((s, v) => s + (Math.exp(v) / total) ** 2, 0);
      }
      return sum / 24;
    };
    const w = Array.from({ length: 18 }, (_, i) => Math.fround(Math.sin(i)));
    gradients.get("w")!.forEach((v, i) => {
      const slope = (energy(w.with(i, w[i] + 1e-5)) - energy(w.with(i, w[i] - 1e-5))) / 2e-5;
      expect(v).toBeCloseTo(slope, 5);
    });
  });

  it("reach biases and scales per channel, and leave other constants alone", async () => {
    const g = new GraphBuilder(emptyGraph("net"));
    const ones = (name: string, dims: number[]) =>
      g.initializer(name, floats(new Float32Array(dims.reduce((a, b) => a * b, 1)).fill(0.5), dims));
    let x = g.input("x", ["N", 3, 2, 2]);
    x = g.add(x, ones("bias", [3, 1, 1]));
    x = g.mul(x, ones("scale", [1, 3, 1, 1]));
    x = g.mul(g.add(x, ones("mask", [1, 3, 2, 2])), ones("factor", []));
    g.output(x, { elemType: "float32", dims: ["N", 3, 2, 2] });
    const batch = { data: Float32Array.from({ length: 24 }, (_, i) => i), dims: [2, 3, 2, 2] };
    const gradients = await parameterGradients(g.graph, [batch], outputEnergy(), { threads: 1 });
    expect([...gradients.keys()].sort()).toEqual(["bias", "scale"]);
  });

  it("exist without labels", async () => {
    const data = stripes(8, 2);
    const gradients = await parameterGradients(stripeNet(), [await data.batch([0, 1, 2, 3])], outputEnergy(), {
      threads: 1,
    });
    expect(Math.hypot(...gradients.get("first.weight")!)).toBeGreaterThan(0);
  });

  it("are refused where an operator on the way has none, by name", async () => {
    const g = new GraphBuilder(emptyGraph("net"));
    const x = g.input("x", ["N", 4]);
    const y = g.emit("Gemm", [x, g.initializer("w", floats(new Float32Array(16).fill(0.1), [4, 4]))]);
    g.output(g.emit("Round", [y], {}, { name: "rounding" }), { elemType: "float32", dims: ["N", 4] });
    const batch = { data: new Float32Array(8), dims: [2, 4] };
    await expect(parameterGradients(g.graph, [batch], outputEnergy())).rejects.toMatchObject({
      code: "gradient-missing",
      where: 'Round "rounding"',
    });
  });
});
