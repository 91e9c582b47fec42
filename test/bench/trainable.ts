/**
 * Whether nets can be trained: builds the gradient graph of every ONNX file in a folder.
 *
 *   npx tsx test/bench/trainable.ts FOLDER
 *
 * The share is that of trained numbers among all float constants; the rest are running statistics, masks, position tables.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { isEdgefitError } from "../../toolkit/graph/errors.js";
import { feedsOf } from "../../toolkit/graph/graph.js";
import { readGraph } from "../../toolkit/subject.js";
import { buildForward } from "../../toolkit/train/forward.js";
import { outputEnergy } from "../../toolkit/train/index.js";
import { findParameters } from "../../toolkit/train/parameters.js";
import { gradientGraph } from "../../toolkit/train/step.js";
import { head, row } from "./header.js";

const folder = process.argv[2] ?? ".";
console.log(head("file", "nodes", "nodes with gradients", "trained share %", "why not"));
for (const file of readdirSync(folder).filter((f) => f.endsWith(".onnx"))) {
  try {
    const g = await readGraph(join(folder, file));
    const dims = (feedsOf(g)[0].type.dims ?? []).map((d, i) => (typeof d === "number" ? d : i === 0 ? 2 : 224));
    const forward = buildForward(g, dims, outputEnergy(), "batch");
    const layout = findParameters(g, forward.graph);
    const nodes = gradientGraph(forward, layout).nodes.length;
    let all = 0;
    for (const t of g.initializers.values()) if (t.elemType === "float32" && t.data.length > 1) all += t.data.length;
    console.log(row(file, g.nodes.length, nodes, ((100 * layout.length) / all).toFixed(1), ""));
  } catch (e) {
    if (!isEdgefitError(e)) throw e;
    console.log(row(file, "-", "-", "-", `${e.code}: ${e.message}`));
  }
}
