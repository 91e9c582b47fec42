/** Channel links of sums of products over named axes (Einsum, and the matrix products that it contains). */
import type { OpNode } from "../graph/graph.js";
import { tieAxis } from "./links.js";
import type { ChannelContext } from "./rule.js";

/** An axis of an input. */
interface Side {
  input: number;
  name: string;
  axis: number;
}

/**
 * Ties what one letter names in all inputs. A letter of the output carries its channels there, or makes new ones where
 * parameters alone have it; any other letter is summed over. Axes of length 1 are broadcast and not tied.
 */
export function linkLetters(
  n: OpNode,
  c: ChannelContext,
  inputs: readonly (readonly string[])[],
  output: readonly string[],
): void {
  const sides = new Map<string, Side[]>();
  inputs.forEach((letters, input) => {
    letters.forEach((letter, axis) => {
      const name = n.inputs[input];
      if (c.dims(name)[axis] > 1) sides.set(letter, [...(sides.get(letter) ?? []), { input, name, axis }]);
    });
  });
  for (const [letter, list] of sides) {
    const to = output.indexOf(letter);
    const live = list.filter(({ name }) => !c.isParameter(name));
    const known = live.map(({ name, axis }) => c.ids(name)[axis]).find((ids) => ids !== null);
    const makesNew = live.length === 0 && to >= 0;
    const ids = known ?? (makesNew ? c.fresh(c.dims(list[0].name)[list[0].axis]) : null);
    if (!ids) continue;
    for (const { name, axis } of list) tieAxis(n, c, name, axis, ids, "multiplies it with");
    if (to >= 0) {
      c.set(n.outputs[0], to, ids);
      continue;
    }
    const parameter = list.find(({ name }) => c.isParameter(name));
    for (const { input, axis } of live)
      c.contract(input, axis, parameter && { name: parameter.name, axis: parameter.axis });
  }
}
