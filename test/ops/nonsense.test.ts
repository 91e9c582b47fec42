/**
 * Rules meet whatever a file holds: inputs of any rank, absent ones, attributes of any value. They answer with sound types or with a
 * ModelError, never with another exception or with a dimension that is none.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { emptyGraph } from "../../toolkit/graph/builder.js";
import { ModelError } from "../../toolkit/graph/errors.js";
import { type Attribute, attr, type Graph, type OpNode, type ValueType } from "../../toolkit/graph/graph.js";
import { type ElemType, fromNumbers, sizeOf, type Tensor } from "../../toolkit/graph/tensor.js";
import { listOps } from "../../toolkit/ops/index.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { families } from "./cases/index.js";

/** Attribute names that the operators' own cases use: nonsense hits more often with the right name. */
const attributesOf = (opType: string): string[] => [
  ...new Set(
    Object.values(families)
      .flatMap((f) => f[opType] ?? [])
      .flatMap((c) => Object.keys(c.attributes ?? {})),
  ),
];

const small = fc.integer({ min: -3, max: 6 });
const attribute: fc.Arbitrary<Attribute> = fc.oneof(
  small.map(attr.int),
  fc.array(small, { maxLength: 5 }).map(attr.ints),
  fc.constantFrom("", "same", "SAME_UPPER", "reverse", "ij,jk->ik", "...i->i", "->", "CRD").map(attr.string),
  fc.float({ noNaN: true, min: -2, max: 4 }).map(attr.float),
  fc.array(fc.float({ noNaN: true, min: 0, max: 3 }), { maxLength: 4 }).map(attr.floats),
);
const elemType = fc.constantFrom<ElemType>("float32", "int64", "uint8", "bool", "float16", "int32");
const dims = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 5 });
const live = fc.tuple(elemType, fc.array(fc.oneof(fc.integer({ min: 0, max: 4 }), fc.constant("N")), { maxLength: 5 }));
const constant = fc.tuple(elemType, dims, fc.array(small, { minLength: 1, maxLength: 8 }));

type Input = { kind: "absent" } | { kind: "live"; type: ValueType } | { kind: "constant"; value: Tensor };
const input: fc.Arbitrary<Input> = fc.oneof(
  { weight: 1, arbitrary: fc.constant({ kind: "absent" as const }) },
  { weight: 4, arbitrary: live.map(([t, d]) => ({ kind: "live" as const, type: { elemType: t, dims: d } })) },
  {
    weight: 4,
    arbitrary: constant.map(([t, d, pool]) => ({
      kind: "constant" as const,
      value: fromNumbers(
        t,
        Array.from({ length: sizeOf(d) }, (_, i) =>
          t === "bool" ? Math.abs(pool[i % pool.length]) % 2 : pool[i % pool.length],
        ),
        d,
      ),
    })),
  },
);

function graphOf(
  op: { opType: string; domain: string },
  opset: number,
  inputs: Input[],
  outputs: number,
  attributes: Record<string, Attribute>,
): Graph {
  const g = emptyGraph("nonsense", opset);
  if (op.domain) g.opsets.set(op.domain, 1);
  const names = inputs.map((x, i) => {
    if (x.kind === "absent") return "";
    if (x.kind === "live") g.inputs.push({ name: `x${i}`, type: x.type });
    else g.initializers.set(`x${i}`, x.value);
    return `x${i}`;
  });
  const node: OpNode = {
    name: "op",
    ...op,
    inputs: names,
    outputs: Array.from({ length: outputs }, (_, i) => `y${i}`),
    attributes,
  };
  g.nodes.push(node);
  // A reader behind every output, so that constant results are folded as well.
  for (const y of node.outputs) {
    g.nodes.push({
      name: `end_${y}`,
      opType: "Identity",
      domain: "",
      inputs: [y],
      outputs: [`${y}_end`],
      attributes: {},
    });
    g.outputs.push({ name: `${y}_end`, type: { elemType: "other" } });
  }
  return g;
}

const sound = (d: unknown): boolean =>
  d === null || typeof d === "string" || (Number.isSafeInteger(d) && (d as number) >= 0);

describe("any call of an operator has sound types or is refused", () => {
  const ops = new Map(listOps().map(({ opType, domain }) => [`${domain}:${opType}`, { opType, domain }]));
  test.each([...ops.values()])("$opType", (op) => {
    const names = attributesOf(op.opType);
    const attributes = fc.dictionary(fc.constantFrom(...(names.length > 0 ? names : ["axis"])), attribute, {
      maxKeys: 3,
    });
    fc.assert(
      fc.property(
        fc.array(input, { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 7, max: 24 }),
        fc.integer({ min: 1, max: 3 }),
        attributes,
        (inputs, opset, outputs, given) => {
          const g = graphOf(op, opset, inputs, outputs, given);
          let h: Graph;
          try {
            h = inferShapes(g);
          } catch (e) {
            if (!(e instanceof ModelError)) throw e;
            return;
          }
          for (const t of [...h.valueTypes.values(), ...h.outputs.map((v) => v.type)])
            expect((t.dims ?? []).filter((d) => !sound(d))).toEqual([]);
        },
      ),
      { numRuns: 200, seed: 1 },
    );
  });
});
