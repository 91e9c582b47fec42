import { describe, expect, test } from "vitest";
import { inspect, inspectModel } from "../toolkit/inspect.js";
import { Layers } from "./support/layers.js";
import { hasShared, sharedPath } from "./support/shared.js";

describe("inspectModel", () => {
  test("a net with an operator that is not known", () => {
    const n = new Layers();
    const a = n.conv("a", n.b.input("x", ["N", 3, 4, 4]), 3, 6);
    const y = n.b.emit("Sparkle", [a], {}, { name: "odd", domain: "org.example", out: "sparkled" });
    n.b.graph.valueTypes.set("sparkled", { elemType: "float32", dims: ["N", 6, 4, 4] });
    n.b.output(n.conv("last", n.b.relu(n.conv("b", y, 6, 4)), 4, 2));
    const found = inspectModel(n.b.graph);
    expect(found.unknownOps).toEqual({ "org.example.Sparkle": 1 });
    expect(found.inputs).toEqual([{ name: "x", elemType: "float32", dims: ["N", 3, 4, 4] }]);
    expect(found.groups.map((e) => [e.id, e.width, e.producers, e.consumers])).toEqual([["b", 4, ["b"], ["last"]]]);
    expect(found.frozen.map((e) => [e.id, e.reason])).toEqual([
      ["a", 'org.example.Sparkle "odd": edgefit has no rule for this operator'],
      ["last", 'it is part of graph output "last_out"'],
    ]);
    expect(found.nodes[0]).toEqual({ name: "a", op: "Conv", outputDims: ["N", 6, 4, 4], macs: 288, params: 24 });
    expect(structuredClone(found)).toEqual(found);
  });

  test.skipIf(!hasShared)("resnet20: published parameter count and multiply-accumulates", async () => {
    const found = await inspect({ model: sharedPath("models/resnet-cifar10/resnet20-cifar10-slicepad.onnx") });
    // He et al. 2016, table 6: 0.27 M parameters. Running means and variances of batch normalisation are counted here.
    expect(found.totals.params / 1e6).toBeCloseTo(0.27, 2);
    expect(found.totals.macs / 1e6).toBeCloseTo(40.8, 0);
    expect(found.groups.length).toBe(12);
    expect(found.frozen.length).toBe(1);
    expect(found.unknownOps).toEqual({});
  });
});
