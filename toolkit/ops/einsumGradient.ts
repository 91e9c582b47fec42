/** Gradient of Einsum: for each input another Einsum, of the output's gradient and the other inputs. */
import type { Ref } from "../graph/builder.js";
import { ModelError } from "../graph/errors.js";
import { at, attr, type OpNode } from "../graph/graph.js";
import { expand } from "./algebra.js";
import type { GradientRule } from "./elementwiseGradient.js";

const ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** One letter per axis of every input and of the output; axes of an ellipsis are digits. */
type TermsOf = (n: OpNode, ranks: readonly number[]) => { inputs: string[][]; output: string[] };

export const einsumGradient =
  (termsOf: TermsOf): GradientRule =>
  (n, [dy], c) => {
    if (!dy) return n.inputs.map(() => null);
    const { g } = c;
    const dims = n.inputs.map((name) => c.dims(name));
    const { inputs, output } = termsOf(
      n,
      dims.map((d) => d.length),
    );
    const refuse = (why: string): ModelError =>
      new ModelError("gradient-missing", `${at(n)}: the gradient is not known ${why}`, { where: at(n) });
    const lengths = new Map<string, number>();
    inputs.forEach((letters, i) => {
      if (new Set(letters).size < letters.length) throw refuse("for diagonals (a letter twice in one term)");
      letters.forEach((letter, axis) => {
        const known = lengths.get(letter);
        if (known !== undefined && known !== dims[i][axis]) throw refuse("where axes are broadcast");
        lengths.set(letter, dims[i][axis]);
      });
    });
    // Axes of an ellipsis get letters of their own.
    const free = [...ALPHABET].filter((l) => !lengths.has(l));
    const named = new Map([...lengths.keys()].map((l) => [l, /[0-9]/.test(l) ? free.pop()! : l]));
    const term = (letters: readonly string[]): string => letters.map((l) => named.get(l)!).join("");
    return n.inputs.map((_, i): Ref | null => {
      if (!c.needs(i)) return null;
      const others = inputs.filter((_letters, k) => k !== i);
      const seen = new Set([output, ...others].flat());
      const reached = inputs[i].filter((l) => seen.has(l));
      const equation = `${[output, ...others].map(term).join(",")}->${term(reached)}`;
      const operands = [dy, ...n.inputs.filter((_name, k) => k !== i)];
      const grad = g.emit("Einsum", operands, { equation: attr.string(equation) });
      if (reached.length === inputs[i].length) return grad;
      // Letters that were summed out of this input alone: the same for all their positions.
      const kept = inputs[i].map((l, axis) => (seen.has(l) ? dims[i][axis] : 1));
      return expand(g, g.reshape(grad, kept), dims[i]);
    });
  };
