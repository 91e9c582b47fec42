/** Channel links of recurrent layers: what they read, and their hidden units. */
import { attr, type OpNode, withAttributes } from "../graph/graph.js";
import { freezeAxes, tieAxis } from "./links.js";
import type { ChannelContext, ChannelIds, SliceContext } from "./rule.js";

const times = (ids: ChannelIds, count: number): ChannelIds =>
  Int32Array.from({ length: ids.length * count }, (_, i) => ids[i % ids.length]);

/**
 * Inputs X, W [directions, gates x hidden, inputs], R [directions, gates x hidden, hidden], B, lengths, first states, P. A
 * hidden unit has a row for every gate, is read by all others through R, and is the same one in both directions.
 */
export const linkRecurrent =
  (gates: number) =>
  (n: OpNode, c: ChannelContext): void => {
    const [x, w, r, bias, lengths, ...states] = n.inputs;
    if (![w, r, bias].every((name) => !name || c.isParameter(name))) {
      for (const name of n.inputs)
        if (name) freezeAxes(n, c, name, () => true, "has weights that are computed at run time");
      return;
    }
    if (lengths) freezeAxes(n, c, lengths, () => true, "reads lengths from it");
    freezeAxes(n, c, x, (axis) => axis < 2, "runs over it");
    const inputs = c.ids(x)[2];
    if (inputs) {
      c.contract(0, 2, { name: w, axis: 2 });
      c.set(w, 2, inputs);
    }
    const hidden = c.fresh(c.dims(r)[2]);
    c.set(w, 1, times(hidden, gates));
    c.set(r, 1, times(hidden, gates));
    c.set(r, 2, hidden);
    c.contract(2, 2);
    if (bias) c.set(bias, 1, times(hidden, 2 * gates));
    const [first, cell, peepholes] = states;
    for (const state of [first, cell]) if (state) tieAxis(n, c, state, 2, hidden, "starts from");
    if (peepholes) tieAxis(n, c, peepholes, 1, times(hidden, 3), "looks at its cells through");
    for (const y of n.outputs) if (y) c.set(y, c.dims(y).length - 1, hidden);
  };

/** The number of hidden units is written down. */
export function resizeRecurrent(n: OpNode, c: SliceContext): OpNode {
  const [, , r] = n.inputs;
  if (!n.attributes.hidden_size || !c.kept(r, 2)) return n;
  return withAttributes(n, { hidden_size: attr.int(c.dimsAfter(r)[2]) });
}
