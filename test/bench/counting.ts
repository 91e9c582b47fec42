/** A runner that counts what is asked of the device behind it. */
import type { DeviceRunner } from "../../runners/index.js";

export interface Counts {
  /** Sessions opened. */
  loads: number;
  /** Profiled sessions. */
  profiles: number;
  /** Calls of models, timed or not, as far as the host asked for them by number. */
  calls: number;
}

/** The same runner, and its counts so far. */
export function counting(runner: DeviceRunner): { runner: DeviceRunner; counts: Counts } {
  const counts: Counts = { loads: 0, profiles: 0, calls: 0 };
  return {
    counts,
    runner: {
      describe: () => runner.describe(),
      run: (model, feeds) => runner.run(model, feeds),
      unload: (model) => runner.unload(model),
      close: () => runner.close(),
      load(model, o) {
        counts.loads++;
        return runner.load(model, o);
      },
      async measure(job, signal) {
        const measured = await runner.measure(job, signal);
        const before = job.callsBeforeSample ?? (job.models.length > 1 ? 1 : 0);
        for (const m of measured) counts.calls += m.warmups + m.samplesMs.length * (m.callsPerSample + before);
        return measured;
      },
      profile(model, feeds, calls, warmup, signal) {
        counts.profiles++;
        counts.calls += calls + warmup;
        return runner.profile(model, feeds, calls, warmup, signal);
      },
    },
  };
}
