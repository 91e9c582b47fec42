import { describe, expect, test } from "vitest";
import { buildEyeStateModel } from "../../samples/driver-monitoring/model.js";
import { checkGraph } from "../../toolkit/graph/check.js";
import { cloneGraph } from "../../toolkit/graph/graph.js";
import { floats, sizeOf, toFloat32 } from "../../toolkit/graph/tensor.js";
import { openSession } from "../../toolkit/runtime/session.js";

const images = (count: number) =>
  floats(
    Float32Array.from({ length: count * 3072 }, (_, i) => Math.sin(i * 0.37)),
    [count, 3, 32, 32],
  );

describe("eye-state model", () => {
  test("is a valid graph that maps any number of images to two finite logits each", async () => {
    const g = buildEyeStateModel(1);
    checkGraph(g);
    const session = await openSession(g, { threads: 1 });
    for (const count of [1, 5]) {
      const { logits } = await session.run({ image: images(count) });
      expect(logits.dims).toEqual([count, 2]);
      expect(toFloat32(logits).every(Number.isFinite)).toBe(true);
    }
    await session.dispose();
  });

  test("costs 4.5 to 5.5 million multiply-accumulates, counted from what the runtime computes", async () => {
    const g = cloneGraph(buildEyeStateModel(1));
    const linear = g.nodes.filter((n) => n.opType === "Conv" || n.opType === "Gemm");
    for (const n of linear) {
      if (n.outputs[0] !== "logits") g.outputs.push({ name: n.outputs[0], type: { elemType: "float32" } });
    }
    const session = await openSession(g, { threads: 1, level: "disabled" });
    const values = await session.run({ image: images(1) });
    await session.dispose();
    const macs = linear.map((n) => {
      const weight = g.initializers.get(n.inputs[1])!;
      return sizeOf(values[n.outputs[0]].dims) * sizeOf(weight.dims.slice(1));
    });
    const total = macs.reduce((a, b) => a + b);
    expect(total).toBeGreaterThan(4_500_000);
    expect(total).toBeLessThan(5_500_000);
  });

  test("starts from its seed", () => {
    const [a, b, c] = [1, 1, 2].map((seed) => buildEyeStateModel(seed).initializers.get("stem.conv.weight"));
    expect(a).toEqual(b);
    expect(a).not.toEqual(c);
  });

  test("keeps the scale of its activations at the start", async () => {
    const session = await openSession(buildEyeStateModel(3), { threads: 1 });
    const logits = toFloat32((await session.run({ image: images(8) })).logits);
    await session.dispose();
    const deviation = Math.sqrt(logits.reduce((sum, v) => sum + v * v, 0) / logits.length);
    expect(deviation).toBeGreaterThan(0.01);
    expect(deviation).toBeLessThan(100);
  });
});
