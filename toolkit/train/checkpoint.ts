/**
 * A training run on disk: an ONNX file without nodes whose outputs are the flat vectors and whose metadata says where
 * the run was. Written to a temporary name first.
 */
import { access } from "node:fs/promises";
import { emptyGraph } from "../graph/builder.js";
import { ModelError } from "../graph/errors.js";
import { floats, toFloat32 } from "../graph/tensor.js";
import { readModelFile, writeModelFile } from "../onnx/index.js";
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
  /** What `evaluate` returned. */
  metric?: number;
}

export interface Checkpoint {
  /** Epochs that are done. */
  epoch: number;
  history: readonly EpochResult[];
  state: TrainerState;
}

export async function writeCheckpoint(path: string, c: Checkpoint): Promise<void> {
  const g = emptyGraph("checkpoint");
  for (const [name, vector] of Object.entries(c.state.vectors)) {
    g.initializers.set(name, floats(vector));
    g.outputs.push({ name, type: { elemType: "float32", dims: [vector.length] } });
  }
  const { epoch, history, state } = c;
  g.model.metadata.set("training", JSON.stringify({ epoch, history, step: state.step }));
  await writeModelFile(path, g);
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
  if (!text) throw new ModelError("not-a-checkpoint", "the file is no training checkpoint", { where: path });
  const { epoch, history, step } = JSON.parse(text) as { epoch: number; history: EpochResult[]; step: number };
  const vectors = Object.fromEntries([...g.initializers].map(([name, t]) => [name, toFloat32(t)]));
  return { epoch, history, state: { step, vectors } };
}
