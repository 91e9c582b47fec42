/** Inputs for timing: the values do not matter, the shapes and types do. */
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { Feeds, WireTensor } from "../../runners/runner.js";
import { ModelError } from "../graph/errors.js";
import type { Graph } from "../graph/graph.js";
import { sizeOf } from "../graph/tensor.js";

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  bool: Uint8Array,
} as const;

/**
 * One random value in -1..1 per element of every floating-point input, zeros elsewhere. A dynamic first dimension is 1; any other needs
 * a number. Throws ModelError for such a dimension and for input types that cannot be fed.
 */
export function inputFeeds(g: Graph, seed: number): Feeds {
  const random = xoroshiro128plus(seed);
  const feeds: Record<string, WireTensor> = {};
  for (const { name, type } of g.inputs) {
    if (!(type.elemType in ARRAYS))
      throw new ModelError("input-type", `input "${name}" is of type ${type.elemType}, which cannot be fed`, {
        where: name,
      });
    const elemType = type.elemType as keyof typeof ARRAYS;
    const dims = (type.dims ?? []).map((d, axis) => {
      if (typeof d === "number") return d;
      if (axis === 0) return 1;
      throw new ModelError("dim-unknown", `dimension ${axis} of input "${name}" has no value`, {
        where: name,
        hint: `give it with --dim ${d ?? "NAME"}=VALUE`,
      });
    });
    const data = new ARRAYS[elemType](sizeOf(dims));
    if (data instanceof Float32Array || data instanceof Float64Array)
      for (let i = 0; i < data.length; i++) data[i] = 2 * uniformFloat64(random) - 1;
    feeds[name] = { elemType, dims, data };
  }
  return feeds;
}
