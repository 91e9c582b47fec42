/** Small models and inputs for the tests of runners. */

import type { WireTensor } from "../../runners/runner.js";
import { GraphBuilder } from "../../toolkit/graph/builder.js";
import { attr } from "../../toolkit/graph/graph.js";
import { writeModel } from "../../toolkit/onnx/index.js";

/** A wire tensor of float32. */
export const wire = (values: readonly number[], dims: readonly number[] = [values.length]): WireTensor => ({
  elemType: "float32",
  dims,
  data: Float32Array.from(values),
});

/** y = relu(x w): x [1, 2], w = [[1, -1], [2, 3]]. */
export function denseModel(): Uint8Array {
  const b = new GraphBuilder();
  const x = b.input("x", [1, 2]);
  const w = b.initializer("w", { elemType: "float32", dims: [2, 2], data: Float32Array.of(1, -1, 2, 3) });
  b.output(b.relu(b.matmul(x, w, { name: "dense" }), { name: "activation", out: "y" }), {
    elemType: "float32",
    dims: [1, 2],
  });
  return writeModel(b.graph);
}

/** Conv 3x3 + Relu twice on [1, 3, 16, 16], weights a fixed wave; output `y` [1, 8, 16, 16]. */
export function convModel(): Uint8Array {
  const b = new GraphBuilder();
  let y = b.input("x", [1, 3, 16, 16]);
  for (const [index, [from, to]] of [
    [3, 8],
    [8, 8],
  ].entries()) {
    const data = Float32Array.from({ length: to * from * 9 }, (_, i) => Math.sin(i));
    const w = b.initializer(`w${index}`, { elemType: "float32", dims: [to, from, 3, 3], data });
    const c = b.conv(y, w, "", { pads: [1, 1, 1, 1] }, { name: `conv${index}` });
    y = b.relu(c, { name: `relu${index}`, out: index === 1 ? "y" : "hidden" });
  }
  b.output(y, { elemType: "float32", dims: [1, 8, 16, 16] });
  return writeModel(b.graph);
}

/** An int64 input cast to bool and back, to see element types through. */
export function castModel(): Uint8Array {
  const b = new GraphBuilder();
  const x = b.input("x", [3], "int64");
  const truth = b.emit("Cast", [x], { to: attr.int(9) }, { out: "truth" });
  const copy = b.emit("Add", [x, x], {}, { out: "twice" });
  b.output(truth, { elemType: "bool", dims: [3] });
  b.output(copy, { elemType: "int64", dims: [3] });
  return writeModel(b.graph);
}

/** y = x + c with c both an initializer and a graph input: ONNX Runtime warns of it. */
export function warnedModel(): Uint8Array {
  const b = new GraphBuilder();
  const x = b.input("x", [2]);
  const c = b.initializer("c", { elemType: "float32", dims: [2], data: Float32Array.of(1, 2) });
  b.graph.inputs.push({ name: c, type: { elemType: "float32", dims: [2] } });
  b.output(b.add(x, c, { out: "y" }), { elemType: "float32", dims: [2] });
  return writeModel(b.graph);
}

/** Whether a process with this id exists. */
export function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Waits until `condition` holds; false when it does not within `timeoutMs`. */
export async function eventually(condition: () => boolean, timeoutMs = 15_000): Promise<boolean> {
  for (const end = Date.now() + timeoutMs; Date.now() < end; await new Promise((r) => setTimeout(r, 20))) {
    if (condition()) return true;
  }
  return condition();
}
