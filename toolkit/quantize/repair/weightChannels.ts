/** Which input and output channel each element of a layer's weight belongs to. */
import type { LayerEnd } from "./scaleGroups.js";

export interface WeightChannels {
  inputs: number;
  outputs: number;
  /** Input channel of the weight element with flat index `i`. */
  inputOf(i: number): number;
  outputOf(i: number): number;
}

/**
 * Channel indices of a weight. With groups, one of the two axes holds all channels and the other those of one group; the
 * group follows from the position on the full one (Conv: outputs; ConvTranspose: inputs).
 */
export function weightChannels(
  { node, rule }: Pick<LayerEnd, "node" | "rule">,
  dims: readonly number[],
): WeightChannels {
  const [inAxis, outAxis] = [rule.inputAxis(node), rule.outputAxis(node)];
  const groups = rule.groups(node);
  const inner = (axis: number): number => dims.slice(axis + 1).reduce((a, b) => a * b, 1);
  const [inInner, outInner] = [inner(inAxis), inner(outAxis)];
  const rawIn = (i: number): number => Math.floor(i / inInner) % dims[inAxis];
  const rawOut = (i: number): number => Math.floor(i / outInner) % dims[outAxis];
  // The first axis is the full one.
  if (outAxis < inAxis) {
    const perGroup = dims[outAxis] / groups;
    return {
      inputs: dims[inAxis] * groups,
      outputs: dims[outAxis],
      inputOf: (i) => Math.floor(rawOut(i) / perGroup) * dims[inAxis] + rawIn(i),
      outputOf: rawOut,
    };
  }
  const perGroup = dims[inAxis] / groups;
  return {
    inputs: dims[inAxis],
    outputs: dims[outAxis] * groups,
    inputOf: rawIn,
    outputOf: (i) => Math.floor(rawIn(i) / perGroup) * dims[outAxis] + rawOut(i),
  };
}
