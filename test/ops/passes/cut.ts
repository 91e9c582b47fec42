/**
 * Channels through the operator: layers that make channels before it, a layer that sums over them behind it, random keep
 * sets; the sliced net must compute what the masked one does.
 */
import { expect } from "vitest";
import type { GraphBuilder, Ref } from "../../../toolkit/graph/builder.js";
import { checkGraph } from "../../../toolkit/graph/check.js";
import { attr, type Graph, typeOf } from "../../../toolkit/graph/graph.js";
import { floats, sizeOf, type Tensor } from "../../../toolkit/graph/tensor.js";
import { inferShapes } from "../../../toolkit/ops/infer.js";
import { findGroups } from "../../../toolkit/prune/groups.js";
import { maskGraph } from "../../../toolkit/prune/mask.js";
import { sliceGraph } from "../../../toolkit/prune/slice.js";
import { randomFeeds, randomKeep, relativeError, runGraph, uniform } from "../../support/graphs.js";
import { builderFor, emitCase, isLive, type LiveInput, modelOf, type OpCase, type Pass } from "../case.js";

/** Channels of the layers around the operator. */
const AROUND = 3;

export const cutPass: Pass = {
  name: "a cut net computes what the masked one does",
  skip: (_, c) =>
    c.uncut ??
    (c.specified ? "the runtime has no kernel" : undefined) ??
    (c.inputs.some((i) => i !== null && isLive(i) && channelAxis(i) !== null) ? undefined : "no channels"),
  run: async (opType, c) => {
    const g = inferShapes(surrounded(opType, c));
    const groups = findGroups(g);
    const made = groups.groups.filter((e) => e.id.startsWith("before"));
    if (c.frozen) {
      expect(made.length).toBeGreaterThan(0);
      for (const e of made) expect(e.frozen).toContain(`${opType} "op"`);
      return;
    }
    // A group of one channel always stays.
    const stay = made.filter(
      (e) => e.frozen !== undefined && (e.width > 1 || !e.frozen.endsWith("one channel always stays")),
    );
    expect(stay.map((e) => e.frozen)).toEqual(c.keeps ?? []);
    expect(groups.prunable.length).toBeGreaterThan(0);
    for (const seed of [1, 2, 3]) {
      const keep = randomKeep(groups, seed);
      const feeds = randomFeeds(g, seed, c.range);
      const sliced = sliceGraph(g, groups, keep);
      checkGraph(sliced);
      expect(sliced.nodes.map((n) => n.name)).toEqual(g.nodes.map((n) => n.name));
      const [a, b] = [await runGraph(sliced, feeds), await runGraph(maskGraph(g, groups, keep), feeds)];
      for (const v of g.outputs) expect(relativeError(a[v.name], b[v.name]), v.name).toBeLessThan(1e-5);
    }
  },
};

function channelAxis(i: LiveInput): number | null {
  if (i.channels !== undefined) return i.channels;
  return i.live.length < 2 || (i.elemType ?? "float32") !== "float32" ? null : 1;
}

/** The case between layers that make its channels and layers that sum over them. */
export function surrounded(opType: string, c: OpCase): Graph {
  const b = builderFor(c);
  const next = uniform(c.seed ?? 1);
  const [low, high] = c.range ?? [-1, 1];
  const random = (dims: readonly number[]): Tensor =>
    floats(
      Float32Array.from({ length: sizeOf(dims) }, () => low + next() * (high - low)),
      dims,
    );
  const outputs = emitCase(b, opType, c, (i) => before(b, c.inputs[i] as LiveInput, i, random));
  const types = inferShapes(modelOf(opType, c));
  outputs.forEach((y, i) => {
    b.output(
      behind(b, y, (typeOf(types, y)?.dims ?? []) as number[], typeOf(types, y)?.elemType ?? "float32", i, random),
    );
  });
  return b.graph;
}

/** A layer that makes the live input, with its channels on the wanted axis. */
function before(
  b: GraphBuilder,
  { live, elemType, channels }: LiveInput,
  i: number,
  random: (dims: readonly number[]) => Tensor,
): Ref {
  const axis = channelAxis({ live, elemType, channels });
  if (axis === null) return b.input(`x${i}`, live, elemType ?? "float32");
  const o = { name: `before${i}`, out: `live${i}` };
  if (axis === live.length - 1) {
    const x = b.input(`x${i}`, [...live.slice(0, -1), AROUND]);
    return b.emit("MatMul", [x, b.initializer(`w${i}`, random([AROUND, live[axis]]))], {}, o);
  }
  if (axis !== 1) throw new Error("channels live on axis 1 or on the last one");
  const x = b.input(`x${i}`, [live[0], AROUND, ...live.slice(2)]);
  const w = b.initializer(`w${i}`, random([live[1], AROUND, ...live.slice(2).map(() => 1)]));
  return b.conv(x, w, b.initializer(`b${i}`, random([live[1]])), {}, o);
}

/** A layer that sums over everything that one element of axis 0 holds. */
function behind(
  b: GraphBuilder,
  y: Ref,
  dims: readonly number[],
  elemType: string,
  i: number,
  random: (dims: readonly number[]) => Tensor,
): Ref {
  if (dims.length < 2) return y;
  const x = elemType === "float32" ? y : b.emit("Cast", [y], { to: attr.int(1) }, { name: `cast${i}` });
  const flat = b.emit("Flatten", [x], { axis: attr.int(1) }, { name: `flat${i}` });
  const w = b.initializer(`v${i}`, random([sizeOf(dims.slice(1)), AROUND]));
  return b.emit(
    "Gemm",
    [flat, w, b.initializer(`u${i}`, random([AROUND]))],
    {},
    { name: `behind${i}`, out: `out${i}` },
  );
}
