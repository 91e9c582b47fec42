import { describe, expect, it } from "vitest";
import type { NodeTime } from "../../runners/runner.js";
import { attribute, trimmedMean } from "../../toolkit/latency/attribute.js";
import { kernelsOf } from "../../toolkit/latency/index.js";
import { findGroups } from "../../toolkit/prune/groups.js";
import { residualNet } from "./fakeDevice.js";

const g = residualNet();
const groups = findGroups(g);
const kernels = kernelsOf(g, (v) => groups.symbolicDims(v));
const dims = (v: string) => (v === "image" ? [1, 3, 16, 16] : (g.valueTypes.get(v)!.dims as number[]));

const node = (name: string, us: number, o: { in?: number[]; out?: number[] } = {}): NodeTime => ({
  name,
  opType: "",
  provider: "CPUExecutionProvider",
  inputDims: [o.in ?? [1]],
  outputDims: [o.out ?? [1]],
  durationsUs: Float64Array.of(us),
});
const give = (...nodes: NodeTime[]) => attribute({ nodes, callsUs: Float64Array.of(0) }, kernels, dims);

describe("attribute", () => {
  it.each([
    ["the node's own name", "b0.conv1"],
    ["a layout rewrite of the fused output", "b0.relu1_nchwc"],
    ["an integer rewrite", "b0.conv1_token_4"],
    ["several rewrites", "b0.relu1_nchwc_token_12"],
    ["a rewrite that is not known", "b0.conv1/Some_New_Fusion"],
    ["a value made inside the kernel", "b0.conv1.out"],
  ])("traces %s", (_, name) => {
    expect(give(node(name, 5)).get("b0.conv1")).toEqual({ us: 5, launches: 1 });
  });

  it("does not mistake a longer name for its prefix", () => {
    const times = give(node("b0.conv12", 5), node("stem", 3));
    expect(times.get("b0.conv1")).toEqual({ us: 0, launches: 0 });
  });

  it("gives a reorder to the kernel that reads the tensor, not to the next one in line", () => {
    const wide = [1, 64, 16, 16];
    const times = give(
      node("ReorderOutput_token_3", 2, { in: wide, out: wide }),
      node("b0.conv2", 10, { in: [1, 48, 16, 16] }),
      node("b1.conv2", 20, { in: wide }),
    );
    expect(times.get("b0.conv2")).toEqual({ us: 10, launches: 1 });
    expect(times.get("b1.conv2")).toEqual({ us: 22, launches: 2 });
  });

  it("gives a trailing node that nobody reads to the last kernel", () => {
    expect(give(node("head", 4), node("DequantizeLinear", 1)).get("head")).toEqual({ us: 5, launches: 2 });
  });

  it("loses no time", () => {
    const nodes = ["stem.relu_nchwc", "what", "b1.sum", "pooled", "ReorderOutput"].map((name, i) => node(name, i + 1));
    const total = [...give(...nodes).values()].reduce((s, t) => s + t.us, 0);
    expect(total).toBe(15);
  });
});

describe("trimmedMean", () => {
  it("averages the middle 80 percent", () => {
    expect(trimmedMean([1000, 3, 4, 3, 4, 3, 4, 3, 4, -50])).toBeCloseTo(3.5);
    expect(trimmedMean([7])).toBe(7);
  });
});
