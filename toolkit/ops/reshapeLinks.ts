/** Channel links through a change of axes that keeps the order of elements. */
import type { OpNode } from "../graph/graph.js";
import { sizeOf } from "../graph/tensor.js";
import { upTo } from "./layout.js";
import { moveIdList, passAxes } from "./links.js";
import type { ChannelContext, ChannelIds } from "./rule.js";

const greatestDivisor = (a: number, b: number): number => (b === 0 ? a : greatestDivisor(b, a % b));

const repeated = (ids: ChannelIds, times: number): ChannelIds =>
  times === 1 ? ids : Int32Array.from({ length: ids.length * times }, (_, i) => ids[Math.floor(i / times)]);

/**
 * A block of axes with the runs of equal ids taken out that the axes behind the channels make (height x width places of a
 * map), so that the work does not grow with the size of the picture. `runs` says how long they were on each output axis.
 */
function withoutRuns(ids: readonly (ChannelIds | null)[], from: readonly number[], to: readonly number[]) {
  let lead = ids.length;
  while (lead > 0 && ids[lead - 1] === null) lead--;
  let left = sizeOf(from.slice(lead));
  const short = [...to];
  const runs = to.map(() => 1);
  for (let axis = to.length - 1; axis >= 0; axis--) {
    runs[axis] = greatestDivisor(left, short[axis]);
    short[axis] /= runs[axis];
    left /= runs[axis];
    if (short[axis] !== 1) break;
  }
  return { ids: [...ids.slice(0, lead), null], from: [...from.slice(0, lead), left], to: short, runs };
}

/**
 * Ids through a change of axes that keeps the order of elements. Input and output axes are matched block by block
 * (smallest runs with equal element counts), so that only axes that are really merged or split are run through.
 */
export function reshapeIds(n: OpNode, c: ChannelContext): void {
  const [x] = n.inputs;
  const [y] = n.outputs;
  const [from, to] = [c.dims(x), c.dims(y)];
  const ids = c.ids(x);
  if (sizeOf(from) !== sizeOf(to)) {
    passAxes(() => false, "merges it with a dynamic dimension (give it a value)")({ ...n, outputs: [] }, c);
    return;
  }
  for (let i = 0, j = 0; i < from.length; ) {
    const [i0, j0] = [i, j];
    let [a, b] = [from[i++], j < to.length ? to[j++] : 1];
    while (a !== b && (i < from.length || j < to.length)) {
      if (a < b && i < from.length) a *= from[i++];
      else if (j < to.length) b *= to[j++];
      else a *= from[i++];
    }
    // Trailing axes of length 1 belong to the last block.
    if (sizeOf(from.slice(i)) === 1 && sizeOf(to.slice(j)) === 1) [i, j] = [from.length, to.length];
    const block = ids.slice(i0, i);
    if (block.every((e) => e === null)) continue;
    const dims = to.slice(j0, j);
    if (from.slice(i0, i).join() === dims.join()) {
      block.forEach((e, k) => {
        if (e) c.set(y, j0 + k, e);
      });
      continue;
    }
    const small = withoutRuns(block, from.slice(i0, i), dims);
    const order = { dims: small.to, from: upTo(sizeOf(small.to)) };
    const betterWhole = new Set(Array.from(c.betterWhole(y), (axis) => axis - j0));
    const set = (axis: number, e: ChannelIds): void => c.set(y, j0 + axis, repeated(e, small.runs[axis]));
    moveIdList(n, c, small.ids, small.from, order, set, undefined, betterWhole);
  }
}
