/** The two costs that methods are held to: multiply-accumulates, and milliseconds by the table of a device. */
import { UsageError } from "../graph/errors.js";
import { type Graph, opsetOf } from "../graph/graph.js";
import type { LatencyModel, Precision } from "../latency/index.js";
import { evaluateDim } from "../latency/index.js";
import { ruleFor } from "../ops/index.js";
import type { ChannelGroups, Widths } from "../prune/groups.js";
import type { Cost, CostPart } from "./method.js";

/** Full width of every prunable group. */
export const fullWidths = (groups: ChannelGroups): Map<string, number> =>
  new Map(groups.prunable.map((g) => [g.id, g.width]));

/** Multiply-accumulates of one image by the operators' rules, as a function of widths. `share` of the original is the target. */
export function macsCost(g: Graph, groups: ChannelGroups, share: number): Cost {
  checkShare(share);
  const full = fullWidths(groups);
  const single = new Set(groups.groups.filter((e) => e.frozen === undefined && !full.has(e.id)).map((e) => e.id));
  let fixed = 0;
  const parts: CostPart[] = [];
  for (const node of g.nodes) {
    const macs = ruleFor(node, opsetOf(g, node.domain))?.macs;
    if (!macs) continue;
    const symbolic = (name: string) => groups.symbolicDims(name);
    const [inputs, outputs] = [node.inputs.map(symbolic), node.outputs.map(symbolic)];
    const names = [...inputs, ...outputs].flat().flatMap((d) => d.terms.map((t) => t.group));
    const touching = [...new Set(names)].filter((id) => full.has(id));
    const at = (widths: Widths): number => {
      const all = new Map([...full, ...[...single].map((id) => [id, 1] as const), ...widths]);
      const dims = (list: typeof inputs) => list.map((value) => value.map((d) => evaluateDim(d, all)));
      return macs(node, dims(inputs), dims(outputs));
    };
    if (touching.length === 0) fixed += at(full);
    else parts.push({ id: node.name, groups: touching, of: remembered(touching, full, at) });
  }
  return costOfParts("MACs", parts, fixed, full, share);
}

/**
 * Milliseconds by a device's table.
 * @param originalMs measured latency of the original: predictions are scaled so that the uncut net has it
 */
export function latencyCost(
  model: LatencyModel,
  groups: ChannelGroups,
  o: { originalMs: number; share: number; precision?: Precision },
): Cost {
  checkShare(o.share);
  const { precision = "fp32" } = o;
  const full = fullWidths(groups);
  const scale = o.originalMs / model.msAt(full, precision).ms;
  let fixed = scale * model.fixedMs(precision);
  const parts: CostPart[] = [];
  for (const k of model.costs(precision)) {
    const touching = k.groups.filter((id) => full.has(id));
    const at = (widths: Widths): number => scale * k.ms(widths);
    if (touching.length === 0) fixed += at(full);
    else parts.push({ id: k.id, groups: touching, of: remembered(touching, full, at) });
  }
  return costOfParts("ms", parts, fixed, full, o.share);
}

function checkShare(share: number): void {
  if (!(share > 0 && share <= 1))
    throw new UsageError(
      "budget",
      `a method's target is a share of the original's cost, above 0 and up to 1, got ${share}`,
    );
}

/** Search asks for the same widths again and again. */
function remembered(
  groups: readonly string[],
  full: Widths,
  at: (widths: Widths) => number,
): (widths: Widths) => number {
  const known = new Map<string, number>();
  return (widths) => {
    const key = groups.map((id) => widths.get(id) ?? full.get(id)).join();
    let value = known.get(key);
    if (value === undefined) {
      value = at(new Map([...full, ...widths]));
      known.set(key, value);
    }
    return value;
  };
}

function costOfParts(unit: Cost["unit"], parts: readonly CostPart[], fixed: number, full: Widths, share: number): Cost {
  const of = (widths: Widths, gone?: ReadonlySet<string>): number =>
    parts.reduce((sum, p) => (gone?.has(p.id) ? sum : sum + p.of(widths)), fixed);
  const original = of(full);
  return { unit, parts, fixed, of, original, target: share * original };
}

/** The same cost with another target. */
export const withTarget = (cost: Cost, target: number): Cost => ({ ...cost, target });

/**
 * The cost after a net was measured: what cuts save is scaled so that the prediction at `widths` is what was measured there; the uncut
 * net keeps its cost.
 */
export function recalibrated(cost: Cost, widths: Widths, measured: number): Cost {
  const saved = cost.original - cost.of(widths);
  if (!(saved > 0)) return cost;
  const scale = (cost.original - measured) / saved;
  const none = new Map<string, number>();
  const parts = cost.parts.map((p) => {
    const full = p.of(none);
    return { ...p, of: (w: Widths): number => full - scale * (full - p.of(w)) };
  });
  const of = (w: Widths, gone?: ReadonlySet<string>): number =>
    parts.reduce((sum, p) => (gone?.has(p.id) ? sum : sum + p.of(w)), cost.fixed);
  return { ...cost, parts, of };
}
