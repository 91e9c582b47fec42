/**
 * ONNX Runtime's blocked kernels: operators of the domain `com.microsoft.nchwc`, which compute on maps whose channels lie in blocks,
 * [N, C / block, H, W, block]. How long a block is depends on the processor; some builds have none.
 */
import { emptyGraph, GraphBuilder } from "../graph/builder.js";
import { floats, toFloat32 } from "../graph/tensor.js";
import { withSession } from "./session.js";

export const BLOCKED_DOMAIN = "com.microsoft.nchwc";

const CHANNELS = 64;
const PLACES = 3;
let asked: Promise<number | undefined> | undefined;

/** Channels of a block on this machine, found by reordering a small tensor; undefined where there are no blocked kernels. */
export function blockLength(): Promise<number | undefined> {
  asked ??= findBlockLength();
  return asked;
}

async function findBlockLength(): Promise<number | undefined> {
  const g = new GraphBuilder(emptyGraph("block"));
  g.graph.opsets.set(BLOCKED_DOMAIN, 1);
  const dims = [1, CHANNELS, 1, PLACES];
  g.output(g.emit("ReorderInput", [g.input("x", dims)], {}, { domain: BLOCKED_DOMAIN, out: "y" }));
  // Element (channel, place) is the number channel * PLACES + place: the first one of place 1 ends the first block.
  const numbers = floats(
    Float32Array.from({ length: CHANNELS * PLACES }, (_, i) => i),
    dims,
  );
  let reordered: Float32Array;
  try {
    reordered = toFloat32((await withSession(g.graph, { threads: 1 }, (s) => s.run({ x: numbers }))).y);
  } catch (error) {
    // A build without the domain refuses the graph; that is the answer.
    if ((error as { code?: string }).code === "runtime") return undefined;
    throw error;
  }
  const block = reordered.indexOf(1);
  const expected = (i: number): number => {
    const [start, place, channel] = [Math.floor(i / (block * PLACES)), Math.floor(i / block) % PLACES, i % block];
    return (start * block + channel) * PLACES + place;
  };
  return block > 1 && reordered.every((v, i) => v === expected(i)) ? block : undefined;
}
