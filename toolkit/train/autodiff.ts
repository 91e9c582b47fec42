/**
 * Reverse-mode differentiation over a graph: appends gradient nodes to the builder that holds the forward nodes.
 * Knows no operator; asks each node's rule for the gradients of its inputs.
 */
import type { GraphBuilder, Ref } from "../graph/builder.js";
import { ModelError } from "../graph/errors.js";
import { at, type Graph, type OpNode, opsetOf, typeOf } from "../graph/graph.js";
import type { Tensor } from "../graph/tensor.js";
import { ruleFor } from "../ops/index.js";
import type { GradientContext, OpRule } from "../ops/rule.js";

/** A node's gradient that is left to be written out later, in place of a node of this domain. */
export interface Deferred {
  node: OpNode;
  /** Gradients of its outputs; null where nothing flows back. */
  dy: (Ref | null)[];
  rule: NonNullable<OpRule["gradient"]>;
  context: GradientContext;
}

export const DEFERRED_DOMAIN = "edgefit.gradient";

export interface DifferentiateOptions {
  /** What a node's gradient reads besides those of its outputs, where it is to be left for later; else undefined. */
  defer?: (n: OpNode) => readonly Ref[] | undefined;
  /** Filled with what was left, by the node that stands for it: one output per input that needs a gradient, else "". */
  deferred?: Map<OpNode, Deferred>;
}

/** Static dims of a value of an inferred graph. Throws ModelError when a dimension is unknown or symbolic. */
export function staticDims(g: Graph, name: string): readonly number[] {
  const dims = typeOf(g, name)?.dims;
  if (!dims?.every((d) => typeof d === "number")) {
    throw new ModelError(
      "dims-unknown",
      `the shape of value "${name}" is ${dims ? `[${dims.join(", ")}]` : "unknown"}, training needs it fixed`,
      {
        where: name,
        hint: "give values to the dynamic dimensions before differentiating",
      },
    );
  }
  return dims as readonly number[];
}

/** Values from which a path leads on to a later one: `seeds` and everything computed from them. */
function descendants(nodes: readonly OpNode[], seeds: Iterable<string>): Set<string> {
  const reached = new Set(seeds);
  for (const n of nodes) if (n.inputs.some((i) => reached.has(i))) for (const o of n.outputs) if (o) reached.add(o);
  return reached;
}

/** Emits a node that stands for a gradient to come. */
function postpone(
  builder: GraphBuilder,
  d: Deferred,
  reads: readonly Ref[],
  deferred: Map<OpNode, Deferred> | undefined,
): (Ref | null)[] {
  const arriving = d.dy.filter((ref) => ref !== null);
  const outputs = d.node.inputs.map((name, i) => (d.context.needs(i) ? builder.unique(`${name}/gradient`) : ""));
  const placeholder: OpNode = {
    name: builder.unique(`${d.node.name}/gradient`),
    opType: d.node.opType,
    domain: DEFERRED_DOMAIN,
    inputs: [...arriving, ...reads],
    outputs,
    attributes: {},
  };
  builder.graph.nodes.push(placeholder);
  deferred?.set(placeholder, d);
  return outputs.map((name) => name || null);
}

/**
 * Emits the gradients of a scalar (or of anything, through `seeds`) with respect to `targets`.
 *
 * @param builder holds the forward nodes in topological order; gradient nodes are appended
 * @param types the forward graph with every shape inferred and static
 * @param seeds value -> gradient flowing into it, of the same dims
 * @param targets values (parameters, inputs or intermediates) whose gradients are wanted
 * @returns target -> its gradient; targets that the seeds do not depend on are absent
 * @throws ModelError `gradient-missing` naming the first node on the way to a target that has no gradient rule
 */
export function differentiate(
  builder: GraphBuilder,
  types: Graph,
  seeds: ReadonlyMap<Ref, Ref>,
  targets: Iterable<Ref>,
  o: DifferentiateOptions = {},
): Map<Ref, Ref> {
  const wanted = new Set(targets);
  const forward = [...builder.graph.nodes];
  const active = descendants(forward, wanted);
  const opset = opsetOf(builder.graph);
  const pending = new Map<Ref, Ref[]>();
  const results = new Map<Ref, Ref>();
  for (const [value, seed] of seeds) pending.set(value, [seed]);

  const take = (value: Ref): Ref | null => {
    const parts = pending.get(value);
    if (!parts?.length) return null;
    const sum = parts.length === 1 ? parts[0] : parts.reduce((a, b) => builder.add(a, b));
    pending.set(value, [sum]);
    return sum;
  };

  const constants = types.initializers;
  for (let i = forward.length - 1; i >= 0; i--) {
    const node = forward[i];
    if (!node.outputs.some((o) => active.has(o) && pending.has(o))) continue;
    const dy = node.outputs.map((o) => (o ? take(o) : null));
    node.outputs.forEach((o, k) => {
      if (wanted.has(o) && dy[k]) results.set(o, dy[k]);
    });
    const needs = node.inputs.map((name) => name !== "" && active.has(name));
    if (!needs.includes(true)) continue;
    const rule = ruleFor(node, opset);
    if (!rule?.gradient) {
      throw new ModelError(
        "gradient-missing",
        `${at(node)}: no gradient is known for this operator, and trained parameters lie behind it`,
        {
          where: at(node),
          hint: "freeze the parameters before this node, or replace the operator",
        },
      );
    }
    const context: GradientContext = {
      g: builder,
      opset,
      dims: (name) => staticDims(types, name),
      constant: (name): Tensor | undefined => (wanted.has(name) ? undefined : constants.get(name)),
      needs: (k) => needs[k] ?? false,
    };
    const reads = o.defer?.(node);
    const grads = reads
      ? postpone(builder, { node, dy, rule: rule.gradient, context }, reads, o.deferred)
      : rule.gradient(node, dy, context);
    grads.forEach((grad, k) => {
      const name = node.inputs[k];
      if (!grad || !needs[k] || !name) return;
      const list = pending.get(name);
      if (list) list.push(grad);
      else pending.set(name, [grad]);
    });
  }
  for (const name of wanted) {
    const grad = results.get(name) ?? take(name);
    if (grad) results.set(name, grad);
  }
  return results;
}
