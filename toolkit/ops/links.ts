/** Channel-link rules that many operators share. All speak of ids on axes (see `ChannelContext`). */
import { at, type OpNode } from "../graph/graph.js";
import { sizeOf } from "../graph/tensor.js";
import { checkListed, type Movement, move } from "./layout.js";
import type { ChannelContext, ChannelIds } from "./rule.js";

/** Freezes whatever lives on the given axes of a value; the reason becomes `Op "name" <why>`. */
export function freezeAxes(
  n: OpNode,
  c: ChannelContext,
  name: string,
  axes: (axis: number) => boolean,
  why: string,
): void {
  c.ids(name).forEach((ids, axis) => {
    if (ids && axes(axis)) c.freeze(ids, `${at(n)} ${why}`);
  });
}

/**
 * Ties an axis of a further input to ids: a parameter is cut along, an activation has channels of its own there. What has
 * none freezes them; the reason becomes `Op "name" <does> "input", which cannot be cut`.
 */
export function tieAxis(n: OpNode, c: ChannelContext, name: string, axis: number, ids: ChannelIds, does: string): void {
  const own = c.isParameter(name) ? null : c.ids(name)[axis];
  if (c.isParameter(name)) c.set(name, axis, ids);
  else if (own) c.unify(ids, own);
  else c.freeze(ids, `${at(n)} ${does} "${name}", which cannot be cut`);
}

/** Every output axis keeps the ids of the same axis of input 0, except where `keeps` says no: those are frozen. */
export function passAxes(keeps: (axis: number) => boolean, why: string): (n: OpNode, c: ChannelContext) => void {
  return (n, c) => {
    const x = c.ids(n.inputs[0]);
    freezeAxes(n, c, n.inputs[0], (axis) => !keeps(axis), why);
    for (const y of n.outputs)
      if (y) for (let axis = 0; axis < x.length; axis++) if (keeps(axis)) c.set(y, axis, x[axis]);
  };
}

/** Outputs carry the ids of input 0 on every axis. */
export const sameIdsAsFirst = passAxes(() => true, "");

/** For movements by amounts that are not constant: nothing that meets them can be cut. */
export const frozenAtRunTime = passAxes(() => false, "moves it by amounts that are computed at run time");

/**
 * Element-wise with broadcasting: on each output axis, the ids of all inputs of full length there are unified; inputs of
 * length 1 are broadcast and not coupled; parameters of full length are cut along.
 */
export function unifyAll(n: OpNode, c: ChannelContext): void {
  const [y] = n.outputs;
  const out = c.dims(y);
  const inputs = n.inputs.filter((name) => name !== "");
  out.forEach((length, axis) => {
    let shared: ChannelIds | null = null;
    let fixed = "";
    const live: ChannelIds[] = [];
    const parameters: [string, number][] = [];
    for (const name of inputs) {
      const dims = c.dims(name);
      const own = axis - (out.length - dims.length);
      if (own < 0 || dims[own] !== length) continue;
      if (c.isParameter(name)) {
        parameters.push([name, own]);
        continue;
      }
      const ids = c.ids(name)[own];
      if (ids) live.push(ids);
      else fixed = name;
    }
    for (const ids of live) {
      if (shared) c.unify(shared, ids);
      else shared = ids;
    }
    if (!shared) return;
    if (fixed) c.freeze(shared, `${at(n)} joins it with "${fixed}", whose axis ${axis} cannot be cut`);
    c.set(y, axis, shared);
    for (const [name, own] of parameters) c.set(name, own, shared);
  });
}

/**
 * Ids after a movement of one value: runs the movement on the ids of each axis and reads off, per output axis, what
 * lives there. An axis that is split into several keeps its ids on one of them (`prefer`, else the longest that is not
 * `betterWhole`, else the innermost): ids at the same place of that axis are unified, so that what remains after a cut is rectangular.
 */
export function moveIds(n: OpNode, c: ChannelContext, x: string, y: string, m: Movement, prefer?: number): void {
  moveIdList(n, c, c.ids(x), c.dims(x), m, (axis, ids) => c.set(y, axis, ids), prefer);
}

/** `moveIds` on a list of axes that need not be a whole value (a block of axes of a Reshape). */
export function moveIdList(
  n: OpNode,
  c: ChannelContext,
  axes: readonly (ChannelIds | null)[],
  dims: readonly number[],
  m: Movement,
  set: (axis: number, ids: ChannelIds) => void,
  prefer?: number,
  betterWhole: ReadonlySet<number> = new Set(),
): void {
  const taken = new Map<number, ChannelIds>();
  for (const [axis, ids] of axes.entries()) {
    if (!ids) continue;
    if (dims[axis] === 1 && axes.some((e, k) => e && dims[k] > 1)) {
      // A lone channel stays anyway; the longer axis can be cut all the same.
      c.freeze(ids, `${at(n)} merges it with a longer axis`);
      continue;
    }
    const inner = sizeOf(dims.slice(axis + 1));
    checkListed(sizeOf(dims));
    const data = new Int32Array(sizeOf(dims));
    for (let i = 0; i < data.length; i++) data[i] = ids[Math.floor(i / inner) % dims[axis]];
    const moved = move({ elemType: "int32", dims, data }, m, -1).data as Int32Array;
    const target = targetAxis(c, moved, m.dims, prefer, betterWhole);
    if (target === undefined) {
      c.freeze(ids, `${at(n)} leaves no axis on which it could be cut`);
      continue;
    }
    const other = taken.get(target);
    if (other || moved.includes(-1)) {
      c.freeze(ids, `${at(n)} mixes it with other elements on one axis`);
      if (other) c.freeze(other, `${at(n)} mixes it with other elements on one axis`);
      continue;
    }
    const length = m.dims[target];
    const step = sizeOf(m.dims.slice(target + 1));
    const first = Int32Array.from({ length }, (_, j) => moved[j * step]);
    const row = new Int32Array(moved.length);
    for (let i = 0; i < row.length; i++) row[i] = first[Math.floor(i / step) % length];
    c.unify(row, moved);
    taken.set(target, first);
    set(target, first);
  }
}

/** The output axis that keeps the ids: the one along which they vary, or the chosen one of several. */
function targetAxis(
  c: ChannelContext,
  moved: Int32Array,
  dims: readonly number[],
  prefer: number | undefined,
  betterWhole: ReadonlySet<number>,
): number | undefined {
  if (dims.length === 0 || moved.length === 0) return undefined;
  if (prefer !== undefined) return prefer;
  const varying: number[] = [];
  for (let axis = 0; axis < dims.length; axis++) {
    const step = sizeOf(dims.slice(axis + 1));
    for (let i = 0; i < moved.length; i++) {
      if (Math.floor(i / step) % dims[axis] === 0) continue;
      if (!c.same(moved[i], moved[i - step])) {
        varying.push(axis);
        break;
      }
    }
  }
  if (varying.length === 0) return dims.length === 1 ? 0 : longest(dims, upToAxes(dims));
  const free = varying.filter((axis) => !betterWhole.has(axis));
  return longest(dims, free.length > 0 ? free : varying);
}

const upToAxes = (dims: readonly number[]): number[] => dims.map((_, k) => k);

function longest(dims: readonly number[], axes: readonly number[]): number {
  let best = axes[0];
  for (const a of axes) if (dims[a] >= dims[best]) best = a;
  return best;
}
