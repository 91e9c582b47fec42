/** Inferred types against what ONNX Runtime gives. */
import { expect } from "vitest";
import { ModelError } from "../../../toolkit/graph/errors.js";
import { type Graph, typeOf } from "../../../toolkit/graph/graph.js";
import type { Tensor } from "../../../toolkit/graph/tensor.js";
import { inferShapes } from "../../../toolkit/ops/infer.js";
import { randomFeeds, runGraph } from "../../support/graphs.js";
import { modelOf, type OpCase, type Pass } from "../case.js";

export const shapePass: Pass = {
  name: "inferred types are the runtime's, or those of the specification",
  run: async (opType, c) => {
    const g = inferShapes(modelOf(opType, c));
    if (c.specified) {
      expect(g.outputs.map((v) => v.type)).toEqual(c.specified);
      return;
    }
    const found = await runGraph(withTypes(modelOf(opType, c), g), randomFeeds(g, c.seed ?? 1, c.range));
    for (const [name, t] of Object.entries(found)) {
      const { elemType, dims } = typeOf(g, name) ?? {};
      expect(elemType, name).toBe(t.elemType);
      expect(
        dims?.map((d, axis) => (c.dynamic && d === null ? t.dims[axis] : d)),
        name,
      ).toEqual(t.dims);
    }
    expectSameWhereKnown(opType, c, found);
  },
};

/** With a dynamic first axis every dimension that is still a number must be the right one. */
function expectSameWhereKnown(opType: string, c: OpCase, found: Record<string, Tensor>): void {
  let g: Graph;
  try {
    g = inferShapes(modelOf(opType, c, "N"));
  } catch (e) {
    if (!(e instanceof ModelError)) throw e;
    expect(e.code).toBe("dynamic-dimension");
    expect(e.hint).toContain("--dim N=");
    return;
  }
  for (const [name, t] of Object.entries(found)) {
    const dims = typeOf(g, name)?.dims ?? [];
    expect(dims.length, name).toBe(t.dims.length);
    for (const [axis, d] of dims.entries())
      if (typeof d === "number") expect(d, `${name} axis ${axis}`).toBe(t.dims[axis]);
  }
}

/** The model with the element types of its outputs declared, which the runtime insists on. */
function withTypes(g: Graph, inferred: Graph): Graph {
  return {
    ...g,
    outputs: g.outputs.map((v) => ({ ...v, type: { elemType: typeOf(inferred, v.name)?.elemType ?? "float32" } })),
  };
}
