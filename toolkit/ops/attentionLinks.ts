/** Channel links of the Attention operator: places of a head, and heads. */
import { at, attr, attrInt, type OpNode, withAttributes } from "../graph/graph.js";
import { tieBlocks } from "./convolution.js";
import { freezeAxes } from "./links.js";
import type { ChannelContext, ChannelIds, SliceContext } from "./rule.js";

/** Ids of one head's places. In packed form ([batch, length, heads x size]) the places of all heads are tied. */
function placesOf(n: OpNode, c: ChannelContext, name: string, heads: number): ChannelIds | null {
  const ids = c.ids(name);
  if (ids.length === 4) return ids[3];
  const [, , packed] = ids;
  return packed && tieBlocks(n, c, packed, heads);
}

/**
 * Queries and keys are summed over the places of a head; the places of a head of values are those of the output. Heads
 * stay: keys and values may serve several heads of queries.
 */
export function linkAttention(n: OpNode, c: ChannelContext): void {
  const [q, k, v, mask, pastKey, pastValue] = n.inputs;
  const [y, presentKey, presentValue] = n.outputs;
  const [queryHeads, heads] = [attrInt(n, "q_num_heads", 1), attrInt(n, "kv_num_heads", 1)];
  for (const name of [q, k, v])
    if (c.dims(name).length === 4) freezeAxes(n, c, name, (axis) => axis === 1, "attends with each head of it");
  if (mask) freezeAxes(n, c, mask, () => true, "adds it to its scores");
  const [queries, keys, values] = [placesOf(n, c, q, queryHeads), placesOf(n, c, k, heads), placesOf(n, c, v, heads)];
  if (queries && keys) c.unify(queries, keys);
  else {
    const alone = queries ?? keys;
    if (alone) c.freeze(alone, `${at(n)} multiplies it with "${queries ? k : q}", which cannot be cut`);
  }
  c.contract(0, c.dims(q).length - 1);
  c.contract(1, c.dims(k).length - 1);
  for (const [past, ids] of [
    [pastKey, keys],
    [pastValue, values],
  ] as const) {
    const own = past ? c.ids(past)[3] : null;
    if (own && ids) c.unify(own, ids);
    else if (past && (own ?? ids)) c.freeze((own ?? ids) as ChannelIds, `${at(n)} joins it with its past`);
  }
  if (presentKey && keys) c.set(presentKey, 3, keys);
  if (presentValue && values) c.set(presentValue, 3, values);
  if (!values) return;
  if (c.dims(y).length === 4) c.set(y, 3, values);
  else
    c.set(
      y,
      2,
      Int32Array.from({ length: c.dims(y)[2] }, (_, i) => values[i % values.length]),
    );
}

/** The default scale is that of the size of a head: it stays what it was. */
export function resizeAttention(n: OpNode, c: SliceContext): OpNode {
  const [q] = n.inputs;
  const dims = c.dimsBefore(q);
  const last = dims.length - 1;
  if (n.attributes.scale || !c.kept(q, last)) return n;
  const size = dims.length === 4 ? dims[3] : dims[2] / attrInt(n, "q_num_heads", 1);
  return withAttributes(n, { scale: attr.float(1 / Math.sqrt(size)) });
}
