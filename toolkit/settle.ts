/** Makes the latency table sure of itself where a fit will look: near the widths that its budget and losses choose. */
import { allocationProblem } from "./allocation.js";
import { type Fitting, profileOptions, timed } from "./fitting.js";
import type { Precision } from "./latency/index.js";
import { type ModelProfile, settleProfile } from "./profile.js";
import { limitOf, within } from "./propose.js";
import type { Ranges } from "./quantize/index.js";
import type { Ranking } from "./ranking.js";

/** The profile with nets near the allocation of each precision added, until they tell nothing new. */
export async function settledNear(
  f: Fitting,
  profile: ModelProfile,
  ranking: Ranking,
  precisions: readonly Precision[],
  ranges: Ranges | undefined,
  share: number,
): Promise<ModelProfile> {
  const [original] = await timed(f, [f.subject.bytes]);
  const part = (share * limitOf(f.budget, f.o.percentile, original)) / original.latency[f.o.percentile];
  const full = new Map(f.groups.prunable.map((g) => [g.id, g.width]));
  const choices = [...ranking.losses].map(([id, { widths, loss }]) => ({ id, widths, loss }));
  let settled = profile;
  for (const precision of precisions) {
    settled = await settleProfile(profileOptions(f, ranges, precisions), settled, precision, (model) => {
      // The table knows the machine at its own pace, so the budget is a part of the original there too.
      const target = part * profile.model.msAt(full, "fp32").ms;
      return within(allocationProblem(model, f.groups, f.branches, choices, precision), target).widths;
    });
  }
  return settled;
}
