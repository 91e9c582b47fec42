/** Process that runs the fuzzer's files: gets their numbers, answers with what became of them. */
import { join } from "node:path";
import { type CaseResult, makeCase, prepareFolder, runCase } from "./fuzzCase.js";

const [root, seed] = [process.argv[2], Number(process.argv[3])];
prepareFolder(root);

process.send?.("ready");
process.on("message", (index: number) => {
  const file = makeCase(seed, index);
  const start = process.cpuUsage();
  const result = runCase(file, join(root, "model"));
  const { user, system } = process.cpuUsage(start);
  const peakBytes = process.resourceUsage().maxRSS * 1024;
  process.send?.({ ...result, cpuMs: (user + system) / 1000, peakBytes } satisfies CaseResult);
});
