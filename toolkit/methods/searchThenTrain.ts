/** The shape of most searches: find a net, then train it once. What was found is kept beside the checkpoints of the training. */
import { join } from "node:path";
import type { Graph } from "../graph/graph.js";
import { readCached, writeCached } from "../latency/index.js";
import { readModelFile, writeModelFile } from "../onnx/index.js";
import type { Widths } from "../prune/groups.js";
import type { HistoryPoint, MethodContext, MethodNet, Spent, TrainStepsOptions } from "./method.js";
import { trainSteps } from "./training.js";

/** A net before its training. */
export interface Found {
  graph: Graph;
  widths: Widths;
  notes?: readonly string[];
}

/** What a search left, besides its net. */
interface Kept {
  widths: [string, number][];
  notes: string[];
  spent: Spent;
  history: readonly HistoryPoint[];
}

const NET = "found.onnx";
const REST = "found.json";

/**
 * Searches, and trains what was found with all steps that are left. With a folder, a run that was stopped after its search goes on from
 * what the search found, its steps on the account.
 */
export async function searchThenTrain(
  c: MethodContext,
  search: (c: MethodContext) => Promise<Found>,
  training: Partial<TrainStepsOptions> = {},
): Promise<MethodNet> {
  const { graph, widths, notes } = (await recall(c)) ?? (await keep(c, search));
  const trained = await trainSteps(c, graph, { phase: "retrain", ...training, steps: c.meter.left });
  return { graph: trained, widths, ...(notes ? { notes } : {}) };
}

async function recall({ folder, meter }: MethodContext): Promise<Found | undefined> {
  const text = folder === undefined ? undefined : await readCached(join(folder, REST));
  if (folder === undefined || text === undefined) return undefined;
  const { widths, notes, spent, history } = JSON.parse(text) as Kept;
  const graph = await readModelFile(join(folder, NET));
  let done = 0;
  for (const point of history) {
    meter.step("search", point.step - done);
    done = point.step;
    meter.note("search", point.loss, point.learningRate);
  }
  meter.step("search", spent.search - done);
  meter.forward(spent.forwardImages);
  return { graph, widths: new Map(widths), notes };
}

async function keep(c: MethodContext, search: (c: MethodContext) => Promise<Found>): Promise<Found> {
  const said: string[] = [];
  const found = await search({ ...c, onNote: (note) => said.push(note) });
  const notes = [...new Set([...said, ...(found.notes ?? [])])];
  if (c.folder !== undefined) {
    await writeModelFile(join(c.folder, NET), found.graph);
    const rest: Kept = { widths: [...found.widths], notes, spent: c.meter.spent, history: c.meter.history };
    // Written last: where it is, the net is whole.
    await writeCached(c.folder, REST, `${JSON.stringify(rest)}\n`);
  }
  return { ...found, notes };
}
