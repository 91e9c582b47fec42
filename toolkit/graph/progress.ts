/** How long work tells its caller where it is. Only `cli/` turns this into a bar. */
export interface ProgressEvent {
  /** What is going on, in a few words: `measuring sub-nets`. */
  stage: string;
  done: number;
  total: number;
  /** A short extra, such as the current loss. */
  note?: string;
}

export type Progress = (e: ProgressEvent) => void;

/** Throws the signal's reason when the caller asked to stop. Called between the steps of long work. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  signal?.throwIfAborted();
}
