/**
 * First and last layers. The first one reads the image, whose channels share one grid although they were normalised apart; the
 * last one's result is the answer. Both are small in most nets, so leaving them float costs little and brings much.
 */
import type { Graph } from "../graph/graph.js";
import { costsOf } from "../ops/costs.js";
import { gridOwner, type QdqPlan } from "./plan.js";
import { SMALL } from "./smallLayers.js";

/** Names of the integer layers that read an input of the graph or give a float result directly, as far as they are small together. */
export function edgeLayers(prepared: Graph, plan: QdqPlan): string[] {
  const inputs = new Set(prepared.inputs.map((v) => v.name));
  const { nodes, macs, params } = costsOf(prepared);
  const cost = new Map(nodes.map((c) => [c.node.name, c]));
  const out: string[] = [];
  let [someMacs, someParams] = [0, 0];
  for (const n of prepared.nodes) {
    const rule = plan.quantized.get(n.name);
    if (!rule?.weight) continue;
    const first = inputs.has(gridOwner(plan, n.inputs[rule.activations[0]]));
    if (!first && !plan.floatOutput.has(n.name)) continue;
    const own = cost.get(n.name)!;
    if (someMacs + own.macs > SMALL * macs || someParams + own.params > SMALL * params) continue;
    someMacs += own.macs;
    someParams += own.params;
    out.push(n.name);
  }
  return out;
}
