/**
 * Bias absorption (Nagel et al. 2019, section 4.1.3): a channel that never falls below c behind a rectifier is lowered by c, and the
 * layers that read it add what is missing to their biases. The paper takes c = beta - 3 gamma from batch norms; here it is the
 * smallest value on the images given, so that outputs on them stay as they are.
 */
import { namer } from "../../graph/edit.js";
import { cloneGraph, type Graph, opsetOf, usesOf } from "../../graph/graph.js";
import { floats, toNumbers } from "../../graph/tensor.js";
import { ruleFor } from "../../ops/index.js";
import { channelExtremes } from "./channelExtremes.js";
import type { FloatRepair } from "./repair.js";
import { findScaleGroups, type ScaleGroup } from "./scaleGroups.js";
import { weightChannels } from "./weightChannels.js";

/** Lowers channels with high biases. Readers with padding keep theirs: their zeros beyond the edge would mean something else. */
export const absorbBiases: FloatRepair = async (g, c) => {
  const groups = findScaleGroups(g).filter((group) => canShift(g, group));
  const extremes = await channelExtremes(
    g,
    groups.map((group) => firstValue(group)),
    c,
  );
  const out = cloneGraph(g);
  const unique = namer(g);
  const uses = usesOf(g);
  /** Rewrites (or adds) the bias of a layer. */
  const addToBias = (nodeName: string, input: number, amounts: Float64Array): void => {
    const index = out.nodes.findIndex((n) => n.name === nodeName);
    const node = out.nodes[index];
    const name = node.inputs[input] ?? "";
    const old = name ? toNumbers(out.initializers.get(name)!) : new Float64Array(amounts.length);
    const shared = !name || (uses.get(name)?.length ?? 0) > 1;
    const target = shared ? unique(name ? `${name}_absorbed` : `${nodeName}.bias`) : name;
    out.initializers.set(target, floats(Float32Array.from(old, (v, k) => v + amounts[k])));
    if (!shared) return;
    const inputs = [...node.inputs];
    while (inputs.length <= input) inputs.push("");
    inputs[input] = target;
    out.nodes[index] = { ...node, inputs };
    uses.set(target, [{ node: out.nodes[index], index: input }]);
  };
  for (const group of groups) {
    const { low } = extremes.get(firstValue(group).value)!;
    const shift = low.map((v) => Math.max(0, v));
    if (shift.every((v) => v === 0)) continue;
    for (const { node, rule } of group.sources)
      addToBias(
        node.name,
        rule.bias,
        shift.map((v) => -v),
      );
    for (const end of group.sinks) {
      const weight = g.initializers.get(end.node.inputs[end.rule.weight])!;
      const { outputs, inputOf, outputOf } = weightChannels(end, weight.dims);
      const amounts = new Float64Array(outputs);
      toNumbers(weight).forEach((w, i) => {
        amounts[outputOf(i)] += w * shift[Math.floor(inputOf(i) / end.repeat)];
      });
      addToBias(end.node.name, end.rule.bias, amounts);
    }
  }
  return out;
};

const firstValue = (group: ScaleGroup) => group.values[0];

/**
 * One layer writes, and all that stands between it and its readers lets a shift past. Without a rectifier there is nothing to gain:
 * the range of a value that was never cut off at zero does not start there.
 */
function canShift(g: Graph, group: ScaleGroup): boolean {
  const rules = group.passers.map((n) => ({ n, rule: ruleFor(n, opsetOf(g, n.domain))?.scaling }));
  return (
    group.sources.length === 1 &&
    group.normalizations.length + group.scales.length === 0 &&
    group.constants.length === 0 &&
    group.sources[0].rule.bias >= 0 &&
    group.sinks.every(({ node, rule }) => rule.bias >= 0 && !rule.padded(node)) &&
    rules.every(
      ({ n, rule }) => rule?.kind === "reshapes" || (rule?.kind === "commutes" && rule.shifts?.(n) === true),
    ) &&
    rules.some(({ rule }) => rule?.kind === "commutes" && rule.rectifies)
  );
}
