/** Penalties that drive whole channels towards zero while a net is trained, as transforms of an optimiser. */
import type { GraphBuilder, Ref } from "../graph/builder.js";
import { floats } from "../graph/tensor.js";
import { range, scale } from "../ops/algebra.js";
import type { Entry, Optimizer, UpdateInputs } from "../train/index.js";

/** The optimiser, with `term` (same length as the gradient) added to what it is given as the gradient. */
function withTerm(inner: Optimizer, name: string, term: (g: GraphBuilder, v: UpdateInputs) => Ref): Optimizer {
  return {
    ...inner,
    name: `${inner.name} + ${name}`,
    update: (g, v) => inner.update(g, { ...v, gradient: g.add(v.gradient, term(g, v)) }),
  };
}

/**
 * Adds strength * sum |w| over the named parameters: the subgradient is strength * sign(w), as network slimming does it (Liu et al. 2017).
 */
export function l1Penalty(inner: Optimizer, strength: number, on: (name: string) => boolean): Optimizer {
  return withTerm(inner, `L1 ${strength}`, (g, v) => {
    const weights = v.entries.flatMap((e) => new Array<number>(e.length).fill(on(e.name) ? strength : 0));
    return g.mul(g.emit("Sign", [v.parameters]), g.initializer("l1_strength", floats(weights)));
  });
}

/** Keeps the quotient finite where a whole channel is zero; its square is far below any weight that matters. */
const TINY = 1e-16;

/**
 * Group lasso: adds strength * sum over channels c of sqrt(n) |W_c|_2, W_c being the n weights at position c of an axis; the gradient is
 * strength * sqrt(n) W_c / |W_c|_2 (Wen, Wu, Wang, Chen, Li, "Learning Structured Sparsity in Deep Neural Networks", NIPS 2016, after Yuan and Lin
 * 2006).
 * @param axes axis of a parameter whose positions are channels; undefined for parameters that are left alone
 */
export function groupLasso(inner: Optimizer, strength: number, axes: (name: string) => number | undefined): Optimizer {
  return withTerm(inner, `group lasso ${strength}`, (g, v) => {
    const parts = v.entries.map((e, i) => ({ e, part: split(g, v)[i], axis: axes(e.name) }));
    return joined(
      g,
      parts.map(({ e, part, axis }) =>
        axis === undefined ? scale(g, part, 0) : g.reshape(pull(g, part, e, axis, strength), [e.length]),
      ),
    );
  });
}

const pieces = new WeakMap<UpdateInputs, Ref[]>();

/** The flat parameters, tensor by tensor. */
function split(g: GraphBuilder, v: UpdateInputs): Ref[] {
  let found = pieces.get(v);
  if (!found) {
    const lengths = v.entries.map((e) => e.length);
    found =
      lengths.length === 1
        ? [v.parameters]
        : g.emitMany("Split", [v.parameters, g.ints(lengths)], {}, { outputs: lengths.length });
    pieces.set(v, found);
  }
  return found;
}

const joined = (g: GraphBuilder, parts: readonly Ref[]): Ref => (parts.length === 1 ? parts[0] : g.concat(parts, 0));

function pull(g: GraphBuilder, part: Ref, e: Entry, axis: number, strength: number): Ref {
  const w = g.reshape(part, e.dims);
  const others = range(e.dims.length).filter((i) => i !== axis);
  const norm = g.sqrt(g.add(g.reduceSum(g.mul(w, w), others, true), g.const(TINY)));
  return scale(g, g.div(w, norm), strength * Math.sqrt(e.length / e.dims[axis]));
}
