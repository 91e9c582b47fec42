/** Constants computed by the runtime: what `ops/fold.ts` asks for where edgefit has no arithmetic of its own. */
import { ModelError } from "../graph/errors.js";
import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/tensor.js";
import { withSession } from "./session.js";

/**
 * The outputs of a graph without inputs. Undefined where ONNX Runtime refuses the graph: it has no kernel for the operator or
 * the element type, or the operator cannot run on these values.
 */
export async function evaluateGraph(g: Graph): Promise<Record<string, Tensor> | undefined> {
  try {
    return await withSession(g, { level: "disabled", threads: 1 }, (s) => s.run({}));
  } catch (e) {
    if (e instanceof ModelError && e.code === "runtime") return undefined;
    throw e;
  }
}
