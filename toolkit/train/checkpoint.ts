/**
 * A training run on disk: an ONNX file without nodes whose outputs are the flat vectors and whose metadata says where
 * the run was. Written to a temporary name first.
 */
import { access } from "node:fs/promises";
import { emptyGraph } from "../graph/builder.js";
import { ModelError } from "../graph/errors.js";
import { floats, toFloat32 } from "../graph/tensor.js";
import { readModelFile, writeModelFile } from "../onnx/index.js";
import { TrainingError } from "./errors.js";
import type { TrainerState } from "./trainer.js";

/** What is remembered of an epoch. */
export interface EpochResult {
  /** From 1. */
  epoch: number;
  /** Mean over the epoch's steps. */
  loss: number;
  /** Of the epoch's last step. */
  learningRate: number;
  seconds: number;
  /** Share of the time of its steps in which the trainer waited for data. */
  waited?: number;
  /** What `evaluate` returned. */
  metric?: number;
}

/** Options that must be the same for a run to go on as if it had never stopped. */
export type Recipe = Readonly<Record<string, string | number>>;

export interface Checkpoint {
  recipe: Recipe;
  /** Epochs that are done, and steps of the one that has begun. */
  epoch: number;
  step: number;
  /** Losses of those steps. */
  losses: readonly number[];
  history: readonly EpochResult[];
  state: TrainerState;
  /** The state after the best epoch so far, where the run keeps it. */
  best?: { epoch: number; state: TrainerState };
}

const BEST = "best/";

export async function writeCheckpoint(path: string, c: Checkpoint): Promise<void> {
  const g = emptyGraph("checkpoint");
  const put = (prefix: string, state: TrainerState): void => {
    for (const [name, vector] of Object.entries(state.vectors)) {
      g.initializers.set(prefix + name, floats(vector));
      g.outputs.push({ name: prefix + name, type: { elemType: "float32", dims: [vector.length] } });
    }
  };
  const { state, best, ...where } = c;
  put("", state);
  if (best) put(BEST, best.state);
  const steps = { at: state.step, ...(best ? { best: { epoch: best.epoch, at: best.state.step } } : {}) };
  g.model.metadata.set("training", JSON.stringify({ ...where, steps }));
  await writeModelFile(path, g);
}

interface Stored extends Omit<Checkpoint, "state" | "best"> {
  steps: { at: number; best?: { epoch: number; at: number } };
}

/** Undefined when there is no such file. Throws ModelError when it is not a checkpoint. */
export async function readCheckpoint(path: string): Promise<Checkpoint | undefined> {
  try {
    await access(path);
  } catch {
    return undefined;
  }
  const g = await readModelFile(path);
  const text = g.model.metadata.get("training");
  const stored = text ? (JSON.parse(text) as Stored) : undefined;
  if (!stored?.steps || !stored.recipe) {
    throw new ModelError("not-a-checkpoint", "the file is no training checkpoint, or one of an older version", {
      where: path,
      hint: "name another file, or train without --resume to write it anew",
    });
  }
  const { steps, ...where } = stored;
  const all = [...g.initializers].map(([name, t]) => [name, toFloat32(t)] as const);
  const own = all.filter(([name]) => !name.startsWith(BEST));
  const kept = all.filter(([name]) => name.startsWith(BEST)).map(([name, v]) => [name.slice(BEST.length), v] as const);
  return {
    ...where,
    state: { step: steps.at, vectors: Object.fromEntries(own) },
    ...(steps.best
      ? { best: { epoch: steps.best.epoch, state: { step: steps.best.at, vectors: Object.fromEntries(kept) } } }
      : {}),
  };
}

/** Throws TrainingError naming the first option in which two recipes differ. */
export function checkRecipe(saved: Recipe, own: Recipe, where: string): void {
  for (const [name, value] of Object.entries(own)) {
    if (saved[name] === value) continue;
    throw new TrainingError(
      "checkpoint-mismatch",
      `the checkpoint was made with ${name} ${saved[name] ?? "unset"}, this run has ${value}`,
      { where, hint: "go on with the same options, or train anew without resuming" },
    );
  }
}
