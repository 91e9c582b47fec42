/**
 * Activations that a file spells out in several operators: SiLU as x * sigmoid(x), HardSwish as x * clip(x + 3, 0, 6) / 6.
 * They are functions of one value, so they are rounded once in front and once behind. Rounding the gate on its own
 * costs much of the accuracy of nets built on them.
 */
import { type Graph, type OpNode, opsetOf, producersOf, usesOf } from "../graph/graph.js";
import { sizeOf } from "../graph/tensor.js";
import { ruleFor } from "../ops/index.js";

/** Names of the nodes that make up such a function, the last one included. */
export function activationPieces(g: Graph): Set<string> {
  const producers = producersOf(g);
  const uses = usesOf(g);
  const graphOutputs = new Set(g.outputs.map((v) => v.name));
  const elementwise = (n: OpNode): boolean => ruleFor(n, opsetOf(g, n.domain))?.elementwise === true;
  const variable = (n: OpNode): string[] => n.inputs.filter((v) => v !== "" && !g.initializers.has(v));
  // A vector of constants would make it a function of the channel as well, as a batch norm is.
  const scalarConstants = (n: OpNode): boolean =>
    n.inputs.every((v) => sizeOf(g.initializers.get(v)?.dims ?? []) === 1 || !g.initializers.has(v));

  /** What a value is a function of, through operators on single elements, nearest first, with the nodes on the way. */
  const origins = (value: string): { value: string; through: OpNode[] }[] => {
    const out: { value: string; through: OpNode[] }[] = [{ value, through: [] }];
    for (;;) {
      const last = out[out.length - 1];
      const n = producers.get(last.value);
      if (!n || !elementwise(n) || !scalarConstants(n) || variable(n).length !== 1) return out;
      out.push({ value: variable(n)[0], through: [...last.through, n] });
    }
  };

  const pieces = new Set<string>();
  for (const n of g.nodes) {
    const [a, b, ...others] = variable(n);
    if (b === undefined || a === b || others.length > 0 || !elementwise(n)) continue;
    const [left, right] = [origins(a), origins(b)];
    const shared = left.find((l) => right.some((r) => r.value === l.value));
    if (!shared) continue;
    const other = right.find((r) => r.value === shared.value)!;
    for (const m of [...shared.through, ...other.through, n]) pieces.add(m.name);
    // What only reads the result and works on single elements goes along: the division of a HardSwish.
    for (let value = n.outputs[0]; !graphOutputs.has(value); ) {
      const readers = uses.get(value) ?? [];
      const [next] = readers;
      if (readers.length !== 1 || !elementwise(next.node) || !scalarConstants(next.node)) break;
      if (variable(next.node).length !== 1) break;
      pieces.add(next.node.name);
      value = next.node.outputs[0];
    }
  }
  return pieces;
}
