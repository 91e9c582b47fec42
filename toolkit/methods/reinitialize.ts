/** A net as it might have been before any training. */
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { cloneGraph, type Graph, opsetOf } from "../graph/graph.js";
import { floats, sizeOf } from "../graph/tensor.js";
import { ruleFor } from "../ops/index.js";

/** Deviation of a dense layer's weights, as the house's classifiers are drawn. */
const DENSE_DEVIATION = 0.01;

/**
 * The net with fresh weights: convolutions normal with variance 2 / fan-out (He et al. 2015), dense layers of deviation 0.01, biases 0,
 * batch norms 1, 0, and statistics of nothing. Other constants are left alone. Same seed, same weights.
 */
export function reinitialized(g: Graph, seed: number): Graph {
  const out = cloneGraph(g);
  const random = xoroshiro128plus(seed);
  const normal = (): number =>
    Math.sqrt(-2 * Math.log(1 - uniformFloat64(random))) * Math.cos(2 * Math.PI * uniformFloat64(random));
  const fill = (name: string | undefined, value: () => number): void => {
    const t = name ? g.initializers.get(name) : undefined;
    if (name && t?.elemType === "float32")
      out.initializers.set(name, floats(Float32Array.from({ length: sizeOf(t.dims) }, value), t.dims));
  };
  for (const n of g.nodes) {
    const rule = ruleFor(n, opsetOf(g, n.domain));
    const statistics = rule?.runningStatistics;
    if (statistics) {
      for (const [i, name] of n.inputs.entries()) {
        if (i === statistics.mean) fill(name, () => 0);
        else if (i === statistics.variance || i === statistics.scale) fill(name, () => 1);
        else if (i > 0) fill(name, () => 0);
      }
      continue;
    }
    const linear = rule?.linear;
    const w = linear && g.initializers.get(n.inputs[linear.weight]);
    if (!linear || !w) continue;
    const taps = sizeOf(w.dims.slice(2));
    const depthwise = w.dims[1] === 1 && taps > 1;
    const fanOut = taps * (depthwise ? 1 : w.dims[linear.outputAxis(n)]);
    const deviation = w.dims.length > 2 ? Math.sqrt(2 / fanOut) : DENSE_DEVIATION;
    fill(n.inputs[linear.weight], () => deviation * normal());
    if (linear.bias >= 0) fill(n.inputs[linear.bias], () => 0);
  }
  return out;
}
