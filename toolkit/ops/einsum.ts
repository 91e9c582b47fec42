/** Einsum: sums of products over named axes. */
import { ModelError } from "../graph/errors.js";
import { at, attrString, type Dim, type OpNode } from "../graph/graph.js";
import { broadcastDims, inputDims, inputType } from "./dims.js";
import { einsumGradient } from "./einsumGradient.js";
import { linkLetters } from "./letters.js";
import type { OpRule } from "./rule.js";

/** An equation with its ellipsis axes written out: one letter per axis; those of an ellipsis are "0", "1", … from the left. */
export interface EinsumTerms {
  inputs: string[][];
  output: string[];
}

function malformed(n: OpNode, why: string): ModelError {
  return new ModelError("einsum", `${at(n)}: equation "${attrString(n, "equation", "")}" ${why}`, { where: at(n) });
}

/** Letters of one side; "..." stays one entry. */
function lettersOf(n: OpNode, term: string): string[] {
  const letters = term.match(/\.\.\.|[A-Za-z]/g) ?? [];
  if (letters.join("") !== term) throw malformed(n, `has "${term}", which is not made of letters and an ellipsis`);
  if (letters.filter((l) => l === "...").length > 1) throw malformed(n, "has two ellipses in one term");
  return letters;
}

/**
 * The terms of the equation for inputs of the given ranks (specification: ONNX Einsum-12). An ellipsis stands for the axes
 * that no letter takes, aligned from the right; without "->" the output has the ellipsis axes, then the letters that occur
 * once, in alphabetical order. Throws ModelError for an equation that does not fit.
 */
export function einsumTerms(n: OpNode, ranks: readonly number[]): EinsumTerms {
  const [left, right] = attrString(n, "equation", "").replaceAll(/\s/g, "").split("->");
  const terms = left.split(",").map((t) => lettersOf(n, t));
  if (terms.length !== ranks.length) throw malformed(n, `has ${terms.length} terms for ${ranks.length} inputs`);
  const widths = terms.map((t, i) => (t.includes("...") ? ranks[i] - (t.length - 1) : 0));
  terms.forEach((t, i) => {
    if (widths[i] < 0 || (!t.includes("...") && t.length !== ranks[i]))
      throw malformed(n, `names ${t.length} axes of an input of rank ${ranks[i]}`);
  });
  const widest = Math.max(0, ...widths);
  const ellipsis = (width: number): string[] => Array.from({ length: width }, (_, k) => `${widest - width + k}`);
  const inputs = terms.map((t, i) => t.flatMap((l) => (l === "..." ? ellipsis(widths[i]) : [l])));
  const all = terms.flat().filter((l) => l !== "...");
  const once = all.filter((l) => all.indexOf(l) === all.lastIndexOf(l)).sort();
  const output = right === undefined ? ["...", ...once] : lettersOf(n, right);
  const strange = output.find((l) => l !== "..." && !all.includes(l));
  if (strange) throw malformed(n, `has "${strange}" in its output and in no input`);
  return { inputs, output: output.flatMap((l) => (l === "..." ? ellipsis(widest) : [l])) };
}

/** Length of every letter: equal in all inputs, or 1 where it is broadcast. */
function lengthsOf(n: OpNode, inputs: readonly string[][], dims: readonly (readonly Dim[])[]): Map<string, Dim> {
  const lengths = new Map<string, Dim>();
  inputs.forEach((letters, i) => {
    letters.forEach((letter, axis) => {
      const known = lengths.get(letter);
      const length = dims[i][axis];
      lengths.set(letter, known === undefined ? length : (broadcastDims(n, [[known], [length]]) ?? [null])[0]);
    });
  });
  return lengths;
}

/** Sum of products (ONNX Einsum-12). */
const Einsum: OpRule = {
  gradient: einsumGradient(einsumTerms),
  shape: (n, c) => {
    const { elemType } = inputType(n, c, 0);
    const dims = n.inputs.map((_, i) => inputDims(n, c, i));
    const { inputs, output } = einsumTerms(
      n,
      dims.map((d) => d.length),
    );
    const lengths = lengthsOf(n, inputs, dims);
    return [{ elemType, dims: output.map((l) => lengths.get(l) ?? null) }];
  },
  channels: (n, c) => {
    const { inputs, output } = einsumTerms(
      n,
      n.inputs.map((name) => c.dims(name).length),
    );
    linkLetters(n, c, inputs, output);
  },
  // One product per choice of all letters.
  macs: (n, dims) => {
    const { inputs } = einsumTerms(
      n,
      dims.map((d) => d.length),
    );
    return [...lengthsOf(n, inputs, dims).values()].reduce<number>((m, d) => m * (d as number), 1);
  },
};

export const rules = { Einsum } satisfies Record<string, OpRule | OpRule[]>;
