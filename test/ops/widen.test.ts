import { expect, test } from "vitest";
import { emptyGraph, GraphBuilder } from "../../toolkit/graph/builder.js";
import { checkGraph } from "../../toolkit/graph/check.js";
import { attr, type Graph, typeOf } from "../../toolkit/graph/graph.js";
import { fromNumbers, type Tensor, toNumbers } from "../../toolkit/graph/tensor.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { hasHalfFloats, widenHalfFloats } from "../../toolkit/ops/widen.js";
import { runGraph } from "../support/graphs.js";
import { smallNet, waves } from "../support/models.js";

const half = (dims: number[]): Tensor =>
  fromNumbers("float16", Array.from(waves(dims, 0.5).data as Float32Array), dims);

/** A half-precision net: convolution, a fill, a branch that captures, a cast; `outside` is the type of its input and outputs. */
function halfNet(outside: "float16" | "float32"): Graph {
  const branch = (name: string, op: string) => {
    const b = new GraphBuilder(emptyGraph(name));
    b.output(b.emit(op, ["h", b.initializer(`${name}_k`, half([1]))], {}, { out: `${name}_out` }), {
      elemType: "float16",
    });
    return { type: "graph" as const, value: b.graph };
  };
  const b = new GraphBuilder();
  const x = b.input("x", [1, 3, 4, 4], outside);
  const flag = b.input("flag", [], "bool");
  const inside = outside === "float16" ? x : b.emit("Cast", [x], { to: attr.int(10) });
  b.relu(b.conv(inside, b.initializer("w", half([4, 3, 1, 1])), b.initializer("bias", half([4]))), { out: "h" });
  const y = b.emit("If", [flag], { then_branch: branch("yes", "Mul"), else_branch: branch("no", "Add") });
  const fill = b.emit("ConstantOfShape", [b.ints([4])], { value: attr.tensor(fromNumbers("float16", [0.25], [1])) });
  const sum = b.add(y, fill);
  b.output(
    outside === "float16" ? b.identity(sum, { out: "y" }) : b.emit("Cast", [sum], { to: attr.int(1) }, { out: "y" }),
    { elemType: outside },
  );
  return b.graph;
}

test.each(["float16", "float32"] as const)(
  "a half-precision net with %s outside gives the same within what it rounds",
  async (outside) => {
    const g = halfNet(outside);
    const wide = widenHalfFloats(inferShapes(g));
    checkGraph(wide);
    const inferred = inferShapes(wide);
    expect(typeOf(inferred, "h")?.elemType).toBe("float32");
    expect([...inferred.initializers.values()].map((t) => t.elemType)).not.toContain("float16");
    expect(inferred.inputs[0].type.elemType).toBe(outside);
    expect(inferred.outputs[0].type.elemType).toBe(outside);
    for (const v of [0, 1]) {
      const feeds = {
        x: { ...(outside === "float16" ? half([1, 3, 4, 4]) : waves([1, 3, 4, 4], 0.5)) },
        flag: { elemType: "bool" as const, dims: [], data: Uint8Array.of(v) },
      };
      const [a, b] = [await runGraph(inferred, feeds), await runGraph(inferShapes(g), feeds)];
      expect(a.y.elemType).toBe(outside);
      const [p, q] = [toNumbers(a.y), toNumbers(b.y)];
      for (let i = 0; i < q.length; i++) expect(Math.abs(p[i] - q[i])).toBeLessThan(4e-3);
    }
  },
);

test("a net without half floats is returned as it is", () => {
  const g = smallNet();
  expect(widenHalfFloats(g)).toBe(g);
  expect(hasHalfFloats(g)).toBe(false);
});
