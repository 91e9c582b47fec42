/**
 * Reads what TensorFlow Lite's `benchmark_model` writes with `--enable_op_profiling=true --profiling_output_csv_file=FILE` (or
 * `--op_profiling_output_file`): sections of comma-separated lines, of which "Run Order" has one line per operator.
 * The columns are those of TensorFlow's `StatsCalculator` in CSV mode; older versions have a `start` column more.
 */
import { UsageError } from "./graph/errors.js";

/** One operator of the model, in the order in which it ran. */
export interface TimedOperator {
  /** As TFLite names it: `CONV_2D`. */
  type: string;
  /** Mean milliseconds per run. */
  ms: number;
  /** Names of the tensors that it writes. */
  outputs: string[];
}

const TITLE = /^=+ Run Order =+$/;

/** The operators. Throws UsageError for text without such a section, for broken lines, and where a delegate was timed as a whole. */
export function readBenchmarkModel(text: string, where: string): TimedOperator[] {
  const lines = text.split(/\r?\n/).map((l) => l.trim());
  // A run's own section comes after that of its initialisation.
  const title = lines.findLastIndex((l) => TITLE.test(l));
  const columns = (lines[title + 1] ?? "").split(",").map((c) => c.trim());
  const [type, ms, name] = ["node type", "avg_ms", "name"].map((c) => columns.indexOf(c));
  if (title < 0 || type !== 0 || ms < 0 || name !== columns.length - 1) {
    throw new UsageError("import-format", "the file has no section of operators in run order", {
      where,
      hint: "write one with benchmark_model --enable_op_profiling=true --profiling_output_csv_file=FILE",
    });
  }
  const out: TimedOperator[] = [];
  for (let i = title + 2; i < lines.length && lines[i] !== ""; i++) {
    const fields = lines[i].split(",");
    const value = Number(fields[ms]);
    // Names may hold commas: they are the rest of the line, in brackets, with the operator's number behind them.
    const names = /^\[(.*)\](?::\d+)?$/.exec(fields.slice(name).join(",").trim());
    if (!(fields.length >= columns.length && value >= 0 && names)) {
      throw new UsageError("import-line", `line ${i + 1} is not one operator with its times`, { where });
    }
    out.push({
      type: fields[0].trim(),
      ms: value,
      outputs: names[1]
        .split(",")
        .map((n) => n.trim())
        .filter(Boolean),
    });
  }
  const delegate = out.find((o) => /delegate/i.test(o.type));
  if (delegate) {
    throw new UsageError("import-delegate", `${delegate.type} was timed as a whole, not operator by operator`, {
      where,
      hint: "profile without it, e.g. benchmark_model --use_xnnpack=false",
    });
  }
  if (out.length === 0) throw new UsageError("import-empty", "the section of operators is empty", { where });
  return out;
}
