/** Repairs that make a net suffer less from 8 bits: what other parts may use. */
export { absorbBiases } from "./absorb.js";
export type { ClampMode } from "./clamps.js";
export { crossLayerEqualization, type EqualizationOptions, equalize } from "./equalize.js";
export { type MigrationOptions, migrate, migrateActivations } from "./migrate.js";
export type { FloatRepair, RepairContext } from "./repair.js";
export { type RoundingContext, type RoundingMethod, roundWeights } from "./rounding.js";
