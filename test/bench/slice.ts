/**
 * Mask against slice: the sliced net must give what the whole net gives when the removed channels are zeroed where they are read.
 *
 *   npx tsx test/bench/slice.ts [--seeds 5] [--share 0.6]
 *
 * Every third-party model, random widths for every group; largest absolute difference of any output value, beside the largest
 * magnitude of that output.
 */
import { parseArgs } from "node:util";
import { tidy } from "../../toolkit/graph/tidy.js";
import { readModelFile } from "../../toolkit/onnx/index.js";
import { costsOf } from "../../toolkit/ops/costs.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { findGroups } from "../../toolkit/prune/groups.js";
import { maskGraph } from "../../toolkit/prune/mask.js";
import { sliceGraph } from "../../toolkit/prune/slice.js";
import { randomFeeds, randomKeep, runGraph } from "../support/graphs.js";
import { sharedPath } from "../support/shared.js";
import { thirdPartyModels } from "../support/thirdParty.js";
import { head, row } from "./header.js";

const { values: flags } = parseArgs({
  options: { seeds: { type: "string", default: "5" }, share: { type: "string", default: "0.6" } },
});

console.log(`share of channels kept ${flags.share}, ${flags.seeds} seeds; ${new Date().toISOString().slice(0, 10)}\n`);
console.log(head("model", "groups", "MACs left %", "largest error", "largest output", "<= 1e-4"));
for (const path of thirdPartyModels) {
  const read = tidy(await readModelFile(sharedPath(path)));
  // The dynamic YuNet needs its image size; the others have theirs.
  const open = read.inputs.some((v) => v.type.dims?.includes("height"));
  const g = inferShapes(read, open ? { dims: { height: 320, width: 320 } } : {});
  const groups = findGroups(g);
  let error = 0;
  let magnitude = 0;
  let macs = 0;
  for (let seed = 1; seed <= Number(flags.seeds); seed++) {
    const keep = randomKeep(groups, seed, Number(flags.share));
    const sliced = sliceGraph(g, groups, keep);
    const feeds = randomFeeds(g, seed);
    const [a, b] = [await runGraph(sliced, feeds), await runGraph(maskGraph(g, groups, keep), feeds)];
    macs += costsOf(sliced).macs / costsOf(g).macs / Number(flags.seeds);
    for (const { name } of g.outputs) {
      const [x, y] = [a[name].data, b[name].data] as Float32Array[];
      for (let i = 0; i < y.length; i++) {
        error = Math.max(error, Math.abs(x[i] - y[i]));
        magnitude = Math.max(magnitude, Math.abs(y[i]));
      }
    }
  }
  console.log(
    row(
      path.replace("models/", ""),
      groups.prunable.length,
      (100 * macs).toFixed(0),
      error.toExponential(1),
      magnitude.toPrecision(3),
      error <= 1e-4 ? "yes" : "NO",
    ),
  );
}
