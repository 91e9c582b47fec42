/** Progress of long work: a bar on a terminal, now and then a line elsewhere. Work of under two seconds shows nothing. */
import { type Options, SingleBar } from "cli-progress";
import type { ProgressEvent } from "../graph/progress.js";
import type { Colors } from "./colors.js";

const PATIENCE_MS = 2000;
const LINE_EVERY_MS = 10_000;

export interface StageProgress {
  update(e: ProgressEvent): void;
  /** Takes the bar away; the next update starts anew. */
  end(): void;
}

/** A bar that appears once a stage has run for two seconds. */
export function progressBar(stream: NodeJS.WritableStream, colors: Colors): StageProgress {
  let stage: string | undefined;
  let latest: ProgressEvent | undefined;
  let bar: SingleBar | undefined;
  let timer: NodeJS.Timeout | undefined;
  const options: Options = {
    stream,
    format: `${colors.cyan("{bar}")} {percentage}% {stage} {value}/{total} {note}`,
    barCompleteChar: "━",
    barIncompleteChar: " ",
    barsize: 24,
    hideCursor: true,
    clearOnComplete: true,
    stopOnComplete: false,
    gracefulExit: false,
  };
  const payload = (e: ProgressEvent) => ({ stage: e.stage, note: e.note ?? "" });
  const end = () => {
    clearTimeout(timer);
    bar?.stop();
    stage = latest = bar = timer = undefined;
  };
  return {
    update(e) {
      if (e.stage !== stage) {
        end();
        stage = e.stage;
        timer = setTimeout(() => {
          if (!latest) return;
          bar = new SingleBar(options);
          bar.start(latest.total, latest.done, payload(latest));
        }, PATIENCE_MS);
        timer.unref();
      }
      latest = e;
      bar?.setTotal(e.total);
      bar?.update(e.done, payload(e));
      if (e.done >= e.total) end();
    },
    end,
  };
}

/** Plain lines for logs: one when a stage has run for two seconds, then one every ten. */
export function progressLines(
  write: (line: string) => void,
  now: () => number = () => performance.now(),
): StageProgress {
  let stage: string | undefined;
  let due = 0;
  return {
    update(e) {
      const t = now();
      if (e.stage !== stage) {
        stage = e.stage;
        due = t + PATIENCE_MS;
      }
      if (t < due) return;
      due = t + LINE_EVERY_MS;
      write(`${e.stage}: ${e.done} of ${e.total}${e.note ? `, ${e.note}` : ""}`);
    },
    end() {
      // Nothing stays on screen between two lines.
    },
  };
}
